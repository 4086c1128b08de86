/**
 * Events are told for an hour, as in Kubernetes, then deleted, so that they never fill the store.
 * The sweep reads whole state and may be cut off at any point.
 */
import { isAppError } from "../../shared/errors.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import type { ObjectStorage, ResourceId } from "./storage.ts";

export const EVENT_TTL_MS = 3_600_000;
export const EVENT_SWEEP_MS = 60_000;

const EVENTS: ResourceId = { group: "", resource: "events" };

/** When an event was last seen, in epoch milliseconds; NaN when it does not say. */
export function lastSeenMs(event: KubeObject): number {
  const series = event.series as { lastObservedTime?: string } | undefined; // typed by the schema
  const times = [
    series?.lastObservedTime,
    event.lastTimestamp,
    event.eventTime,
    event.metadata.creationTimestamp,
  ].filter((time) => typeof time === "string").map((time) => Date.parse(time));
  const known = times.filter((time) => !Number.isNaN(time));
  return known.length === 0 ? NaN : Math.max(...known);
}

/** Deletes events last seen more than an hour before `nowMs`; says how many. */
export async function expireEvents(storage: ObjectStorage, nowMs: number): Promise<number> {
  let deleted = 0;
  for (const { metadata } of storage.list(EVENTS, undefined).filter((one) => isOld(one, nowMs))) {
    try {
      await storage.write(EVENTS, metadata.namespace, metadata.name ?? "", (current) => {
        if (!current || !isOld(current, nowMs)) return { kind: "keep" };
        deleted++;
        return { kind: "delete" };
      });
    } catch (error) {
      if (!isAppError(error, "not_found")) throw error; // gone meanwhile, which is the goal
    }
  }
  return deleted;
}

function isOld(event: KubeObject, nowMs: number): boolean {
  const seenMs = lastSeenMs(event);
  return Number.isNaN(seenMs) || nowMs - seenMs > EVENT_TTL_MS;
}
