import { assertEquals, assertThrows } from "@std/assert";
import { fc } from "../testing/property.ts";
import { AppError } from "../errors.ts";
import { decodeAckRanges, encodeAckRanges } from "./ack_ranges.ts";

Deno.test("acknowledged sequences come back from their ranges, each once, in order", () => {
  const sequences = fc.array(fc.oneof(
    fc.integer({ min: 0, max: 50 }),
    fc.integer({ min: 2 ** 52, max: 2 ** 52 + 50 }),
  ));
  fc.assert(fc.property(sequences, (numbers) => {
    const decoded = decodeAckRanges(encodeAckRanges(numbers.map(BigInt)));
    const all = decoded.flatMap(({ from, to }) =>
      Array.from({ length: to - from + 1 }, (_, i) => from + i)
    );
    assertEquals(all, [...new Set(numbers)].sort((a, b) => a - b));
  }));
});

Deno.test("a run of sequences is one range", () => {
  const run = Array.from({ length: 256 }, (_, i) => 2n ** 52n + BigInt(i));
  assertEquals(encodeAckRanges(run), [2n ** 52n, 255n]);
});

Deno.test("what cannot be ranges is refused", () => {
  assertThrows(() => decodeAckRanges([1n]), AppError, "pairs");
  assertThrows(() => decodeAckRanges([2n ** 60n, 0n]), AppError, "2^53");
  assertThrows(() => decodeAckRanges(Array(2 * 8_193).fill(1n)), AppError, "pairs");
});
