import { assertEquals } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { AppError } from "../../shared/errors.ts";
import {
  type ContainerEventResponse,
  ContainerEventResponseSchema,
  ContainerEventType,
} from "../../shared/gen/runtime/v1/api_pb.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { LABEL } from "./marks.ts";
import { Pleg } from "./pleg.ts";

type Type = keyof typeof ContainerEventType;

/** An event of a container whose sandbox has `labels`, or is gone. */
function event(type: Type, labels?: Record<string, string>): ContainerEventResponse {
  return create(ContainerEventResponseSchema, {
    containerId: "c",
    containerEventType: ContainerEventType[type],
    ...(labels ? { podSandboxStatus: { labels } } : {}),
  });
}

type Stream = (signal: AbortSignal) => AsyncIterable<ContainerEventResponse>;

/** A stream that tells `events` and then waits for the end of the agent. */
function telling(...events: ContainerEventResponse[]): Stream {
  return async function* (signal) {
    yield* events;
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
}

/** A Pleg on streams that come one after another; the last comes again and again. */
class PlegCase implements AsyncDisposable {
  readonly clock = new SimClock();
  readonly ends: (string | undefined)[] = [];
  readonly runtime: { name?: string; version?: string };
  readonly pleg: Pleg;
  breaks = 0;
  opened = 0;
  readonly #scope = new TaskScope();

  constructor(runtime: { name?: string; version?: string }, ...streams: Stream[]) {
    this.runtime = runtime;
    const containerEvents = (signal: AbortSignal) =>
      streams[Math.min(this.opened++, streams.length - 1)]!(signal);
    this.pleg = new Pleg({
      runtime: { containerEvents },
      clock: this.clock,
      runtimeName: () => this.runtime,
      onEnd: (uid) => this.ends.push(uid),
      onBreak: () => this.breaks++,
    });
    this.#scope.spawn("pleg", (signal) => this.pleg.follow(signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }
}

const CRIO = { name: "cri-o", version: "1.34.0" };

Deno.test("an end is told with its pod, or without when the sandbox is gone", async () => {
  const labels = { [LABEL.podUid]: "u-1" };
  await using events = new PlegCase(
    CRIO,
    telling(
      event("CONTAINER_CREATED_EVENT", labels),
      event("CONTAINER_STARTED_EVENT", labels),
      event("CONTAINER_STOPPED_EVENT", labels),
      event("CONTAINER_STOPPED_EVENT", { other: "pod" }),
      event("CONTAINER_DELETED_EVENT"),
    ),
  );
  assertEquals(events.pleg.isReliable, false);
  await events.clock.until(() => events.ends.length === 3);
  assertEquals(events.ends, ["u-1", "", undefined]);
  assertEquals(events.pleg.isReliable, true);
});

Deno.test("the events of containerd 1.x are heeded and not relied on", async () => {
  const versions: [string, string, boolean][] = [
    ["containerd", "v1.7.28", false],
    ["containerd", "1.7.28", false],
    ["containerd", "v2.1.4", true],
    ["containerd", "10.0.0", true],
    ["cri-o", "1.34.0", true],
  ];
  for (const [name, version, isReliable] of versions) {
    const stream = telling(event("CONTAINER_STOPPED_EVENT", { [LABEL.podUid]: "u-1" }));
    await using events = new PlegCase({ name, version }, stream);
    await events.clock.until(() => events.ends.length === 1);
    assertEquals(events.pleg.isReliable, isReliable, `${name} ${version}`);
  }
});

Deno.test("a stream that ends at once is asked for ever more rarely", async () => {
  await using events = new PlegCase(CRIO, async function* () {});
  await events.clock.until(() => events.opened === 1);
  await events.clock.advance(60 * 60_000);
  assertEquals([events.opened < 25, events.opened > 10], [true, true], `${events.opened}`);
  assertEquals(events.breaks, 0, "nothing was relied on");
});

Deno.test("a runtime without the call is asked again when it was away", async () => {
  const none: Stream = async function* () {
    yield* await Promise.reject<[]>(new AppError("unimplemented", "unknown method"));
  };
  await using events = new PlegCase(CRIO, none, telling(event("CONTAINER_CREATED_EVENT")));
  await events.clock.until(() => events.opened === 1);
  await events.clock.advance(24 * 60 * 60_000);
  assertEquals(events.opened, 1);
  events.pleg.retryNow();
  await events.clock.until(() => events.pleg.isReliable);
});

Deno.test("events that were relied on and break off are told, and followed again", async () => {
  const broken: Stream = async function* () {
    yield event("CONTAINER_CREATED_EVENT");
    throw new AppError("unavailable", "connection lost");
  };
  await using events = new PlegCase(CRIO, broken, telling(event("CONTAINER_CREATED_EVENT")));
  await events.clock.until(() => events.breaks === 1);
  assertEquals(events.pleg.isReliable, false);
  await events.clock.until(() => events.pleg.isReliable);
  assertEquals([events.opened, events.breaks], [2, 1]);
});
