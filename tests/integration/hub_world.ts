/**
 * A hub with a real TLS listener and links to it, over ports kept in memory: what the integration
 * tests of the link share. The proxy between them can cut connections or swallow what they carry.
 */
import * as net from "node:net";
import { NodeTunnel } from "../../cloud/tunnel/node_tunnel.ts";
import type { DesiredSource, Projection, ReportOutcome, ReportSink } from "../../cloud/hub/port.ts";
import { HubServer } from "../../cloud/hub/server.ts";
import { openPki, type Pki } from "../../cloud/pki/pki.ts";
import { enroll, type Enrolled } from "../../edge/link/enroll.ts";
import { Link, type LinkOptions } from "../../edge/link/link.ts";
import type { LinkLedger, LinkOutbox } from "../../edge/link/port.ts";
import type { OutboxItem, OutboxLane, Verdict } from "../../edge/meta/port.ts";
import { Changes } from "../../shared/async/wakeup.ts";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { SystemRandom } from "../../shared/random.ts";
import {
  type DesiredBatch,
  type DesiredItem,
  inventoryDigest,
  type InventoryEntry,
} from "../../shared/wire/desired.ts";
import type { Report } from "../../shared/wire/report.ts";

export class MemorySource implements DesiredSource {
  readonly cloudId: string;
  readonly changes = new Changes();
  readonly acks: [string, number][] = [];
  #projections = new Map<string, Projection>();

  constructor(cloudId = "cloud-1") {
    this.cloudId = cloudId;
  }

  projection(node: string): Projection {
    return this.#projections.get(node) ??
      { generation: 0, digest: inventoryDigest([]), items: new Map() };
  }

  subscribe(_node: string, listener: () => void): () => void {
    return this.changes.subscribe(listener);
  }

  acknowledged(node: string, generation: number): Promise<void> {
    this.acks.push([node, generation]);
    return Promise.resolve();
  }

  advance(node: string, generation: number): Promise<void> {
    this.#projections.set(node, { ...this.projection(node), generation: generation + 1 });
    this.changes.notify();
    return Promise.resolve();
  }

  /** Puts (or, without version, drops) one pod. */
  set(node: string, name: string, version?: string, padding = ""): void {
    const before = this.projection(node);
    const items = new Map(before.items);
    const key = `pods/default/${name}`;
    const uid = `uid-${name}`;
    if (version === undefined) items.delete(key);
    else {
      const object = { metadata: { name, namespace: "default", uid }, padding };
      items.set(key, { key, uid, resourceVersion: version, object });
    }
    const generation = before.generation + 1;
    const digest = inventoryDigest(items.values());
    this.#projections.set(node, { generation, digest, items });
    this.changes.notify();
  }
}

export class MemorySink implements ReportSink {
  readonly applied: { node: string; report: Report }[] = [];
  /** Refusals to give before the next success. */
  failures = 0;
  /** What every report waits for before it is applied. */
  gate: Promise<void> | undefined;

  async apply(node: string, report: Report): Promise<ReportOutcome> {
    await this.gate;
    if (this.failures > 0) {
      this.failures--;
      throw new AppError("unavailable", "Not now");
    }
    this.applied.push({ node, report });
    return { kind: "applied" };
  }
}

export class MemoryLedger implements LinkLedger {
  head = { cloudId: "", generation: 0, digest: inventoryDigest([]) };
  readonly items = new Map<string, DesiredItem>();
  readonly batches: DesiredBatch[] = [];
  /** What every batch waits for: a slow disk. */
  gate: Promise<void> | undefined;

  inventory(): InventoryEntry[] {
    return [...this.items.values()].map(({ key, uid, resourceVersion }) => ({
      key,
      uid,
      resourceVersion,
    }));
  }

  async accept(batch: DesiredBatch): Promise<Verdict> {
    await this.gate;
    return this.#accept(batch);
  }

  #accept(batch: DesiredBatch): Verdict {
    this.batches.push(batch);
    const { head } = this;
    if (batch.cloudId === head.cloudId && batch.generation <= head.generation) {
      const same = batch.generation === head.generation && batch.digest === head.digest;
      if (same) return { kind: "unchanged" };
      const reason = batch.generation < head.generation ? "stale" : "conflict";
      return { kind: "reject", reason };
    }
    const next = new Map(this.items);
    for (const key of batch.deletes) next.delete(key);
    for (const item of batch.upserts) next.set(item.key, item);
    if (inventoryDigest(next.values()) !== batch.digest) {
      return { kind: "reject", reason: "conflict" };
    }
    this.items.clear();
    for (const [key, item] of next) this.items.set(key, item);
    const { cloudId, generation, digest } = batch;
    this.head = { cloudId, generation, digest };
    return { kind: "commit" };
  }
}

export class MemoryOutbox implements LinkOutbox {
  readonly changes = new Changes();
  #items: OutboxItem[] = [];
  #sequence = 0;

  get depth(): number {
    return this.#items.length;
  }

  put(lane: OutboxLane, key: string, report: Report): number {
    this.#items = this.#items.filter((item) => item.key !== key);
    this.#items.push({ sequence: ++this.#sequence, lane, key, report });
    this.changes.notify();
    return this.#sequence;
  }

  pending(after: number, limit: number, skip = (_: number) => false): OutboxItem[] {
    return this.#items.filter(({ sequence }) => sequence > after && !skip(sequence))
      .slice(0, limit);
  }

  grant(): void {}

  acknowledge(sequences: readonly number[]): Promise<void> {
    this.#items = this.#items.filter((item) => !sequences.includes(item.sequence));
    this.changes.notify();
    return Promise.resolve();
  }
}

/** A TCP proxy whose connections can be cut, or held without a sign of it (`blackhole`). */
export class Proxy {
  readonly #server: net.Server;
  readonly #pairs = new Set<[net.Socket, net.Socket]>();
  #blackhole = false;
  bytesDown = 0;

  constructor(targetPort: number) {
    this.#server = net.createServer((client) => {
      const target = net.connect(targetPort, "127.0.0.1");
      const pair: [net.Socket, net.Socket] = [client, target];
      this.#pairs.add(pair);
      const end = () => {
        client.destroy();
        target.destroy();
        this.#pairs.delete(pair);
      };
      for (const socket of pair) socket.on("close", end).on("error", end);
      client.on("data", (data) => this.#blackhole || target.write(data));
      target.on("data", (data) => {
        if (this.#blackhole) return;
        this.bytesDown += data.length;
        client.write(data);
      });
    });
  }

  listen(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(0, "127.0.0.1", () => {
        resolve((this.#server.address() as net.AddressInfo).port); // listening on TCP
      });
    });
  }

  cut(): void {
    for (const [client, target] of [...this.#pairs]) {
      client.destroy();
      target.destroy();
    }
  }

  blackhole(on: boolean): void {
    this.#blackhole = on;
  }

  close(): Promise<void> {
    this.cut();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

export interface World extends AsyncDisposable {
  dir: string;
  pki: Pki;
  hub: HubServer;
  source: MemorySource;
  sink: MemorySink;
  proxy: Proxy;
  /** Of the proxy, as HOST:PORT. */
  address: string;
  token(node?: string): Promise<string>;
  enroll(node: string): Promise<Enrolled>;
  link(node: string, enrolled: Enrolled, options?: Partial<LinkOptions>): LinkHandle;
}

export interface LinkHandle {
  link: Link;
  ledger: MemoryLedger;
  outbox: MemoryOutbox;
  /** Ends the link and waits for it. */
  stop(): Promise<void>;
}

export async function makeWorld(options: { heartbeatMs?: number } = {}): Promise<World> {
  const clock = new SystemClock();
  const random = new SystemRandom();
  const dir = await Deno.makeTempDir({ prefix: "skerry-hub-" });
  const pki = await openPki({ dataDir: dir, clock, random });
  const server = await pki.signer.issueHub();
  const source = new MemorySource();
  const sink = new MemorySink();
  const hub = new HubServer({
    tls: { ...server, authority: pki.authority.certificate },
    identities: pki.enrollment,
    source,
    sink,
    openTunnel: () => new NodeTunnel(),
    heartbeatMs: options.heartbeatMs ?? 10_000,
    clock,
    random,
  });
  const { port } = await hub.listen("127.0.0.1:0");
  const proxy = new Proxy(port);
  const address = `127.0.0.1:${await proxy.listen()}`;
  const links = new Set<LinkHandle>();
  const token = async (node?: string) => {
    const base = { authorityHash: pki.authority.hash, ttlMs: 60_000, uses: 1 };
    return (await pki.tokens.create(node === undefined ? base : { ...base, node })).token;
  };
  return {
    dir,
    pki,
    hub,
    source,
    sink,
    proxy,
    address,
    token,
    enroll: async (node) =>
      await enroll(
        { address, token: await token(), nodeName: node },
        AbortSignal.timeout(20_000),
      ),
    link: (_node, enrolled, more = {}) => {
      const ledger = new MemoryLedger();
      const outbox = new MemoryOutbox();
      const link = new Link({
        addresses: [address],
        identity: enrolled,
        onRenewed: () => Promise.resolve(),
        softwareVersion: "test",
        ledger,
        outbox,
        handler: () => Promise.resolve(new Response("hello")),
        clock,
        random,
        ...more,
      });
      const stop = new AbortController();
      const done = link.run(stop.signal);
      const handle: LinkHandle = {
        link,
        ledger,
        outbox,
        stop: async () => {
          stop.abort();
          await done;
          links.delete(handle);
        },
      };
      links.add(handle);
      return handle;
    },
    [Symbol.asyncDispose]: async () => {
      for (const handle of [...links]) await handle.stop();
      await hub.close();
      await proxy.close();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

/** Waits until `condition` holds; fails with `what` after ten seconds. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const clock = new SystemClock();
  const endMs = clock.monotonicMs() + 10_000;
  while (!condition()) {
    if (clock.monotonicMs() > endMs) throw new Error(`Waited in vain until ${what}`);
    await clock.sleep(5);
  }
}
