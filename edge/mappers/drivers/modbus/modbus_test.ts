import { assert, assertEquals, assertThrows } from "@std/assert";
import { fc } from "../../../../shared/testing/property.ts";
import { SeededRandom } from "../../../../shared/random.ts";
import type { Point } from "../../port.ts";
import { type Address, addressOf } from "./address.ts";
import { decode, encode } from "./codec.ts";
import { planReads, slice } from "./plan_reads.ts";
import { crc16, findFrame } from "./rtu_port.ts";

function point(type: Point["type"], config: Record<string, unknown>, minimum?: string): Point {
  const register = "HoldingRegister";
  return {
    name: "p",
    type,
    readOnly: false,
    config: { register, offset: 0, ...config },
    ...(minimum === undefined ? {} : { minimum }),
  };
}

Deno.test("values in registers", () => {
  const cases: [Point, number[], string][] = [
    [point("INT", {}), [0xff, 0xfe], "65534"],
    [point("INT", {}, "-1"), [0xff, 0xfe], "-2"],
    [point("INT", { signed: true, limit: 2 }), [0xff, 0xff, 0xff, 0xfe], "-2"],
    [point("INT", { limit: 4 }), [0, 32, 0, 0, 0, 0, 0, 1], "9007199254740993"],
    [point("INT", { isSwap: "true" }), [1, 0], "1"],
    [point("INT", { limit: 2, isRegisterSwap: true }), [0, 1, 0, 0], "1"],
    [point("INT", { scale: "0.1" }), [0, 30], "3"],
    [point("FLOAT", { limit: 1, scale: 0.1 }), [0, 3], "0.3"],
    [point("FLOAT", {}), [0x3d, 0xcc, 0xcc, 0xcd], "0.1"],
    [point("DOUBLE", {}), [0x3f, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a], "0.1"],
    [point("DOUBLE", { encoding: "int16" }), [0xff, 0xff], "-1"],
    [point("BOOLEAN", {}), [0, 2], "true"],
    [point("STRING", { limit: 2 }), [104, 105, 0, 65], "hi"],
    [point("BYTES", { limit: 1 }), [1, 255], "Af8="],
  ];
  for (const [where, bytes, text] of cases) {
    assertEquals(decode(addressOf(where), new Uint8Array(bytes)), text, JSON.stringify(where));
  }
});

Deno.test("what is no value of its type is an error, not a value", () => {
  const nan = new Uint8Array([0x7f, 0xc0, 0, 0]);
  assertThrows(() => decode(addressOf(point("FLOAT", {})), nan), Error, "finite");
  assertThrows(() => encode(addressOf(point("INT", {})), "65536"), Error, "from 0 to 65535");
  assertThrows(() => encode(addressOf(point("INT", {})), "-1"), Error, "from 0");
  const text = addressOf(point("STRING", { limit: 1 }));
  assertThrows(() => encode(text, "long"), Error, "at most 2 bytes");
});

Deno.test("settings that cannot work are named", () => {
  const bad: [Record<string, unknown>, string][] = [
    [{ register: "x" }, "register"],
    [{ offset: -1 }, "offset"],
    [{ offset: 65_535, limit: 2 }, "together"],
    [{ limit: 3 }, "limit"],
    [{ scale: "much" }, "scale"],
    [{ scale: 0 }, "scale"],
    [{ encoding: "bcd" }, "encoding"],
  ];
  for (const [config, key] of bad) assertThrows(() => addressOf(point("INT", config)), Error, key);
});

Deno.test("a rounded value is known before it is read back", () => {
  const address = addressOf(point("FLOAT", { limit: 1, scale: 0.1 }));
  const { bytes, expected } = encode(address, "21.54");
  assertEquals([expected, decode(address, bytes)], ["21.5", "21.5"]);
});

Deno.test("whatever is written is read back, in every order of bytes", () => {
  const orders = fc.record({ isSwap: fc.boolean(), isRegisterSwap: fc.boolean() });
  fc.assert(fc.property(orders, fc.bigInt(0n, 2n ** 64n - 1n), (order, value) => {
    // the type INT ends at 2^63 - 1: as it is, in 64 signed bits
    const address = addressOf(point("INT", { ...order, limit: 4, signed: true }));
    const text = BigInt.asIntN(64, value).toString();
    assertEquals(decode(address, encode(address, text).bytes), text);
  }));
  fc.assert(
    fc.property(orders, fc.float({ noNaN: true, noDefaultInfinity: true }), (order, value) => {
      const address = addressOf(point("FLOAT", order));
      const text = decode(address, encode(address, String(value)).bytes);
      assertEquals(Math.fround(Number(text)) + 0, value + 0);
    }),
  );
});

Deno.test("neighbours are read together, up to what an answer carries", () => {
  const at = (name: string, offset: number, register = "HoldingRegister", limit = 1): Address =>
    addressOf({ ...point("INT", { offset, register, limit }), name });
  const requests = planReads([
    at("far", 500),
    at("b", 9),
    at("a", 0),
    at("input", 1, "InputRegister"),
    at("c", 19),
  ]).map(({ register, offset, count }) => `${register[0]} ${offset} ${count}`);
  assertEquals(requests, ["H 0 10", "H 19 1", "H 500 1", "I 1 1"]);
  const all = Array.from({ length: 1_000 }, (_, i) => at(String(i), i));
  assertEquals(planReads(all).map(({ count }) => count), Array(8).fill(125));
  assertEquals(planReads([at("a", 0), at("b", 1), at("c", 2)], new Set(["b"])).length, 2);
});

Deno.test("bits of a joined answer are moved to their place", () => {
  const bit = (name: string, offset: number, limit: number) =>
    addressOf({ ...point("INT", { register: "CoilRegister", offset, limit }), name });
  const [request] = planReads([bit("a", 3, 1), bit("b", 5, 10)]);
  assert(request);
  const bytes = new Uint8Array([0b1111_1101, 0b0000_0001]);
  assertEquals(request.count, 12);
  const values = request.addresses.map((each) => decode(each, slice(request, bytes, each)));
  assertEquals(values, ["1", String(0b0111_1111)]);
});

Deno.test("a frame is found in noise, and noise is no frame", () => {
  const frame = [17, 3, 2, 0, 7];
  const sum = crc16(new Uint8Array(frame));
  const whole = [...frame, sum & 255, sum >> 8];
  const asked = { unit: 17, code: 3 };
  assertEquals(findFrame(new Uint8Array([0, 17, 3, ...whole, 9]), asked), new Uint8Array(whole));
  assertEquals(findFrame(new Uint8Array(whole.slice(0, -1)), asked), undefined);
  const random = new SeededRandom(7);
  for (let i = 0; i < 2_000; i++) {
    const noise = random.bytes(Math.floor(random.float() * 64));
    const found = findFrame(noise, asked);
    // a checksum of 16 bits may hit by chance: then it is a frame like any other
    if (found) assertEquals(found[0], 17);
  }
});
