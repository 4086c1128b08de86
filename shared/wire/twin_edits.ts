/**
 * How the cloud tells a node what became of its edits of twins: a mark on the Device, per property
 * the last edit decided on. Both sides read it: people with `kubectl describe`, the node to end
 * what it holds over the cloud's word.
 */
import type { KubeObject } from "../k8s/types.ts";

/** `{"<property>": {"intent": id, "conflict"?: reason}}` as JSON. */
export const TWIN_EDITS_ANNOTATION = "skerry.dev/twin-edits";

/** Properties marked on one device; the longest unchanged go first. */
const MARKS_MAX = 64;

export interface TwinDecision {
  intent: string;
  /** Why the edit was not followed; absent: it was. */
  conflict?: string;
}

export type TwinDecisions = Record<string, TwinDecision>;

/** What is written there; what people wrote there by hand counts as nothing. */
export function twinDecisions(object: KubeObject): TwinDecisions {
  const text = object.metadata.annotations?.[TWIN_EDITS_ANNOTATION];
  if (text === undefined) return {};
  try {
    const entries = Object.entries(Object(JSON.parse(text)));
    return Object.fromEntries(entries.flatMap(([property, value]): [string, TwinDecision][] => {
      const { intent, conflict } = Object(value);
      if (typeof intent !== "string") return [];
      const why = typeof conflict === "string" ? { conflict } : {};
      return [[property, { intent, ...why }]];
    }));
  } catch {
    return {}; // not ours
  }
}

/** The decision on this very edit, when there is one. */
export function decisionOnTwin(
  object: KubeObject,
  property: string,
  intent: string,
): TwinDecision | undefined {
  const decisions = twinDecisions(object);
  const decision = Object.hasOwn(decisions, property) ? decisions[property] : undefined;
  return decision?.intent === intent ? decision : undefined;
}

/** The annotation's text with one more decision. */
export function withTwinDecision(
  object: KubeObject,
  property: string,
  decision: TwinDecision,
): string {
  const others = Object.entries(twinDecisions(object)).filter(([name]) => name !== property);
  const kept = others.slice(Math.max(0, others.length - MARKS_MAX + 1));
  return JSON.stringify(Object.fromEntries([...kept, [property, decision]]));
}
