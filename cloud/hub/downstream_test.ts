import { assert, assertEquals, assertThrows } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { AppError } from "../../shared/errors.ts";
import {
  DesiredAckSchema,
  HelloSchema,
  InventorySchema,
  type SessionResponse,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { SeededRandom } from "../../shared/random.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import {
  type DesiredItem,
  inventoryDigest,
  type InventoryEntry,
} from "../../shared/wire/desired.ts";
import { Outgoing } from "../../shared/wire/outgoing.ts";
import { Downstream, RECONCILE_MS } from "./downstream.ts";
import type { DesiredSource, Projection } from "./port.ts";

class OneNode implements DesiredSource {
  readonly cloudId = "c1";
  readonly acks: number[] = [];
  mayHaveLost?: (held: InventoryEntry) => boolean;
  mayBeOutlived?: (object: KubeObject) => boolean;
  mayBeOlder?: (held: InventoryEntry, item: DesiredItem) => boolean;
  readonly kept: (readonly string[])[] = [];
  #projection: Projection = { generation: 0, digest: inventoryDigest([]), items: new Map() };
  #listener: () => void = () => {};

  projection(): Projection {
    return this.#projection;
  }

  subscribe(_node: string, listener: () => void): () => void {
    this.#listener = listener;
    return () => {};
  }

  acknowledged(_node: string, generation: number): Promise<void> {
    this.acks.push(generation);
    return Promise.resolve();
  }

  advance(_node: string, generation: number): Promise<void> {
    this.#projection = { ...this.#projection, generation: generation + 1 };
    this.#listener();
    return Promise.resolve();
  }

  keptByNode(_node: string, keys: readonly string[]): void {
    this.kept.push(keys);
  }

  hold(...names: string[]): DesiredItem[] {
    const [generation, items] = [this.#projection.generation + 1, names.map(item)];
    const digest = inventoryDigest(items);
    this.#projection = { generation, digest, items: new Map(items.map((i) => [i.key, i])) };
    this.#listener();
    return items;
  }
}

/** "pod" or "pod:uid". */
function item(text: string): DesiredItem {
  const [name = "", uid = `uid-${text}`] = text.split(":");
  const object = { metadata: { name, uid } };
  return { key: `pods/d/${name}`, uid, resourceVersion: "1", object };
}

async function withDownstream(
  source: OneNode,
  work: (
    of: { downstream: Downstream; clock: SimClock; next: () => Promise<SessionResponse> },
  ) => Promise<void>,
): Promise<void> {
  const clock = new SimClock();
  const outgoing = new Outgoing<SessionResponse>({ urgentMax: 100 });
  const { generation, digest } = source.projection();
  const hello = create(HelloSchema, { cloudId: "c1", generation: BigInt(generation), digest });
  const downstream = new Downstream({
    node: "n1",
    hello,
    source,
    outgoing,
    clock,
    random: new SeededRandom(1),
  });
  const stop = new AbortController();
  const done = downstream.run(stop.signal).catch(() => {}); // ends by abort
  const responses = outgoing[Symbol.asyncIterator]();
  const next = async () => (await responses.next()).value as SessionResponse;
  try {
    await work({ downstream, clock, next });
  } finally {
    outgoing.end();
    stop.abort();
    await done;
    await responses.return(undefined);
  }
}

Deno.test("Downstream asks for the inventory now and then, mends what differs", async () => {
  const source = new OneNode();
  const [a, b] = source.hold("a", "b") as [DesiredItem, DesiredItem];
  await withDownstream(source, async ({ downstream, clock, next }) => {
    downstream.reconcileIfDue();
    await clock.advance(RECONCILE_MS * 1.25);
    downstream.reconcileIfDue();
    assertEquals((await next()).message.case, "inventoryRequest");
    // the node lost b and holds something nobody gave it
    const entries = [a, item("z")];
    const head = { cloudId: "c1", generation: 1n, digest: source.projection().digest };
    downstream.inventory(create(InventorySchema, { entries, more: false, ...head }));
    const { message } = await next();
    assert(message.case === "desiredBatch");
    assertEquals(message.value.upserts.map((u) => u.key), [b.key]);
    assertEquals(message.value.deletes, ["pods/d/z"]);
    // its generation said that it has everything: a new one tells it otherwise
    assertEquals([message.value.base, message.value.generation], [1n, 2n]);
  });
});

Deno.test("Downstream does not ask while a step is on its way", async () => {
  const source = new OneNode();
  await withDownstream(source, async ({ downstream, clock, next }) => {
    source.hold("a");
    assertEquals((await next()).message.case, "desiredBatch");
    await clock.advance(RECONCILE_MS * 2);
    downstream.reconcileIfDue();
    downstream.acknowledge(create(DesiredAckSchema, { generation: 1n }));
    source.hold("a", "b");
    assertEquals((await next()).message.case, "desiredBatch");
    assertEquals(source.acks, [0, 1]);
  });
});

Deno.test("Downstream takes no acknowledgement of what it did not send", async () => {
  const source = new OneNode();
  await withDownstream(source, async ({ downstream, next }) => {
    source.hold("a");
    await next();
    const lie = create(DesiredAckSchema, { generation: 2n });
    assertThrows(() => downstream.acknowledge(lie), AppError, "generation 2: sent is 1");
    assertEquals(downstream.ackedGeneration, 0);
  });
});

Deno.test("Downstream tells a pod made anew under its old name by its uid", async () => {
  const source = new OneNode();
  source.hold("a:1");
  await withDownstream(source, async ({ next }) => {
    source.hold("a:2");
    const { message } = await next();
    assert(message.case === "desiredBatch");
    assertEquals(message.value.upserts.map(({ key, uid }) => [key, uid]), [["pods/d/a", "2"]]);
    assertEquals(message.value.deletes, []);
  });
});

Deno.test("Downstream leaves with the node what this cloud may have lost", async () => {
  const source = new OneNode();
  const lost = new Set(["pods/d/z"]);
  source.mayHaveLost = ({ key }) => lost.has(key);
  const [a] = source.hold("a") as [DesiredItem];
  await withDownstream(source, async ({ downstream, clock, next }) => {
    await clock.advance(RECONCILE_MS * 1.25);
    downstream.reconcileIfDue();
    assertEquals((await next()).message.case, "inventoryRequest");
    const [z, y] = [item("z"), item("y")];
    const head = { cloudId: "c1", generation: 1n, digest: source.projection().digest };
    downstream.inventory(create(InventorySchema, { entries: [a, z, y], more: false, ...head }));
    const { message } = await next();
    assert(message.case === "desiredBatch");
    assertEquals(message.value.deletes, ["pods/d/y"]);
    // what the node is told to end up with includes what was spared
    assertEquals(message.value.digest, inventoryDigest([a, z]));
  });
});

Deno.test("Downstream replaces nothing by what damage may have set back", async () => {
  const source = new OneNode();
  source.mayBeOutlived = ({ metadata }) => metadata.uid === "1";
  source.hold("a:1", "b:1");
  await withDownstream(source, async ({ downstream, clock, next }) => {
    await clock.advance(RECONCILE_MS * 1.25);
    downstream.reconcileIfDue();
    assertEquals((await next()).message.case, "inventoryRequest");
    const newer = item("a:2");
    const head = { cloudId: "c1", generation: 1n, digest: source.projection().digest };
    downstream.inventory(create(InventorySchema, { entries: [newer], more: false, ...head }));
    const { message } = await next();
    assert(message.case === "desiredBatch");
    assertEquals(message.value.upserts.map(({ key }) => key), ["pods/d/b"]);
    assertEquals(message.value.digest, inventoryDigest([newer, item("b:1")]));
  });
});

Deno.test("Downstream sends no older version of what a node holds", async () => {
  const source = new OneNode();
  source.mayBeOlder = (held, { object }) =>
    (held.revision ?? 0) > Number(object.metadata.resourceVersion);
  const [a] = source.hold("a", "b") as [DesiredItem];
  const at = (revision: string) => ({ ...a.object.metadata, resourceVersion: revision });
  a.object.metadata = at("5");
  await withDownstream(source, async ({ downstream, clock, next }) => {
    await clock.advance(RECONCILE_MS * 1.25);
    downstream.reconcileIfDue();
    assertEquals((await next()).message.case, "inventoryRequest");
    const newer = { ...a, resourceVersion: "digest of a newer spec", objectRevision: 7n };
    const head = { cloudId: "c1", generation: 1n, digest: "of the newer" };
    const entries = [newer, item("b"), item("z")];
    downstream.inventory(create(InventorySchema, { entries, more: false, ...head }));
    const { message } = await next();
    assert(message.case === "desiredBatch");
    const { upserts, deletes, kept, digest } = message.value;
    assertEquals([upserts, deletes, kept], [[], ["pods/d/z"], ["pods/d/a"]]);
    assertEquals(digest, inventoryDigest([newer, item("b")]));
    assertEquals(source.kept.at(-1), ["pods/d/a"]);
    // somebody writes it anew in the cloud: that is later than what the node holds
    const [edited] = source.hold("a", "b") as [DesiredItem];
    Object.assign(edited, { resourceVersion: "edited" });
    edited.object.metadata = { ...edited.object.metadata, resourceVersion: "1000008" };
    const later = await next();
    assert(later.message.case === "desiredBatch");
    assertEquals(later.message.value.upserts.map(({ key }) => key), ["pods/d/a"]);
    assertEquals(later.message.value.kept, []);
  });
});

Deno.test("Downstream asks a node for nothing new while it keeps what is newer there", async () => {
  const source = new OneNode();
  source.mayBeOlder = (held) => held.revision === 7;
  const [a] = source.hold("a") as [DesiredItem];
  await withDownstream(source, async ({ downstream, clock, next }) => {
    for (let round = 0; round < 2; round++) {
      await clock.advance(RECONCILE_MS * 1.25);
      downstream.reconcileIfDue();
      // a step between the two rounds would come here
      assertEquals((await next()).message.case, "inventoryRequest");
      const newer = { ...a, resourceVersion: "newer", objectRevision: 7n };
      const head = { cloudId: "c1", generation: 1n, digest: "of the newer" };
      downstream.inventory(create(InventorySchema, { entries: [newer], more: false, ...head }));
    }
    assertEquals(source.projection().generation, 1);
  });
});
