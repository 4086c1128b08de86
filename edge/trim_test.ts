import { assert, assertEquals } from "@std/assert";
import { SimClock } from "../shared/testing/sim_clock.ts";
import { cleanMappings, trim, trimWhenDue } from "./trim.ts";

const EXE = "/opt/skerry/skerry edge";

/** One mapping as smaps shows it. */
function mapping(range: string, access: string, file: string, anonymousKiB = 0, swapKiB = 0) {
  return [
    `${range} ${access} 00000000 fe:00 99 ${" ".repeat(15)}${file}`.trimEnd(),
    "Size:               1000 kB",
    `Anonymous:          ${anonymousKiB} kB`,
    "AnonHugePages:         0 kB",
    `Swap:               ${swapKiB} kB`,
    "SwapPss:               0 kB",
    "VmFlags: rd ex mr mw me",
  ].join("\n");
}

Deno.test("only what holds nothing but the executable's file is dropped", () => {
  const smaps = [
    mapping("1000-2000", "rw-p", "", 4),
    mapping("5000-6000", "r--p", EXE),
    mapping("6000-9000", "r-xp", EXE),
    mapping("9000-a000", "r--p", EXE, 4),
    mapping("a000-b000", "r--p", EXE, 0, 4),
    mapping("b000-c000", "rw-p", EXE),
    mapping("c000-d000", "rw-p", "[heap]", 4),
    mapping("e000-f000", "r-xp", EXE),
    mapping("f000-ffffffffffff1000", "r-xp", "/lib/libc.so.6"),
  ].join("\n");
  assertEquals(cleanMappings(smaps, EXE), [
    { address: 0x5000n, bytes: 0x1000n },
    { address: 0x6000n, bytes: 0x3000n },
  ]);
});

Deno.test("nothing is dropped without the facts, or when the executable was replaced", () => {
  const noFacts = `5000-6000 r-xp 00000000 fe:00 99    ${EXE}\nSize: 4 kB\n`;
  assertEquals(cleanMappings(noFacts, EXE), []);
  assertEquals(cleanMappings(mapping("5000-6000", "r-xp", `${EXE} (deleted)`), EXE), []);
  assertEquals(cleanMappings("", EXE), []);
});

Deno.test("a process goes on after a trim of its own executable", () => {
  assert(trim() > 0);
  assertEquals(JSON.parse(JSON.stringify({ a: [1, "b"] })), { a: [1, "b"] });
});

Deno.test("memory is trimmed after the start, and after a burst at rest", async () => {
  const MB = 1024 * 1024;
  const clock = new SimClock();
  const trims: number[] = [];
  let [used, slack] = [30 * MB, 5 * MB];
  const end = new AbortController();
  const running = trimWhenDue({
    clock,
    anonymousBytes: () => used + slack,
    trim: () => {
      trims.push(Math.round(clock.monotonicMs() / 1_000));
      slack = 0;
      return Promise.resolve();
    },
  }, end.signal).catch(() => {}); // ends by its signal alone
  await clock.advance(300_000);
  assertEquals(trims, [15]);
  for (let i = 0; i < 6; i++) { // a burst: it grows from look to look
    slack += 3 * MB;
    await clock.advance(30_000);
  }
  assertEquals(trims, [15]);
  await clock.advance(60_000);
  assertEquals(trims.length, 2);
  slack = 20 * MB;
  await clock.advance(500_000); // soon after: not again yet
  assertEquals(trims.length, 2);
  await clock.advance(200_000);
  assertEquals(trims.length, 3);
  used = 60 * MB; // more is in use now: that is no slack
  await clock.advance(3_600_000);
  assertEquals(trims.length, 4);
  end.abort();
  await running;
});
