import { assertEquals, assertThrows } from "@std/assert";
import { Encoder } from "cbor-x";
import { fc } from "../testing/property.ts";
import { AppError } from "../errors.ts";
import { decodeBody, encodeBody } from "./codec.ts";

Deno.test("encodeBody() and decodeBody() carry JSON values unchanged", () => {
  fc.assert(fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
    const text = JSON.stringify(value);
    fc.pre(!text.includes('"__proto__":')); // the decoder renames that one, for good reason
    const json = JSON.parse(text); // without -0, which JSON does not know
    assertEquals(decodeBody(encodeBody(json), "value"), json);
  }));
});

Deno.test("decodeBody() drops what JSON would leave out", () => {
  assertEquals(decodeBody(encodeBody({ a: undefined, b: 1 }), "value"), { b: 1 });
});

Deno.test("decodeBody() refuses what is not JSON and names where", () => {
  const encoder = new Encoder({ useRecords: false, tagUint8Array: false });
  for (const value of [new Date(0), new Uint8Array(2), new Set([1]), NaN, 10n ** 30n]) {
    const bytes = new Uint8Array(encoder.encode({ spec: [value] }));
    assertThrows(() => decodeBody(bytes, "pod"), AppError, "pod.spec[0]");
  }
});

Deno.test("decodeBody() refuses torn, deep and random bytes with one error", () => {
  const deep = new Uint8Array(100_000).fill(0x81); // arrays of one, within each other
  assertThrows(() => decodeBody(deep, "x"), AppError);
  assertThrows(() => decodeBody(encodeBody({ a: "long enough" }).subarray(0, 6), "x"), AppError);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
    try {
      decodeBody(bytes, "x");
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
    }
  }));
});
