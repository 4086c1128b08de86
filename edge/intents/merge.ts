/**
 * When an intent is decided, and how. Pure. The cloud decides; the node learns it from the desired
 * state it is sent (ADR 0009), so that nothing but the ledger has to survive for it.
 */
import type { KubeObject } from "../../shared/k8s/types.ts";
import {
  conflictOf,
  type PodIntent,
  type SiteIntent,
  type TwinIntent,
} from "../../shared/wire/site_intent.ts";
import { decisionOnTwin } from "../../shared/wire/twin_edits.ts";

export interface Decision {
  kind: "merged" | "conflict";
  reason: string;
}

export interface MergeFacts {
  /** What the ledger holds under the intent's namespace and name. */
  held: KubeObject | undefined;
  carriedOut: boolean;
  /** The cloud has acknowledged the report of the intent. */
  reported: boolean;
}

export function decideIntent(intent: SiteIntent, facts: MergeFacts): Decision | undefined {
  if (intent.verb === "set_twin") return decideSetTwin(intent, facts);
  return intent.verb === "remove" ? decideRemove(intent, facts) : decideRestart(intent, facts);
}

function decideSetTwin(
  { id, device, property }: TwinIntent,
  { held }: MergeFacts,
): Decision | undefined {
  if (!held) return { kind: "conflict", reason: "the device is no longer this node's" };
  if (held.metadata.uid !== device.uid) {
    return { kind: "conflict", reason: "the cloud has replaced the device by another" };
  }
  const decision = decisionOnTwin(held, property, id);
  if (!decision) return undefined;
  return decision.conflict === undefined
    ? { kind: "merged", reason: "the cloud desires it too" }
    : { kind: "conflict", reason: decision.conflict };
}

/** A restart changes nothing the cloud holds: once it knows of it, both sides agree. */
function decideRestart(
  intent: PodIntent,
  { held, carriedOut, reported }: MergeFacts,
): Decision | undefined {
  if (carriedOut) return reported ? { kind: "merged", reason: "the cloud was told" } : undefined;
  return held?.metadata.uid === intent.pod.uid
    ? undefined
    : { kind: "merged", reason: "the pod is gone" };
}

function decideRemove(intent: PodIntent, { held }: MergeFacts): Decision | undefined {
  if (!held) return { kind: "merged", reason: "the cloud has deleted the pod" };
  if (held.metadata.uid !== intent.pod.uid) {
    const uid = held.metadata.uid ?? "";
    return {
      kind: "conflict",
      reason: `the cloud has replaced the pod by another of this name (uid ${uid})`,
    };
  }
  if (held.metadata.deletionTimestamp) {
    return { kind: "merged", reason: "the cloud deletes the pod" };
  }
  const mark = conflictOf(held);
  return mark?.intent === intent.id ? { kind: "conflict", reason: mark.reason } : undefined;
}
