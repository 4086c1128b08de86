import { assert, assertEquals } from "@std/assert";
import type { PropertyType } from "../k8s/devices.ts";
import { VALUE_BYTES_MAX, valueProblem } from "./values.ts";

Deno.test("texts that are values of their type", () => {
  const good: [PropertyType, string[]][] = [
    ["INT", ["0", "-7", "9223372036854775807", "-9223372036854775808"]],
    ["FLOAT", ["1", "-1.5", ".5", "3.4e38", "3.4028235e+38", "1e-40"]],
    ["DOUBLE", ["0.1", "3.141592653589793238462643", "-1.7976931348623157e308", "+1."]],
    ["BOOLEAN", ["true", "false", "True", "0"]],
    ["BYTES", ["", "AQID", "AQ=="]],
    ["STRING", ["", "a b", '{"a": [1, "ü"]}', "%+\"'"]],
  ];
  for (const [type, texts] of good) {
    for (const text of texts) assertEquals(valueProblem(type, text), undefined, `${type} ${text}`);
  }
});

Deno.test("texts that are not", () => {
  const bad: [PropertyType, string[]][] = [
    ["INT", ["", "1.0", "1e3", "9223372036854775808", "0x10", " 1", "NaN"]],
    ["FLOAT", ["", "x", "1e39", "3.4028236e38", "Infinity", "1,5"]],
    ["DOUBLE", ["1e309", "NaN", "0x1p3", "--1"]],
    ["BOOLEAN", ["", "yes", "2"]],
    ["BYTES", ["A", "====", "a b="]],
  ];
  for (const [type, texts] of bad) {
    for (const text of texts) assert(valueProblem(type, text), `${type} ${text}`);
  }
});

Deno.test("bounds are kept to the last digit", () => {
  const large = { minimum: "9007199254740993", maximum: "9007199254740995" };
  assert(valueProblem("INT", "9007199254740992", large));
  assertEquals(valueProblem("INT", "9007199254740993", large), undefined);
  assert(valueProblem("INT", "9007199254740996", large));
  assertEquals(
    valueProblem("DOUBLE", "120.5", { minimum: "-40", maximum: "120" }),
    "must be less than or equal to the model's maximum, 120",
  );
  assertEquals(valueProblem("INT", "5", { minimum: "x" }), undefined);
});

Deno.test("a value is at most 64 KiB of UTF-8, whatever its characters", () => {
  assertEquals(valueProblem("STRING", "x".repeat(VALUE_BYTES_MAX)), undefined);
  assert(valueProblem("STRING", "x".repeat(VALUE_BYTES_MAX + 1)));
  assert(valueProblem("STRING", "ü".repeat(VALUE_BYTES_MAX / 2 + 1)));
});
