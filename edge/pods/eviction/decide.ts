/**
 * Whether the node is under pressure, and which shortage is to be acted on now: kubelet's rules.
 * Pure. A threshold that was met stays met until it is left by its minimum reclaim; a pressure is
 * held for the transition period after it was last seen, so that a node does not flap.
 */
import { type Pressure, pressureOf, type Signal, type Threshold, valueOf } from "./thresholds.ts";

export interface Observation {
  available: number;
  capacity: number;
}

export type Observations = Partial<Record<Signal, Observation>>;

export interface EvictionState {
  /** Since when each threshold has been met, by its place in the list; monotonic. */
  metSinceMs: ReadonlyMap<number, number>;
  /** When each pressure was last seen; monotonic. */
  pressureSeenAtMs: ReadonlyMap<Pressure, number>;
}

export const NO_EVICTION: EvictionState = { metSinceMs: new Map(), pressureSeenAtMs: new Map() };

/** A shortage, with what was seen. */
export interface Shortage {
  threshold: Threshold;
  observation: Observation;
}

export interface Decision {
  state: EvictionState;
  pressures: ReadonlySet<Pressure>;
  /** The first to be acted on; undefined when there is nothing to do. */
  act: Shortage | undefined;
}

export interface DecisionInput {
  thresholds: readonly Threshold[];
  observations: Observations;
  state: EvictionState;
  transitionMs: number;
  nowMs: number;
}

export function decideEviction(input: DecisionInput): Decision {
  const { thresholds, observations, state, transitionMs, nowMs } = input;
  const metSinceMs = new Map<number, number>();
  thresholds.forEach((threshold, index) => {
    const since = state.metSinceMs.get(index);
    if (isShort(threshold, observations, since !== undefined)) {
      metSinceMs.set(index, since ?? nowMs);
    }
  });
  const pressureSeenAtMs = new Map(
    [...state.pressureSeenAtMs].filter(([, seenAtMs]) => nowMs - seenAtMs < transitionMs),
  );
  const due: Shortage[] = [];
  for (const [index, sinceMs] of metSinceMs) {
    const threshold = thresholds[index]!; // the map was filled from the list above
    pressureSeenAtMs.set(pressureOf(threshold.signal), nowMs);
    if (nowMs - sinceMs < threshold.graceMs) continue;
    due.push({ threshold, observation: observations[threshold.signal]! }); // met: it was seen
  }
  due.sort((a, b) => urgency(a) - urgency(b));
  return {
    state: { metSinceMs, pressureSeenAtMs },
    pressures: new Set(pressureSeenAtMs.keys()),
    act: due[0],
  };
}

/** True when less is available than must be; what is already short must leave by a margin. */
export function isShort(
  { signal, amount, minReclaim }: Threshold,
  observations: Observations,
  wasShort: boolean,
): boolean {
  const seen = observations[signal];
  if (!seen || seen.capacity <= 0) return false;
  const margin = wasShort && minReclaim ? valueOf(minReclaim, seen.capacity) : 0;
  return seen.available < valueOf(amount, seen.capacity) + margin;
}

/** Memory first, for it cannot wait; hard before soft. */
function urgency({ threshold: { signal, isHard } }: Shortage): number {
  return (signal === "memory.available" ? 0 : 2) + (isHard ? 0 : 1);
}
