/**
 * What goes on while programs are killed, and what must be true of it afterwards. A load notes what
 * was acknowledged to it, and nothing else: an answer that never came promises nothing. Every load
 * goes on over every failure until its signal ends it, and then says in `faults` which promises
 * were broken.
 */
import type { Clock } from "../../../shared/clock.ts";
import type { Site } from "../site.ts";

export interface Load {
  readonly name: string;
  run(site: Site, signal: AbortSignal): Promise<void>;
  /** After healing: one line for each promise that was not kept. */
  faults(site: Site): Promise<string[]>;
  /** What was done, for people: "812 writes acknowledged". */
  summary(): string;
}

/** An answer takes this long at most; a program that is down refuses at once. */
const ANSWER_MS_MAX = 5_000;

/** Whether a request was acknowledged, and what was answered; undefined: nobody knows. */
export async function attempt<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<{ value: T } | undefined> {
  try {
    return { value: await ask(AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)])) };
  } catch {
    return undefined; // killed on the way, not there, or too slow: no promise was made
  }
}

/** The body of a request with a JSON body, as `fetch` takes it. */
export function json(method: string, body: unknown, type = "application/json"): RequestInit {
  return { method, body: JSON.stringify(body), headers: { "content-type": type } };
}

/** Repeats `step` until the signal ends it. */
export async function repeat(
  clock: Clock,
  everyMs: number,
  step: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await step();
    await clock.sleep(everyMs, signal).catch(() => {}); // ended: the loop sees it
  }
}
