import { assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../errors.ts";
import { parseDurationMs } from "./duration.ts";

Deno.test("parseDurationMs() adds units and names what it cannot read", () => {
  assertEquals(parseDurationMs("90s", "--ttl"), 90_000);
  assertEquals(parseDurationMs("1h30m", "--ttl"), 5_400_000);
  assertEquals(parseDurationMs("7d", "--ttl"), 604_800_000);
  for (const bad of ["", "5", "-1h", "1w", "h"]) {
    assertThrows(() => parseDurationMs(bad, "--ttl"), AppError, "--ttl");
  }
});
