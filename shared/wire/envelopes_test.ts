import { assertEquals, assertThrows } from "@std/assert";
import { fc } from "../testing/property.ts";
import { AppError } from "../errors.ts";
import { encodeEnvelope, EnvelopeDecoder } from "./envelopes.ts";

Deno.test("envelopes come back whole, however their bytes are cut", () => {
  const bodies = fc.array(fc.tuple(fc.nat(3), fc.uint8Array({ maxLength: 40 })), { maxLength: 8 });
  fc.assert(fc.property(bodies, fc.integer({ min: 1, max: 30 }), (envelopes, size) => {
    const bytes = envelopes.flatMap(([flags, body]) => [...encodeEnvelope(flags, body)]);
    const decoder = new EnvelopeDecoder(40);
    const found: [number, number[]][] = [];
    for (let at = 0; at < bytes.length; at += size) {
      const chunk = new Uint8Array(bytes.slice(at, at + size));
      for (const { flags, body } of decoder.push(chunk)) found.push([flags, [...body]]);
    }
    assertEquals(found, envelopes.map(([flags, body]) => [flags, [...body]]));
    assertEquals(decoder.partial, false);
  }));
});

Deno.test("an envelope beyond the bound is refused by its head", () => {
  const head = encodeEnvelope(0, new Uint8Array(101)).subarray(0, 5);
  assertThrows(() => [...new EnvelopeDecoder(100).push(head)], AppError, "<= 100 bytes, got 101");
  const decoder = new EnvelopeDecoder(101);
  assertEquals([...decoder.push(head)], []);
  assertEquals(decoder.partial, true);
});
