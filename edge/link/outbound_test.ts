import { assert, assertEquals } from "@std/assert";
import { Changes } from "../../shared/async/wakeup.ts";
import type { SessionRequest } from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { Outgoing } from "../../shared/wire/outgoing.ts";
import type { OutboxItem } from "../meta/port.ts";
import { Outbound } from "./outbound.ts";
import type { LinkOutbox } from "./port.ts";

class ListOutbox implements LinkOutbox {
  readonly changes = new Changes();
  items: OutboxItem[];
  granted = 0;

  constructor(count: number) {
    this.items = Array.from({ length: count }, (_, i) => item(i + 1));
  }

  pending(after: number, limit: number, skip = (_: number) => false): OutboxItem[] {
    return this.items.filter((i) => i.sequence > after && !skip(i.sequence)).slice(0, limit);
  }

  grant(itemsMax: number): void {
    this.granted = itemsMax;
  }

  acknowledge(sequences: readonly number[]): Promise<void> {
    this.items = this.items.filter((i) => !sequences.includes(i.sequence));
    return Promise.resolve();
  }
}

function item(sequence: number, lane: OutboxItem["lane"] = "status"): OutboxItem {
  const pod = { namespace: "d", name: `p${sequence}`, uid: "u" };
  return { sequence, lane, key: `pods/${sequence}`, report: { kind: "pod_gone", pod } };
}

function setUp(outbox: ListOutbox, itemsMax: number) {
  const outgoing = new Outgoing<SessionRequest>({ urgentMax: 10 });
  const outbound = new Outbound({ outbox, outgoing, window: { itemsMax, bytesMax: 1e6 } });
  const stop = new AbortController();
  const done = Promise.allSettled([
    outbound.run(stop.signal),
    outbound.runAcknowledgements(stop.signal),
  ]);
  const requests = outgoing[Symbol.asyncIterator]();
  const next = async (): Promise<number[]> => {
    const { value } = await requests.next();
    assert(value && value.message.case === "reportBatch");
    return value.message.value.items.map((i) => Number(i.sequence));
  };
  const end = async () => {
    stop.abort();
    outgoing.end();
    await done;
  };
  return { outbound, next, end };
}

Deno.test("Outbound sends within its window and goes on as acknowledgements come", async () => {
  const outbox = new ListOutbox(5);
  const { outbound, next, end } = setUp(outbox, 3);
  assertEquals(await next(), [1, 2, 3]);
  outbound.acknowledge({ sequences: [2n, 77n], ranges: [] });
  assertEquals(await next(), [4]);
  outbound.acknowledge({ sequences: [1n], ranges: [3n, 1n, 1_000n, 2_000_000n] });
  assertEquals(await next(), [5]);
  assertEquals(outbox.items.map((i) => i.sequence), [5]);
  await end();
});

Deno.test("Outbound sends an item of an earlier lane though its sequence is later", async () => {
  const outbox = new ListOutbox(2);
  const { next, end } = setUp(outbox, 10);
  assertEquals(await next(), [1, 2]);
  outbox.items.unshift(item(9, "control"));
  outbox.changes.notify();
  assertEquals(await next(), [9]);
  outbox.items.push(item(5)); // below what was sent already
  outbox.changes.notify();
  assertEquals(await next(), [5]);
  await end();
});

Deno.test("Outbound tells the outbox its window, and bounds what a cloud may grant", async () => {
  const outbox = new ListOutbox(0);
  await setUp(outbox, 100).end();
  assertEquals(outbox.granted, 100);
  await setUp(outbox, 4_000_000_000).end();
  assertEquals(outbox.granted, 4_096);
});
