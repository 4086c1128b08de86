/** Waits for a state by looking again each time the event loop turns; fails after many turns. */
import { assert } from "@std/assert";

/** Far more turns than any in-memory chain of promises needs. */
const TURNS_MAX = 20_000;

export async function until(isTrue: () => boolean, what: string): Promise<void> {
  for (let turn = 0; turn < TURNS_MAX; turn++) {
    if (isTrue()) return;
    await new Promise<void>((resolve) => queueMicrotask(resolve));
  }
  assert(isTrue(), `still waiting until ${what}`);
}

/** Lets everything that can go on without timers go on. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 200; turn++) await Promise.resolve();
}
