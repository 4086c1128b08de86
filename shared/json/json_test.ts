import { assertEquals, assertThrows } from "@std/assert";
import { fc } from "../testing/property.ts";
import { AppError } from "../errors.ts";
import { canonicalJson, cloneJson, deepEqual, JSON_DEPTH_MAX, jsonTypeOf } from "./json.ts";

Deno.test("canonicalJson() sorts keys and leaves out what is undefined", () => {
  assertEquals(
    canonicalJson({ b: [1, { d: null, c: "ü" }], a: undefined }),
    '{"b":[1,{"c":"ü","d":null}]}',
  );
});

Deno.test("equal values have equal canonical text, and a clone is equal", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
    assertEquals(deepEqual(a, b), canonicalJson(a) === canonicalJson(b));
    assertEquals(deepEqual(cloneJson(a), a), true);
    assertEquals(deepEqual(JSON.parse(canonicalJson(a)), JSON.parse(JSON.stringify(a))), true);
  }));
});

Deno.test("cloneJson() keeps a key called __proto__ as data", () => {
  const value = JSON.parse('{"__proto__":{"x":1}}');
  assertEquals(JSON.stringify(cloneJson(value)), '{"__proto__":{"x":1}}');
});

Deno.test("a value nested too deep is refused", () => {
  let value: unknown = 1;
  for (let depth = 0; depth <= JSON_DEPTH_MAX; depth++) value = [value];
  assertThrows(() => cloneJson(value), AppError, "nesting must be");
  assertThrows(() => canonicalJson(value), AppError, "nesting must be");
});

Deno.test("jsonTypeOf() names types as JSON does", () => {
  assertEquals([null, [], {}, "", 1, true].map(jsonTypeOf), [
    "null",
    "array",
    "object",
    "string",
    "number",
    "bool",
  ]);
});
