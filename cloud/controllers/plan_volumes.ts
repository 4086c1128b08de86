/**
 * What the binder writes next, from the whole world: one step an object and pass, in Kubernetes'
 * order, so that a crash between two steps is picked up where it was.
 *
 *     volume.claimRef -> volume Bound -> claim.volumeName -> claim Bound
 *     claim gone -> volume Released (its data stays; someone clears claimRef to give it away again)
 *
 * Pure.
 */
import type { Node } from "../../shared/k8s/types.ts";
import { findVolume, isMeantFor } from "./match_volume.ts";
import {
  type ClaimObject,
  type ClassObject,
  SELECTED_NODE,
  type VolumeObject,
} from "./storage_types.ts";

export interface StorageWorld {
  claims: readonly ClaimObject[];
  volumes: readonly VolumeObject[];
  findClass(name: string): ClassObject | undefined;
  findNode(name: string): Node | undefined;
  /** True while a pod that has not ended names the claim. */
  isUsed(claim: ClaimObject): boolean;
}

export type StorageStep =
  | { resource: "claims"; object: ClaimObject; part: "main" | "status" }
  | { resource: "volumes"; object: VolumeObject; part: "main" | "status" };

const BIND_COMPLETED = "pv.kubernetes.io/bind-completed";
const BOUND_BY_US = "pv.kubernetes.io/bound-by-controller";
const CLAIM_FINALIZER = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER = "kubernetes.io/pv-protection";

export function planVolumes(world: StorageWorld): StorageStep[] {
  const steps: StorageStep[] = [];
  const touched = new Set<string>();
  const volumes = new Map(world.volumes.map((volume) => [volume.metadata.name ?? "", volume]));
  const claims = [...world.claims].sort((a, b) =>
    (a.metadata.creationTimestamp ?? "").localeCompare(b.metadata.creationTimestamp ?? "")
  );
  for (const claim of claims) {
    const step = planClaim(claim, volumes, world, touched);
    if (!step) continue;
    steps.push(step);
    if (step.resource === "volumes") touched.add(step.object.metadata.name ?? "");
  }
  for (const volume of world.volumes) {
    if (touched.has(volume.metadata.name ?? "")) continue;
    const step = planVolume(volume, world);
    if (step) steps.push(step);
  }
  return steps;
}

function planClaim(
  claim: ClaimObject,
  volumes: ReadonlyMap<string, VolumeObject>,
  world: StorageWorld,
  touched: ReadonlySet<string>,
): StorageStep | undefined {
  if (claim.metadata.deletionTimestamp) {
    const isHeld = claim.metadata.finalizers?.includes(CLAIM_FINALIZER);
    if (!isHeld || world.isUsed(claim)) return undefined;
    return { resource: "claims", object: without(claim, CLAIM_FINALIZER), part: "main" };
  }
  const { volumeName } = claim.spec ?? {};
  const volume = volumeName ? volumes.get(volumeName) : choose(claim, volumes, world, touched);
  if (!volume) return lostOrWaiting(claim);
  if (volume.spec?.claimRef && !isMeantFor(volume, claim)) return lostOrWaiting(claim);
  if (volume.spec?.claimRef?.uid !== claim.metadata.uid) {
    return touched.has(volume.metadata.name ?? "")
      ? undefined
      : { resource: "volumes", object: claimed(volume, claim), part: "main" };
  }
  if (!volumeName) return { resource: "claims", object: named(claim, volume), part: "main" };
  if (claim.status?.phase === "Bound") return undefined;
  const { accessModes = [], capacity = {} } = volume.spec ?? {};
  const status = { phase: "Bound", accessModes, capacity };
  return { resource: "claims", object: { ...claim, status }, part: "status" };
}

/** The volume an unbound claim shall have; undefined also while it waits for its first pod. */
function choose(
  claim: ClaimObject,
  volumes: ReadonlyMap<string, VolumeObject>,
  world: StorageWorld,
  touched: ReadonlySet<string>,
): VolumeObject | undefined {
  const free = [...volumes.values()].filter(({ metadata }) => !touched.has(metadata.name ?? ""));
  if (!waitsForPod(claim, world.findClass)) return findVolume(claim, free);
  const selected = claim.metadata.annotations?.[SELECTED_NODE];
  const node = selected === undefined ? undefined : world.findNode(selected);
  return node && findVolume(claim, free, node);
}

/** True when the claim's class says that the place of its first pod decides. */
export function waitsForPod(
  claim: ClaimObject,
  findClass: (name: string) => ClassObject | undefined,
): boolean {
  const name = claim.spec?.storageClassName;
  return name !== undefined && findClass(name)?.volumeBindingMode === "WaitForFirstConsumer";
}

/** A claim that was bound and whose volume is gone has lost its data, and says so. */
function lostOrWaiting(claim: ClaimObject): StorageStep | undefined {
  const before = claim.status?.phase ?? "Pending";
  const wasBound = claim.metadata.annotations?.[BIND_COMPLETED] !== undefined;
  const phase = wasBound ? "Lost" : "Pending";
  if (phase === before) return undefined;
  return { resource: "claims", object: { ...claim, status: { phase } }, part: "status" };
}

function planVolume(volume: VolumeObject, world: StorageWorld): StorageStep | undefined {
  const phase = phaseOf(volume, world);
  const { deletionTimestamp, finalizers } = volume.metadata;
  if (deletionTimestamp) {
    if (phase === "Bound" || !finalizers?.includes(VOLUME_FINALIZER)) return undefined;
    return { resource: "volumes", object: without(volume, VOLUME_FINALIZER), part: "main" };
  }
  if (volume.status?.phase === phase) return undefined;
  return {
    resource: "volumes",
    object: { ...volume, status: { ...volume.status, phase } },
    part: "status",
  };
}

function phaseOf(volume: VolumeObject, { claims }: StorageWorld): string {
  const { claimRef } = volume.spec ?? {};
  if (!claimRef?.uid) return "Available";
  return claims.some((claim) => claim.metadata.uid === claimRef.uid) ? "Bound" : "Released";
}

function claimed(volume: VolumeObject, claim: ClaimObject): VolumeObject {
  const { namespace = "", name = "", uid = "" } = claim.metadata;
  const claimRef = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name, uid };
  const annotations = { ...volume.metadata.annotations, [BOUND_BY_US]: "yes" };
  const isOwn = volume.spec?.claimRef === undefined;
  return {
    ...volume,
    metadata: isOwn ? { ...volume.metadata, annotations } : volume.metadata,
    spec: { ...volume.spec, claimRef },
  };
}

function named(claim: ClaimObject, volume: VolumeObject): ClaimObject {
  const marks = { [BIND_COMPLETED]: "yes", [BOUND_BY_US]: "yes" };
  const annotations = { ...claim.metadata.annotations, ...marks };
  return {
    ...claim,
    metadata: { ...claim.metadata, annotations },
    spec: { ...claim.spec, volumeName: volume.metadata.name ?? "" },
  };
}

function without<T extends ClaimObject | VolumeObject>(object: T, finalizer: string): T {
  const finalizers = object.metadata.finalizers?.filter((one) => one !== finalizer) ?? [];
  return { ...object, metadata: { ...object.metadata, finalizers } };
}
