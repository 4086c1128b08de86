/**
 * Events from nodes: which a node may write, and in what form. A node speaks of itself and of the
 * pods and devices that are its own, and only of its own events again. Pure.
 */
import type { Event } from "../../shared/k8s/types.ts";

/** Kubernetes' own bound for messages of events. */
const MESSAGE_MAX = 1_024;
const REASON_MAX = 128;
/** Namespace of events about cluster-scoped objects. */
export const CLUSTER_EVENTS_NAMESPACE = "default";

export type EventSubject =
  | { kind: "node" }
  | { kind: "pod"; namespace: string; name: string; uid: string }
  | { kind: "device"; namespace: string; name: string; uid: string }
  | { kind: "refused"; reason: string };

/** What the event says it is about; that the pod is on the node is checked by the caller. */
export function eventSubject(node: string, event: Event): EventSubject {
  const about = event.involvedObject ?? {};
  const namespace = event.metadata.namespace;
  if (about.kind === "Node" && about.name === node) {
    return namespace === CLUSTER_EVENTS_NAMESPACE
      ? { kind: "node" }
      : refused(`event about a node must be in namespace ${CLUSTER_EVENTS_NAMESPACE}`);
  }
  const kind = about.kind === "Pod" ? "pod" : about.kind === "Device" ? "device" : undefined;
  if (!kind || !about.name || !about.uid || !about.namespace) {
    return refused("event is neither about the node itself nor about a pod or device");
  }
  if (namespace !== about.namespace) return refused(`event is not in its ${kind}'s namespace`);
  return { kind, namespace: about.namespace, name: about.name, uid: about.uid };
}

function refused(reason: string): EventSubject {
  return { kind: "refused", reason };
}

/** The event as it is created: known fields only, the node's name where the host is named. */
export function eventToCreate(node: string, event: Event): Event {
  const { involvedObject, firstTimestamp, lastTimestamp } = event;
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: event.metadata.name ?? "", namespace: event.metadata.namespace ?? "" },
    involvedObject,
    ...eventWording(event),
    ...(firstTimestamp ? { firstTimestamp } : {}),
    ...(lastTimestamp ? { lastTimestamp } : {}),
    count: event.count ?? 1,
    source: { component: event.source?.component ?? "kubelet", host: node },
    reportingComponent: event.reportingComponent ?? event.source?.component ?? "kubelet",
    reportingInstance: node,
  };
}

/** The merge patch for an event that is there already. */
export function eventRepeat(event: Event): Partial<Event> {
  const { lastTimestamp, count } = event;
  return {
    ...eventWording(event),
    ...(lastTimestamp ? { lastTimestamp } : {}),
    ...(count ? { count } : {}),
  };
}

function eventWording(event: Event): Pick<Event, "reason" | "message" | "type"> {
  return {
    reason: (event.reason ?? "").slice(0, REASON_MAX),
    message: (event.message ?? "").slice(0, MESSAGE_MAX),
    type: event.type === "Warning" ? "Warning" : "Normal",
  };
}

/** True when `existing` was written for this node about the same object. */
export function isSameEvent(node: string, existing: Event, event: Event): boolean {
  return existing.source?.host === node &&
    existing.involvedObject.uid === event.involvedObject.uid &&
    existing.involvedObject.name === event.involvedObject.name;
}
