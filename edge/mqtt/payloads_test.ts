import { assert, assertEquals, assertThrows } from "@std/assert";
import { fc } from "../../shared/testing/property.ts";
import { AppError } from "../../shared/errors.ts";
import { errorResult, twinDelta, twinDocument } from "./answers.ts";
import { parseHeader, parseMessage, parseState, parseTwinUpdate } from "./payloads.ts";

const SEED = { seed: 7_919, numRuns: 3_000 };

function bytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
}

Deno.test("parseTwinUpdate() takes what KubeEdge's clients send", () => {
  const message = parseMessage(bytes({
    event_id: "e",
    timestamp: 1_550_049_403_598,
    twin: {
      a: { actual: { value: "x y {}", metadata: { timestamp: 1_550_049_403_598 } } },
      b: { expected: { value: 1.5 }, optional: true, metadata: { type: "float" } },
      c: { actual: { value: true }, actual_version: { cloud: 1, edge: 3 } },
    },
  }));
  assertEquals(parseHeader(message), { eventId: "e", timestampMs: 1_550_049_403_598 });
  assertEquals(parseTwinUpdate(message), {
    reported: {
      a: { value: "x y {}", metadata: { timestamp: "1550049403598" } },
      c: { value: "true", version: 3 },
    },
    desired: [{ property: "b", value: "1.5" }],
    properties: ["a", "b", "c"],
  });
});

Deno.test("what cannot be read is named", () => {
  const cases: [unknown, RegExp][] = [
    ["{", /must be JSON/],
    ["[1]", /the message must be an object/],
    [{ twin: [] }, /twin must be an object, got a list/],
    [{ twin: {} }, /twin must be of 1 to 1000 properties/],
    [{ twin: { a: 1 } }, /twin\.a must be an object/],
    [{ twin: { a: {} } }, /twin\.a must have actual or expected/],
    [{ twin: { a: { actual: {} } } }, /twin\.a\.actual\.value must be a text/],
    [{ twin: { a: { actual: { value: {} } } } }, /twin\.a\.actual\.value must be a text/],
    [{ twin: { a: { actual: { value: 2 ** 60 } } } }, /more than 15 digits/],
    [{ twin: { a: null } }, /Cannot delete twin\.a/],
    [{ twin: { a: { metadata: { type: "deleted" } } } }, /Cannot delete twin\.a/],
    [{ twin: { a: { actual: { value: "1" }, actual_version: "x" } } }, /actual_version/],
    [{ event_id: 5 }, /event_id must be a text/],
    [{ timestamp: "now" }, /timestamp must be milliseconds/],
    [{ state: 1 }, /state must be a text/],
  ];
  for (const [given, says] of cases) {
    const read = () => {
      const message = parseMessage(bytes(given));
      parseHeader(message);
      if ("state" in message) parseState(message);
      else parseTwinUpdate(message);
    };
    const error = assertThrows(read, AppError);
    assert(says.test(error.message), `${JSON.stringify(given)}: ${error.message}`);
    assertEquals(error.code, "invalid");
  }
  assertThrows(() => parseMessage(Uint8Array.of(0x7b, 0xff, 0x7d)), AppError, "UTF-8");
});

Deno.test("any bytes and any JSON are read or refused as invalid", () => {
  const attempt = (payload: Uint8Array) => {
    try {
      const message = parseMessage(payload);
      parseHeader(message);
      parseTwinUpdate(message);
    } catch (error) {
      assert(error instanceof AppError && error.code === "invalid", String(error));
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), attempt), SEED);
  const twin = fc.dictionary(
    fc.string(),
    fc.oneof(
      fc.jsonValue(),
      fc.record({ actual: fc.record({ value: fc.jsonValue(), metadata: fc.jsonValue() }) }),
      fc.record({
        expected: fc.record({ value: fc.jsonValue() }),
        expected_version: fc.jsonValue(),
      }),
    ),
  );
  const message = fc.record({ event_id: fc.jsonValue(), timestamp: fc.jsonValue(), twin }, {
    requiredKeys: [],
  });
  fc.assert(fc.property(message, (value) => attempt(bytes(value))), SEED);
  attempt(bytes("[".repeat(100_000)));
  attempt(bytes(`{"twin":{"a":${'{"actual":'.repeat(20_000)}`));
});

Deno.test("errors say code, reason and rule", () => {
  const stamp = { eventId: "e", nowMs: 5.5 };
  const error = new AppError("stale", "Version of a must be >= 3, got 1", { rule: "stale" });
  assertEquals(JSON.parse(errorResult(stamp, error)), {
    event_id: "e",
    timestamp: 6,
    code: 409,
    reason: "Version of a must be >= 3, got 1",
    rule: "stale",
  });
  assertEquals(JSON.parse(errorResult(stamp, new AppError("exhausted", "busy"))).code, 503);
  assertEquals(JSON.parse(errorResult(stamp, new Error("bug"))).code, 500);
});

Deno.test("a delta lists all that is desired, and what is not followed", () => {
  const stamp = { eventId: "e", nowMs: 1 };
  const desired = (value: string) => ({ value, version: 2, atMs: 9, source: "cloud" as const });
  const base = { type: "INT" as const, readOnly: false, desiredVersion: 2 };
  const open = { ...base, property: "a", pending: true, desired: desired("1") };
  const done = { ...base, property: "b", pending: false, desired: desired("2") };
  const none = { ...base, property: "c", pending: false };
  assertEquals(twinDelta(stamp, [done, none]), undefined);
  const delta = JSON.parse(twinDelta(stamp, [open, done, none])!);
  assertEquals(Object.keys(delta.twin), ["a", "b"]);
  assertEquals(delta.delta, { a: "1" });
  const before = { desiredVersion: 0 };
  const steps = [{ property: "a", type: "INT", before, after: { ...open } }];
  const { twin } = JSON.parse(twinDocument(stamp, steps));
  assertEquals(twin.a.last, null);
  assertEquals(twin.a.current.expected, { value: "1", metadata: { timestamp: 9 } });
  assertEquals(twin.a.current.expected_version, { cloud: 0, edge: 2 });
});
