/**
 * How objects come, change and go, as pure functions: server-owned metadata of a new object,
 * preconditions, graceful deletion of pods, finalizers, namespaces that empty themselves first.
 * No waiting, no storage; the writer executes what is decided here.
 */
import { toTime } from "../../shared/clock.ts";
import { deepEqual, isJsonObject } from "../../shared/json/json.ts";
import type { DeleteOptions } from "../kube/port.ts";
import type { KubeObject, ObjectMeta } from "../../shared/k8s/types.ts";
import { conflict, forbidden, type Named } from "./errors.ts";
import type { Decision } from "./storage.ts";

/** Metadata that only the server writes, set for an object that is about to be created. */
export function stampNew(
  object: KubeObject,
  stamp: { namespace: string | undefined; name: string; uid: string; nowMs: number },
): KubeObject {
  const {
    resourceVersion: _revision,
    deletionTimestamp: _deletion,
    deletionGracePeriodSeconds: _grace,
    ...metadata
  } = object.metadata;
  return {
    ...object,
    metadata: {
      ...metadata,
      name: stamp.name,
      ...(stamp.namespace === undefined ? {} : { namespace: stamp.namespace }),
      uid: stamp.uid,
      creationTimestamp: toTime(stamp.nowMs),
    },
  };
}

/** Throws "conflict" when the object is not the one the caller meant. */
export function checkPreconditions(
  what: Named,
  current: KubeObject,
  wanted: { uid?: string | undefined; resourceVersion?: string | undefined },
): void {
  const { name = "", uid = "", resourceVersion = "" } = current.metadata;
  if (wanted.uid && wanted.uid !== uid) {
    const why = `Precondition failed: UID in precondition: ${wanted.uid}, UID in object meta: `;
    throw conflict(what, name, why + uid);
  }
  if (wanted.resourceVersion && wanted.resourceVersion !== resourceVersion) {
    throw conflict(what, name);
  }
}

/** An update that changes nothing keeps the object and its revision, as in Kubernetes. */
export function decideUpdate(current: KubeObject, next: KubeObject): Decision {
  if (mayGo(next)) return { kind: "delete" };
  return same(current, next) ? { kind: "keep" } : { kind: "put", object: next };
}

function same(a: KubeObject, b: KubeObject): boolean {
  return deepEqual(withoutRevision(a), withoutRevision(b));
}

function withoutRevision(object: KubeObject): unknown {
  const { resourceVersion: _revision, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** True when an object under deletion has nothing left that holds it. */
function mayGo(object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  return deletionTimestamp !== undefined && (deletionGracePeriodSeconds ?? 0) === 0 &&
    (finalizers ?? []).length === 0 && namespaceFinalizers(object).length === 0;
}

function namespaceFinalizers(object: KubeObject): unknown[] {
  if (object.kind !== "Namespace" || !isJsonObject(object.spec)) return [];
  return Array.isArray(object.spec.finalizers) ? object.spec.finalizers : [];
}

/** Namespaces the system cannot do without. */
export const DEFAULT_NAMESPACES = ["default", "kube-system", "kube-node-lease", "kube-public"];
const UNDELETABLE = ["default", "kube-system", "kube-public"];

/** What a DELETE does: the object goes now, or is marked and goes when nothing holds it. */
export function decideDelete(
  what: Named,
  current: KubeObject,
  options: DeleteOptions,
  nowMs: number,
): Decision {
  checkPreconditions(what, current, options.preconditions ?? {});
  if (current.kind === "Namespace" && UNDELETABLE.includes(current.metadata.name ?? "")) {
    throw forbidden(what, current.metadata.name ?? "", "this namespace may not be deleted");
  }
  const held = (current.metadata.finalizers ?? []).length > 0 ||
    namespaceFinalizers(current).length > 0;
  const graceSeconds = current.kind === "Pod" ? podGraceSeconds(current, options) : 0;
  if (current.metadata.deletionTimestamp !== undefined) {
    return decideSecondDelete(current, { held, options, graceSeconds });
  }
  if (!held && graceSeconds === 0) return { kind: "delete" };
  return { kind: "put", object: markDeleted(current, nowMs, graceSeconds) };
}

function decideSecondDelete(
  current: KubeObject,
  wish: { held: boolean; options: DeleteOptions; graceSeconds: number },
): Decision {
  const before = current.metadata.deletionGracePeriodSeconds ?? 0;
  // only a shorter grace than the one promised changes anything
  const asked = wish.options.gracePeriodSeconds === undefined ? before : wish.graceSeconds;
  const graceSeconds = Math.min(before, asked);
  if (!wish.held && graceSeconds === 0) return { kind: "delete" };
  if (graceSeconds === before) return { kind: "keep" };
  const startMs = Date.parse(current.metadata.deletionTimestamp!) - before * 1000;
  return {
    kind: "put",
    object: withMeta(current, {
      deletionTimestamp: toTime(startMs + graceSeconds * 1000),
      deletionGracePeriodSeconds: graceSeconds,
    }),
  };
}

function markDeleted(current: KubeObject, nowMs: number, graceSeconds: number): KubeObject {
  const { generation } = current.metadata;
  const marked = withMeta(current, {
    deletionTimestamp: toTime(nowMs + graceSeconds * 1000),
    deletionGracePeriodSeconds: graceSeconds,
    ...(generation === undefined ? {} : { generation: generation + 1 }),
  });
  if (current.kind !== "Namespace") return marked;
  const status = isJsonObject(current.status) ? current.status : {};
  return { ...marked, status: { ...status, phase: "Terminating" } };
}

function withMeta(object: KubeObject, metadata: Partial<ObjectMeta>): KubeObject {
  return { ...object, metadata: { ...object.metadata, ...metadata } };
}

/** A pod that no node runs needs no grace. */
function podGraceSeconds(pod: KubeObject, options: DeleteOptions): number {
  const spec = isJsonObject(pod.spec) ? pod.spec : {};
  const phase = isJsonObject(pod.status) ? pod.status.phase : undefined;
  if (!spec.nodeName || phase === "Succeeded" || phase === "Failed") return 0;
  const own = spec.terminationGracePeriodSeconds;
  // 30 s is Kubernetes' default; a negative grace means "at once, but let the node confirm"
  const seconds = options.gracePeriodSeconds ?? (typeof own === "number" ? own : 30);
  return seconds < 0 ? 1 : seconds;
}
