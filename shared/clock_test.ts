import { assert, assertRejects } from "@std/assert";
import { SystemClock } from "./clock.ts";

Deno.test("system clock: a sleep never ends early, whatever its fraction", async () => {
  const clock = new SystemClock();
  for (const ms of [0, 0.4, 1.9, 2.999]) {
    const beginMs = clock.monotonicMs();
    await clock.sleep(ms);
    const sleptMs = clock.monotonicMs() - beginMs;
    assert(sleptMs >= ms, `slept ${sleptMs} ms of ${ms}`);
  }
});

Deno.test("system clock: a sleep ends with its signal's reason", async () => {
  const stop = new AbortController();
  const slept = new SystemClock().sleep(60_000, stop.signal);
  stop.abort(new Error("enough"));
  await assertRejects(() => slept, Error, "enough");
});
