import { assertEquals, assertThrows } from "@std/assert";
import { fc } from "../testing/property.ts";
import { AppError } from "../errors.ts";
import {
  addQuantity,
  canonicalQuantity,
  compareQuantity,
  formatQuantity,
  milliValue,
  parseQuantity,
  type Quantity,
  subtractQuantity,
  wholeValue,
} from "./quantity.ts";

Deno.test("canonicalQuantity() writes what the API server writes", () => {
  const cases: [string, string][] = [
    ["0", "0"],
    ["100m", "100m"],
    ["0.1", "100m"],
    ["0.5", "500m"],
    ["1000m", "1"],
    ["1500m", "1500m"],
    ["1024Mi", "1Gi"],
    ["1.5Gi", "1536Mi"],
    ["0.5Gi", "512Mi"],
    ["128974848", "128974848"],
    ["129M", "129M"],
    ["1000k", "1M"],
    ["1e3", "1e3"],
    ["12e6", "12e6"],
    ["1E", "1E"],
    ["100Ki", "100Ki"],
    ["0.5Ki", "512"],
    ["+5", "5"],
    ["-1Gi", "-1Gi"],
    [".5", "500m"],
    ["5.", "5"],
    ["0.0000000001", "1n"],
    ["1.0000000001", "1000000001n"],
    ["00100", "100"],
    ["99999999999999999999", "9223372036854775807"],
  ];
  for (const [text, canonical] of cases) assertEquals(canonicalQuantity(text), canonical, text);
});

Deno.test("parseQuantity() refuses what is no quantity", () => {
  for (const text of ["", ".", "-", "abc", "1 Gi", "1GiB", "1e", "1ki", "0x10", "1.2.3", "--1"]) {
    assertThrows(() => parseQuantity(text), AppError, "quantities must match");
  }
});

Deno.test("milliValue() and wholeValue() round up", () => {
  assertEquals(milliValue(parseQuantity("1500u")), 2);
  assertEquals(milliValue(parseQuantity("2")), 2000);
  assertEquals(wholeValue(parseQuantity("1Gi")), 1073741824);
  assertEquals(wholeValue(parseQuantity("100m")), 1);
});

const quantities: fc.Arbitrary<Quantity> = fc.record({
  nanos: fc.bigInt({ min: -(10n ** 18n), max: 10n ** 18n }),
  format: fc.constantFrom("binarySI", "decimalSI", "decimalExponent"),
});

Deno.test("format then parse gives the value back, and canonical text is a fixed point", () => {
  fc.assert(fc.property(quantities, (quantity) => {
    const text = formatQuantity(quantity);
    assertEquals(parseQuantity(text).nanos, quantity.nanos);
    // not the text itself: a binary quantity without a suffix reads as a decimal one
    const canonical = canonicalQuantity(text);
    assertEquals(parseQuantity(canonical).nanos, quantity.nanos);
    assertEquals(canonicalQuantity(canonical), canonical);
  }));
});

Deno.test("adding commutes, is undone by subtracting, and keeps order", () => {
  fc.assert(fc.property(quantities, quantities, quantities, (a, b, c) => {
    assertEquals(addQuantity(a, b).nanos, addQuantity(b, a).nanos);
    assertEquals(subtractQuantity(addQuantity(a, b), b).nanos, a.nanos);
    assertEquals(compareQuantity(a, b), compareQuantity(addQuantity(a, c), addQuantity(b, c)));
  }));
});
