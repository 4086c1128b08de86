import { assertEquals, assertRejects } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { Changes } from "../../shared/async/wakeup.ts";
import { untilAborted } from "../../shared/async/task_scope.ts";
import {
  type SessionRequest,
  type SessionResponse,
  SessionResponseSchema,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { SeededRandom } from "../../shared/random.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { TrafficCounters } from "../../shared/wire/traffic.ts";
import type { OutboxItem } from "../meta/port.ts";
import type { Connection } from "./dial.ts";
import type { TimeListener } from "./port.ts";
import { LinkSession } from "./session.ts";

function welcome(serverTimeMs = 0n) {
  return create(SessionResponseSchema, {
    message: {
      case: "welcome",
      value: {
        protocolVersion: 1,
        heartbeatIntervalMs: 10_000,
        reportItemsMax: 10,
        reportBytesMax: 10_000,
        tunnelOnDemand: true,
        serverTimeMs,
      },
    },
  });
}

/** A hub that welcomes, and a stream to it that takes the hello and then nothing any more. */
function stuckConnection(first: SessionResponse): Connection {
  async function* session(
    requests: AsyncIterable<SessionRequest>,
    { signal }: { signal: AbortSignal },
  ): AsyncGenerator<SessionResponse> {
    await requests[Symbol.asyncIterator]().next();
    yield first;
    await untilAborted(signal);
    throw signal.reason;
  }
  // nothing else is called
  return { address: "hub:1", hub: { session }, close: () => {} } as unknown as Connection;
}

function stuckSession(
  onOffered: () => void,
  more: { first?: SessionResponse; onTime?: TimeListener } = {},
): LinkSession {
  const report = { kind: "pod_gone", pod: { namespace: "d", name: "a", uid: "u" } } as const;
  const item: OutboxItem = { sequence: 1, lane: "control", key: "a", report };
  return new LinkSession({
    connection: stuckConnection(more.first ?? welcome()),
    identity: {
      files: { certificate: "", privateKey: "", authority: "" },
      dates: { notBeforeMs: 0, notAfterMs: 1e15 },
      renewAtMs: 1e15,
      renew: () => Promise.resolve(),
    },
    instanceId: "i",
    sessionNumber: 1n,
    softwareVersion: "test",
    startedAtMs: 0,
    ledger: {
      head: { cloudId: "", generation: 0, digest: "" },
      inventory: () => [],
      accept: () => Promise.resolve({ kind: "unchanged" }),
    },
    outbox: {
      changes: new Changes(),
      pending: () => {
        onOffered();
        return [item];
      },
      acknowledge: () => Promise.resolve(),
      grant: () => {},
    },
    handler: () => Promise.resolve(new Response()),
    counters: new TrafficCounters(),
    clock: new SimClock(),
    random: new SeededRandom(1),
    onLive: () => {},
    onHeard: () => {},
    onTime: more.onTime,
  });
}

Deno.test("a session ends although the transport never takes what waits", async () => {
  const offered = Promise.withResolvers<void>();
  const stop = new AbortController();
  const over = stuckSession(offered.resolve).run(stop.signal);
  await offered.promise;
  const reason = new Error("enough");
  stop.abort(reason);
  assertEquals(await assertRejects(() => over), reason);
});

Deno.test("a session takes no time of its hub that no stamp could say", async () => {
  for (const [serverTimeMs, heard] of [[2n ** 60n, []], [1_000n, [1_000]]] as const) {
    const offered = Promise.withResolvers<void>();
    const told: number[] = [];
    const onTime = (serverMs: number) => Promise.resolve(void told.push(serverMs));
    const stop = new AbortController();
    const first = welcome(serverTimeMs);
    const over = stuckSession(offered.resolve, { first, onTime }).run(stop.signal);
    await offered.promise; // it is live
    stop.abort(new Error("enough"));
    await assertRejects(() => over);
    assertEquals(told, [...heard]);
  }
});
