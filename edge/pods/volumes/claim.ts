/**
 * PersistentVolumeClaims bound to volumes this node can use: `local`, `hostPath` and `nfs`. What a
 * claim stands for is decided purely from the two objects; what is missing, not bound or of another
 * kind is an AppError that names it.
 */
import { AppError } from "../../../shared/errors.ts";
import type { KubeObject, Pod, Volume } from "../../../shared/k8s/types.ts";
import type { NfsExport } from "./mounter.ts";

/** Objects of the pod's namespace and of the cluster, by name. */
export interface StorageSource {
  claim(name: string): KubeObject | undefined;
  volume(name: string): KubeObject | undefined;
}

export type Claimed = ClaimedPath | { nfs: NfsExport; readOnly: boolean };

export interface ClaimedPath {
  path: string;
  /** hostPath's own; "Directory" for `local`, which must be there. */
  type: string;
  readOnly: boolean;
  /** Files are given to the pod's fsGroup. */
  takesGroup: boolean;
}

interface Claim extends KubeObject {
  spec?: { volumeName?: string; volumeMode?: string };
  status?: { phase?: string };
}

interface PersistentVolume extends KubeObject {
  spec?: {
    claimRef?: { uid?: string };
    local?: { path?: string };
    hostPath?: { path?: string; type?: string };
    nfs?: NfsVolume;
    mountOptions?: string[];
    [source: string]: unknown;
  };
}

export interface NfsVolume {
  server?: string;
  path?: string;
  readOnly?: boolean;
}

export function toExport(nfs: NfsVolume, options: readonly string[]): NfsExport {
  const { server = "", path = "", readOnly = false } = nfs;
  return { server, path, readOnly, options };
}

/** The claim a volume names; undefined when it is of another kind. */
export function claimOf(
  volume: Volume,
  pod: Pod,
): { name: string; readOnly: boolean } | undefined {
  const claim = volume.persistentVolumeClaim as // core/v1
  | { claimName?: string; readOnly?: boolean }
  | undefined;
  if (claim) return { name: claim.claimName ?? "", readOnly: claim.readOnly === true };
  // A generic ephemeral volume owns a claim that is named after the pod and the volume.
  if (volume.ephemeral) return { name: `${pod.metadata.name}-${volume.name}`, readOnly: false };
  return undefined;
}

export function claimedPath(
  wanted: { name: string; readOnly: boolean },
  namespace: string,
  storage: StorageSource,
): Claimed {
  const title = `error processing PVC ${namespace}/${wanted.name}`;
  const claim: Claim | undefined = storage.claim(wanted.name);
  if (!claim) throw problem(title, `persistentvolumeclaim "${wanted.name}" not found`);
  const { volumeName = "", volumeMode = "Filesystem" } = claim.spec ?? {};
  const phase = claim.status?.phase ?? "";
  if (phase !== "Bound" || volumeName === "") {
    throw problem(
      title,
      `PVC is not bound: phase "${phase}", volume "${volumeName}"`,
    );
  }
  if (volumeMode !== "Filesystem") {
    throw problem(title, `volume mode ${volumeMode} is not supported`);
  }
  const volume: PersistentVolume | undefined = storage.volume(volumeName);
  if (!volume) throw problem(title, `persistentvolume "${volumeName}" not found`);
  const { claimRef, local, hostPath, nfs, mountOptions = [] } = volume.spec ?? {};
  if (claimRef?.uid && claimRef.uid !== claim.metadata.uid) {
    throw problem(title, `persistentvolume "${volumeName}" is bound to another claim`);
  }
  const { readOnly } = wanted;
  if (local?.path) return { path: local.path, type: "Directory", readOnly, takesGroup: true };
  if (hostPath?.path) {
    return { path: hostPath.path, type: hostPath.type ?? "", readOnly, takesGroup: false };
  }
  if (nfs) return { nfs: toExport(nfs, mountOptions), readOnly: readOnly || nfs.readOnly === true };
  throw problem(title, `persistentvolume "${volumeName}" is neither local, hostPath nor nfs`);
}

function problem(title: string, why: string): AppError {
  return new AppError("invalid", `${title}: ${why}`);
}
