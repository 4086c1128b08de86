import { assert, assertEquals, assertThrows } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { KeyedMutex } from "../../shared/async/keyed_mutex.ts";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import {
  type ReportItem,
  ReportItemSchema,
  ReportLane,
  type SessionResponse,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { SeededRandom } from "../../shared/random.ts";
import { decodeAckRanges } from "../../shared/wire/ack_ranges.ts";
import { encodeBody } from "../../shared/wire/codec.ts";
import { Outgoing } from "../../shared/wire/outgoing.ts";
import type { Report } from "../../shared/wire/report.ts";
import type { ReportOutcome, ReportSink } from "./port.ts";
import { REPORT_ITEMS_MAX, Upstream } from "./upstream.ts";

/** A write that is under way does not stop because its session ends. */
const never = new AbortController().signal;

class HeldSink implements ReportSink {
  readonly started: string[] = [];
  readonly gates: PromiseWithResolvers<ReportOutcome>[] = [];

  apply(_node: string, report: Report, signal: AbortSignal): Promise<ReportOutcome> {
    this.started.push(report.kind === "pod_gone" ? report.pod.name : report.kind);
    const gate = Promise.withResolvers<ReportOutcome>();
    this.gates.push(gate);
    signal.addEventListener("abort", () => gate.reject(signal.reason), { once: true });
    return gate.promise;
  }
}

/** Microtasks are enough: nothing here waits for a timer or for I/O. */
async function started(sink: HeldSink, expected: string[]): Promise<void> {
  for (let i = 0; i < 50 && sink.started.length < expected.length; i++) await Promise.resolve();
  assertEquals(sink.started, expected);
}

function report(sequence: number, key: string, lane = ReportLane.UNSPECIFIED): ReportItem {
  const pod = { namespace: "d", name: `${key}${sequence}`, uid: "u" };
  const body = encodeBody({ kind: "pod_gone", pod });
  return create(ReportItemSchema, { sequence: BigInt(sequence), key, body, lane });
}

function setUp(sink: ReportSink, order = new KeyedMutex(), ackRanges = false) {
  const outgoing = new Outgoing<SessionResponse>({ urgentMax: 100 });
  const clock = new SystemClock();
  const random = new SeededRandom(1);
  const upstream = new Upstream({ node: "n1", sink, order, ackRanges, outgoing, clock, random });
  const stop = new AbortController();
  const done = upstream.run(stop.signal).catch(() => {}); // ends by abort
  const responses = outgoing[Symbol.asyncIterator]();
  /** Reads acknowledgements until `count` sequences have come. */
  const acked = async (count: number): Promise<number[]> => {
    const out: number[] = [];
    while (out.length < count) {
      const { value } = await responses.next();
      assert(value && value.message.case === "reportAck");
      const { sequences, ranges } = value.message.value;
      assertEquals((ackRanges ? sequences : ranges).length, 0);
      out.push(...sequences.map(Number));
      for (const { from, to } of decodeAckRanges(ranges)) {
        for (let sequence = from; sequence <= to; sequence++) out.push(sequence);
      }
    }
    return out.sort((a, b) => a - b);
  };
  return {
    upstream,
    acked,
    stop: async () => {
      stop.abort();
      await done;
    },
  };
}

Deno.test("Upstream applies one key in turn; the newest stands for those that wait", async () => {
  const sink = new HeldSink();
  const { upstream, acked, stop } = setUp(sink);
  upstream.offer([report(1, "a")]);
  upstream.offer([report(2, "a"), report(3, "b"), report(4, "a")]);
  await started(sink, ["a1", "b3"]);
  assertEquals(await acked(1), [2]); // superseded by 4
  sink.gates[0]!.resolve({ kind: "applied" });
  sink.gates[1]!.resolve({ kind: "dropped", reason: "pod is gone" });
  assertEquals(await acked(2), [1, 3]);
  await started(sink, ["a1", "b3", "a4"]);
  upstream.offer([report(4, "a")]); // sent twice
  sink.gates[2]!.resolve({ kind: "applied" });
  assertEquals(await acked(1), [4]);
  assertEquals(sink.started.length, 3);
  await stop();
});

Deno.test("Upstream acknowledges a report that a newer one of its key has overtaken", async () => {
  const sink = new HeldSink();
  const { upstream, acked, stop } = setUp(sink);
  upstream.offer([report(9, "a"), report(5, "a")]);
  assertEquals(await acked(1), [5]);
  await started(sink, ["a9"]);
  sink.gates[0]!.resolve({ kind: "applied" });
  assertEquals(await acked(1), [9]);
  assertEquals(sink.started, ["a9"]);
  await stop();
});

Deno.test("a newer session's report waits for what an older session has begun", async () => {
  const sink = new HeldSink();
  const late = new HeldSink();
  const order = new KeyedMutex();
  const older = setUp({ apply: (node, report) => sink.apply(node, report, never) }, order);
  older.upstream.offer([report(1, "a")]);
  await started(sink, ["a1"]);
  const stopped = older.stop();
  const newer = setUp(late, order);
  newer.upstream.offer([report(2, "a"), report(3, "b")]);
  await started(late, ["b3"]);
  sink.gates[0]!.resolve({ kind: "applied" });
  await stopped;
  await started(late, ["b3", "a2"]);
  await newer.stop();
});

Deno.test("Upstream tries again what the sink could not take, then acknowledges", async () => {
  const sink = new HeldSink();
  const { upstream, acked, stop } = setUp(sink);
  upstream.offer([report(1, "a")]);
  await started(sink, ["a1"]);
  sink.gates[0]!.reject(new AppError("unavailable", "API server is away"));
  const clock = new SystemClock();
  while (sink.gates.length < 2) await clock.sleep(1);
  sink.gates[1]!.resolve({ kind: "applied" });
  assertEquals(await acked(1), [1]);
  await stop();
});

Deno.test("Upstream acknowledges a report that nobody can read", async () => {
  const sink = new HeldSink();
  const { upstream, acked, stop } = setUp(sink);
  const body = encodeBody({ kind: "nonsense" });
  upstream.offer([create(ReportItemSchema, { sequence: 1n, key: "a", body })]);
  assertEquals(await acked(1), [1]);
  assertEquals(sink.started, []);
  await stop();
});

Deno.test("Upstream applies the most urgent lane first when many wait", async () => {
  const sink = new HeldSink();
  const { upstream, stop } = setUp(sink);
  const backlog = Array.from(
    { length: 20 },
    (_, i) => report(i + 1, `t${i}`, ReportLane.TELEMETRY),
  );
  upstream.offer(backlog);
  upstream.offer([
    report(30, "e", ReportLane.EVENT),
    report(31, "old"), // by a node that does not say
    report(32, "c", ReportLane.CONTROL),
  ]);
  const first = backlog.slice(0, 16).map(({ key, sequence }) => `${key}${sequence}`);
  await started(sink, first);
  for (const gate of [...sink.gates]) gate.resolve({ kind: "applied" });
  const rest = backlog.slice(16).map(({ key, sequence }) => `${key}${sequence}`);
  await started(sink, [...first, "c32", "old31", "e30", ...rest]);
  await stop();
});

Deno.test("Upstream acknowledges in ranges to a node that reads them", async () => {
  const { upstream, acked, stop } = setUp(
    { apply: () => Promise.resolve({ kind: "applied" }) },
    new KeyedMutex(),
    true,
  );
  const sequences = [...Array.from({ length: 300 }, (_, i) => i + 5), 1_000, 2 ** 52];
  upstream.offer(sequences.map((sequence) => report(sequence, `k${sequence}`)));
  assertEquals(await acked(sequences.length), sequences);
  await stop();
});

Deno.test("Upstream refuses more than the window it announced", async () => {
  const { upstream, stop } = setUp(new HeldSink());
  const items = Array.from({ length: REPORT_ITEMS_MAX }, (_, i) => report(i + 1, `k${i}`));
  upstream.offer(items);
  const error = assertThrows(() => upstream.offer([report(9_999, "z")]), AppError);
  assertEquals(error.code, "exhausted");
  await stop();
});
