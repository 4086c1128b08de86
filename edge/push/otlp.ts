/**
 * OTLP/HTTP's export of metrics, in protobuf: the encoding every receiver must take
 * (VictoriaMetrics takes no other). Field numbers are opentelemetry.proto's; written by hand,
 * because of that large set of types one message is sent and one is read. Pure.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { numberOf } from "./formats.ts";
import type { Sample } from "./port.ts";

type Write = (writer: BinaryWriter) => void;

/** ExportMetricsServiceRequest: one gauge a property, with the device as its attributes. */
export function otlpMetrics(
  samples: readonly Sample[],
  version: string,
): Uint8Array<ArrayBuffer> {
  const gauges = Map.groupBy(samples, (sample) => sample.property);
  const writer = new BinaryWriter();
  message(writer, 1, (resourceMetrics) => {
    message(
      resourceMetrics,
      1,
      (resource) => attribute(resource, 1, "service.name", "skerry-edge"),
    );
    message(resourceMetrics, 2, (scopeMetrics) => {
      message(scopeMetrics, 1, (scope) => {
        text(scope, 1, "skerry.dev/devices");
        text(scope, 2, version);
      });
      for (const [name, points] of gauges) {
        message(scopeMetrics, 2, (metric) => {
          text(metric, 1, name);
          message(metric, 5, (gauge) => {
            for (const point of points) message(gauge, 1, (at) => dataPoint(at, point));
          });
        });
      }
    });
  });
  return new Uint8Array(writer.finish());
}

function dataPoint(writer: BinaryWriter, sample: Sample): void {
  const atNanos = BigInt(Math.round(sample.atMs)) * 1_000_000n;
  writer.tag(3, WireType.Bit64).fixed64(atNanos);
  writer.tag(4, WireType.Bit64).double(numberOf(sample));
  attribute(writer, 7, "namespace", sample.namespace);
  attribute(writer, 7, "device", sample.device);
}

function attribute(writer: BinaryWriter, field: number, key: string, value: string): void {
  message(writer, field, (pair) => {
    text(pair, 1, key);
    message(pair, 2, (any) => text(any, 1, value));
  });
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value);
}

function message(writer: BinaryWriter, field: number, write: Write): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
}

/** What ExportMetricsServiceResponse says of data points that were not taken, in a 200. */
export function otlpRejected(answer: Uint8Array): { count: number; why: string } | undefined {
  try {
    const partial = fieldOf(answer, 1);
    if (!partial) return undefined;
    const found = { count: 0, why: "" };
    const reader = new BinaryReader(partial);
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      if (field === 1 && type === WireType.Varint) found.count = Number(reader.int64());
      else if (field === 2 && type === WireType.LengthDelimited) found.why = reader.string();
      else reader.skip(type, field);
    }
    return found.count > 0 ? found : undefined;
  } catch {
    return undefined; // no protobuf: some say nothing, or something in words, and mean the status
  }
}

function fieldOf(bytes: Uint8Array, wanted: number): Uint8Array | undefined {
  const reader = new BinaryReader(bytes);
  let found: Uint8Array | undefined;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted && type === WireType.LengthDelimited) found = reader.bytes();
    else reader.skip(type, field);
  }
  return found;
}
