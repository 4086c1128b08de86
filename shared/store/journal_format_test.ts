import { assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../errors.ts";
import { crc32c } from "./crc32c.ts";
import {
  decodeHeader,
  encodeFrame,
  encodeHeader,
  HEADER_BYTES,
  JOURNAL_FORMAT,
  scanSegment,
} from "./journal_format.ts";

const text = new TextEncoder();

/** A segment with `payloads`, and `room` zeros behind. */
function segment(payloads: string[], room = 100): Uint8Array {
  const frames = payloads.map((payload) => encodeFrame(text.encode(payload)));
  const header = encodeHeader({ firstSequence: 1, baseSequence: 0 });
  const size = frames.reduce((sum, frame) => sum + frame.length, HEADER_BYTES + room);
  const bytes = new Uint8Array(size);
  bytes.set(header);
  let at = HEADER_BYTES;
  for (const frame of frames) {
    bytes.set(frame, at);
    at += frame.length;
  }
  return bytes;
}

function scan(bytes: Uint8Array) {
  const payloads: string[] = [];
  const { tail } = scanSegment(bytes, (payload) => {
    payloads.push(new TextDecoder().decode(payload));
    return true;
  });
  return { payloads, tail: tail.kind };
}

Deno.test("crc32c() gives the known checksums, whatever the length", () => {
  assertEquals(crc32c(text.encode("123456789")), 0xe3069283);
  assertEquals(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assertEquals(crc32c(text.encode("")), 0);
  assertEquals(crc32c(text.encode("x123456789y"), 1, 10), 0xe3069283);
});

Deno.test("journal header comes back, and no flipped bit of it passes", () => {
  const header = { firstSequence: 2 ** 40, baseSequence: 2 ** 40 - 1 };
  const bytes = encodeHeader(header);
  assertEquals(decodeHeader(bytes, "j"), { ...header, format: JOURNAL_FORMAT });
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(decodeHeader(flipped, "j"), undefined, `bit ${bit}`);
  }
  assertEquals(decodeHeader(bytes.subarray(0, 60), "j"), undefined);
});

Deno.test("journal header of a later format is refused by name, not taken for damage", () => {
  const bytes = encodeHeader({ firstSequence: 1, baseSequence: 0 });
  const view = new DataView(bytes.buffer);
  view.setUint32(8, JOURNAL_FORMAT + 1, true);
  view.setUint32(60, crc32c(bytes, 0, 60), true);
  assertThrows(() => decodeHeader(bytes, "journal-1"), AppError, "journal-1");
});

Deno.test("scanSegment() tells a clean end, a torn write and damage apart", () => {
  const whole = segment(["first", "second"]);
  const end = whole.length - 100;
  assertEquals(scan(whole), { payloads: ["first", "second"], tail: "clean" });
  assertEquals(scan(segment([])), { payloads: [], tail: "clean" });
  // a write cut short anywhere leaves zeros
  const second = end - encodeFrame(text.encode("second")).length;
  for (let at = second + 1; at < end; at++) {
    const torn = whole.slice();
    torn.fill(0, at);
    assertEquals(scan(torn), { payloads: ["first"], tail: "torn" }, `torn at ${at}`);
  }
  // any flipped bit of a record, in the middle or at the end
  for (let bit = HEADER_BYTES * 8; bit < end * 8; bit++) {
    const flipped = whole.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    const payloads = bit < second * 8 ? [] : ["first"];
    assertEquals(scan(flipped), { payloads, tail: "damaged" }, `bit ${bit}`);
  }
  // a file cut short: no journal ends without spare room
  for (let size = HEADER_BYTES; size <= end; size++) {
    assertEquals(scan(whole.slice(0, size)).tail, "damaged", `size ${size}`);
  }
});
