import { assertEquals } from "@std/assert";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { otlpMetrics, otlpRejected } from "./otlp.ts";
import type { Sample } from "./port.ts";

const SAMPLE: Sample = {
  namespace: "default",
  device: "d-1",
  property: "temp",
  value: "21.50",
  type: "DOUBLE",
  atMs: 1_767_225_601_234,
  detail: {},
};

type Field = [field: number, value: Field[] | string | number | bigint];

/** Which field of which message is what, by opentelemetry.proto: a path of field numbers. */
const TEXTS = ["1.1.1.1", "1.1.1.2.1", "1.2.1.1", "1.2.1.2", "1.2.2.1"];
const ATTRIBUTES = ["1.2.2.5.1.7.1", "1.2.2.5.1.7.2.1"];

function read(bytes: Uint8Array, path: string[] = []): Field[] {
  const reader = new BinaryReader(bytes);
  const tree: Field[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    const here = [...path, String(field)];
    if (type === WireType.LengthDelimited) {
      const isText = [...TEXTS, ...ATTRIBUTES].includes(here.join("."));
      tree.push([field, isText ? reader.string() : read(reader.bytes(), here)]);
    } else if (field === 4) tree.push([field, reader.double()]);
    else tree.push([field, BigInt(reader.fixed64())]);
  }
  return tree;
}

Deno.test("otlpMetrics() makes one gauge a property, stamps in nanoseconds", () => {
  const point = (device: string): Field[] => [
    [3, 1_767_225_601_234_000_000n],
    [4, 21.5],
    [7, [[1, "namespace"], [2, [[1, "default"]]]]],
    [7, [[1, "device"], [2, [[1, device]]]]],
  ];
  const body = otlpMetrics([SAMPLE, { ...SAMPLE, device: "d-2" }], "1");
  assertEquals(read(body), [[1, [
    [1, [[1, [[1, "service.name"], [2, [[1, "skerry-edge"]]]]]]],
    [2, [
      [1, [[1, "skerry.dev/devices"], [2, "1"]]],
      [2, [[1, "temp"], [5, [[1, point("d-1")], [1, point("d-2")]]]]],
    ]],
  ]]]);
});

Deno.test("otlpRejected() hears of points that were not taken, in a 200", () => {
  const partial = new BinaryWriter().tag(1, WireType.Varint).int64(2)
    .tag(2, WireType.LengthDelimited).string("too old").finish();
  const answer = new BinaryWriter().tag(9, WireType.Varint).int32(1)
    .tag(1, WireType.LengthDelimited).bytes(partial).finish();
  assertEquals(otlpRejected(answer), { count: 2, why: "too old" });
  const warning = new BinaryWriter().tag(1, WireType.LengthDelimited)
    .bytes(partial.slice(2)).finish();
  assertEquals(otlpRejected(warning), undefined);
  for (const other of ["", "{}", '{"partialSuccess":{}}', "\n\xff\xff"]) {
    assertEquals(otlpRejected(new TextEncoder().encode(other)), undefined, other);
  }
});
