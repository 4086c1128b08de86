/** Which volume a claim may have, by Kubernetes' rules: the smallest that does. Pure. */
import { tryParseQuantity, wholeValue } from "../../shared/k8s/quantity.ts";
import type { Node } from "../../shared/k8s/types.ts";
import { meetsTerms } from "./node_affinity.ts";
import type { ClaimObject, LabelSelector, VolumeObject } from "./storage_types.ts";

/** The best of `volumes` for a claim; with `node`, one that can be reached from there. */
export function findVolume(
  claim: ClaimObject,
  volumes: Iterable<VolumeObject>,
  node?: Node,
): VolumeObject | undefined {
  let best: VolumeObject | undefined;
  for (const volume of volumes) {
    if (isMeantFor(volume, claim)) {
      if (fits(claim, volume)) return volume;
      continue;
    }
    if (volume.spec?.claimRef || !fits(claim, volume)) continue;
    if (node && !reaches(node, volume)) continue;
    if (!best || isBefore(volume, best)) best = volume;
  }
  return best;
}

/** True when a pod on `node` can use the volume. */
export function reaches(node: Node, volume: VolumeObject): boolean {
  const required = volume.spec?.nodeAffinity?.required;
  return !required || meetsTerms(required.nodeSelectorTerms ?? [], node);
}

/** True when the volume names this very claim, by uid where it says one. */
export function isMeantFor(volume: VolumeObject, claim: ClaimObject): boolean {
  const { namespace, name, uid } = volume.spec?.claimRef ?? {};
  return name === claim.metadata.name && namespace === claim.metadata.namespace &&
    (!uid || uid === claim.metadata.uid);
}

function fits(claim: ClaimObject, volume: VolumeObject): boolean {
  const { spec: wanted = {} } = claim;
  const { spec: offered = {}, metadata, status } = volume;
  if (metadata.deletionTimestamp || status?.phase === "Released" || status?.phase === "Failed") {
    return false;
  }
  if ((wanted.storageClassName ?? "") !== (offered.storageClassName ?? "")) return false;
  if ((wanted.volumeMode ?? "Filesystem") !== (offered.volumeMode ?? "Filesystem")) return false;
  const modes = offered.accessModes ?? [];
  if (!(wanted.accessModes ?? []).every((mode) => modes.includes(mode))) return false;
  if (bytesOf(offered.capacity?.storage) < bytesOf(wanted.resources?.requests?.storage)) {
    return false;
  }
  return selects(wanted.selector, metadata.labels ?? {});
}

function bytesOf(text: string | undefined): number {
  const quantity = text === undefined ? undefined : tryParseQuantity(text);
  return quantity ? wholeValue(quantity) : 0;
}

/** The smaller; of equals the first by name, so that the same world gives the same answer. */
function isBefore(a: VolumeObject, b: VolumeObject): boolean {
  const difference = bytesOf(a.spec?.capacity?.storage) - bytesOf(b.spec?.capacity?.storage);
  return difference < 0 || (difference === 0 && (a.metadata.name ?? "") < (b.metadata.name ?? ""));
}

function selects(selector: LabelSelector | undefined, labels: Record<string, string>): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {};
  if (!Object.entries(matchLabels).every(([key, value]) => labels[key] === value)) return false;
  return matchExpressions.every(({ key, operator, values = [] }) => {
    const value = labels[key];
    switch (operator) {
      case "In":
        return value !== undefined && values.includes(value);
      case "NotIn":
        return value === undefined || !values.includes(value);
      case "Exists":
        return value !== undefined;
      case "DoesNotExist":
        return value === undefined;
      default:
        return false;
    }
  });
}
