import { assertEquals } from "@std/assert";
import { ageOf, formatAge } from "./duration.ts";

Deno.test("formatAge() is coarser the longer it is", () => {
  const hour = 3_600;
  const day = 24 * hour;
  const cases: [number, string][] = [
    [-1, "0s"],
    [-60, "<invalid>"],
    [0, "0s"],
    [119.9, "119s"],
    [120, "2m"],
    [330, "5m30s"],
    [600, "10m"],
    [179 * 60, "179m"],
    [3 * hour, "3h"],
    [3 * hour + 300, "3h5m"],
    [47 * hour, "47h"],
    [2 * day, "2d"],
    [2 * day + 4 * hour, "2d4h"],
    [9 * day, "9d"],
    [2 * 365 * day + 3 * day, "2y3d"],
    [9 * 365 * day, "9y"],
  ];
  for (const [seconds, text] of cases) assertEquals(formatAge(seconds), text);
});

Deno.test("ageOf() says <unknown> for what is no time", () => {
  assertEquals(ageOf("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:00:09Z")), "9s");
  assertEquals(ageOf(null, 0), "<unknown>");
  assertEquals(ageOf("yesterday", 0), "<unknown>");
});
