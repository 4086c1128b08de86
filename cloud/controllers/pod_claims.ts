/**
 * What the claims of a pod say about where it may run: they must be there; a bound one wants a node
 * its volume can be reached from; one whose class waits for its first pod wants a node with a
 * volume to bind, and is told the node that was chosen. In kube-scheduler's words. Pure.
 */
import type { Pod } from "../../shared/k8s/types.ts";
import { findVolume, reaches } from "./match_volume.ts";
import type { NodeFault } from "./placement.ts";
import { waitsForPod } from "./plan_volumes.ts";
import type { ClaimObject, ClassObject, VolumeObject } from "./storage_types.ts";

export interface StorageView {
  claim(namespace: string | undefined, name: string): ClaimObject | undefined;
  volume(name: string): VolumeObject | undefined;
  volumes(): Iterable<VolumeObject>;
  storageClass(name: string): ClassObject | undefined;
}

export type PodClaims =
  /** Nothing can be said before the claims have changed. */
  | { kind: "wait"; message: string }
  /** `unbound`: to be told the node that is chosen, before the pod goes there. */
  | { kind: "place"; fault: NodeFault; unbound: readonly ClaimObject[] };

export function claimsOfPod(pod: Pod, storage: StorageView): PodClaims {
  const bound: VolumeObject[] = [];
  const unbound: ClaimObject[] = [];
  for (const name of claimNames(pod)) {
    const claim = storage.claim(pod.metadata.namespace, name);
    if (!claim) return { kind: "wait", message: `persistentvolumeclaim "${name}" not found` };
    if (claim.metadata.deletionTimestamp) {
      return { kind: "wait", message: `persistentvolumeclaim "${name}" is being deleted` };
    }
    const volume = storage.volume(claim.spec?.volumeName ?? "");
    if (claim.status?.phase === "Bound" && volume) bound.push(volume);
    // also while the binder is at it: one that was told its node stays told
    else if (waitsForPod(claim, storage.storageClass)) {
      unbound.push(claim);
    } else {
      return { kind: "wait", message: "pod has unbound immediate PersistentVolumeClaims" };
    }
  }
  const fault: NodeFault = ({ node }) => {
    if (bound.some((volume) => !reaches(node, volume))) {
      return "node(s) had volume node affinity conflict";
    }
    const lacks = unbound.some((claim) => !findVolume(claim, storage.volumes(), node));
    return lacks ? "node(s) didn't find available persistent volumes to bind" : undefined;
  };
  return { kind: "place", fault, unbound };
}

export function claimNames(pod: Pod): string[] {
  return (pod.spec.volumes ?? []).flatMap(({ persistentVolumeClaim }) => {
    const claim = persistentVolumeClaim as { claimName?: string } | undefined; // core/v1
    return claim?.claimName ? [claim.claimName] : [];
  });
}
