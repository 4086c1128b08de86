import { assertEquals } from "@std/assert";
import { LastOps, type RawOp } from "./ops.ts";

function put(bucket: string, key: string, byte: number): RawOp {
  return [0, bucket, key, new Uint8Array([byte])];
}

Deno.test("LastOps keeps the last word on each row, and nothing of the bulk", () => {
  const last = new LastOps();
  last.add([put("a", "x", 1), put("b", "x", 2), put("a", "y", 3)]);
  last.add([[1, "a", "x"], [2, "stream", "key", new Uint8Array([9]), 0, 0], put("b", "x", 4)]);
  last.add([put("a", "x", 5), [1, "a", "y"], [3, "stream", [1, 2]]]);
  assertEquals(last.ops(), [put("a", "x", 5), [1, "a", "y"], put("b", "x", 4)]);
});
