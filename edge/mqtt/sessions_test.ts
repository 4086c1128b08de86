/**
 * What the embedded broker keeps, with real clients over TCP and a store that outlives the broker:
 * order, bounds, what is written and what is not, and a disk that refuses.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import type { StoreOp } from "../../shared/store/port.ts";
import { until } from "../../tests/support/until.ts";
import { edgeConfigSchema } from "../config.ts";
import { Counters } from "./counters.ts";
import { EmbeddedBroker } from "./embedded.ts";
import { QUEUE_STREAM, RETAINED_BUCKET, SESSIONS_BUCKET } from "./kept_rows.ts";

/** Brokers one after the other, over one store. */
class Place implements AsyncDisposable {
  readonly store = new CountingStore();
  counters = new Counters();
  taken: string[] = [];
  sparing = false;
  #scope = new TaskScope();
  #broker: EmbeddedBroker;
  #clients: MqttClient[] = [];
  readonly #mqtt: object;

  constructor(mqtt: object = {}) {
    this.#mqtt = mqtt;
    this.#broker = this.#start();
  }

  async restart(): Promise<void> {
    await this.stop();
    this.#scope = new TaskScope();
    this.counters = new Counters();
    this.#broker = this.#start();
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) await client.endAsync(true);
    this.#clients = [];
    await this.#scope[Symbol.asyncDispose]();
  }

  #start(): EmbeddedBroker {
    const mqtt = { listen: "127.0.0.1:0", ...this.#mqtt };
    const broker = new EmbeddedBroker({
      config: edgeConfigSchema({ nodeName: "n", mqtt }, "").mqtt,
      take: ({ payload }) => {
        this.taken.push(new TextDecoder().decode(payload));
        return Promise.resolve();
      },
      onForbidden: () => {},
      store: this.store,
      sparing: () => this.sparing,
      counters: this.counters,
      clock: new SystemClock(),
      random: new SeededRandom(1),
      onChange: () => {},
    });
    this.#scope.spawn("broker", (signal) => broker.run(signal));
    return broker;
  }

  get broker(): EmbeddedBroker {
    return this.#broker;
  }

  async url(): Promise<string> {
    return await until(() => {
      const { state } = this.#broker;
      return state.state === "up" ? `mqtt://${state.address}` : undefined;
    }, { what: "the broker", timeoutMs: 30_000 });
  }

  async client(options: IClientOptions = {}): Promise<MqttClient> {
    const client = await connectAsync(await this.url(), { reconnectPeriod: 0, ...options });
    client.on("error", () => {}); // what a test ends on purpose
    this.#clients.push(client);
    return client;
  }

  /** A session, subscribed, and gone. */
  async leave(clientId: string, topic: string, qos: 1 | 2 = 1): Promise<void> {
    const client = await this.client({ clientId, clean: false });
    await client.subscribeAsync(topic, { qos });
    await client.endAsync();
    await until(() => this.#broker.clients === 0, { what: "it has gone" });
  }

  /** That session again; what it hears. */
  async back(clientId: string, options: IClientOptions = {}): Promise<string[]> {
    const heard: string[] = [];
    const session = { clientId, clean: false, reconnectPeriod: 0, ...options };
    const client = connect(await this.url(), session);
    client.on("error", () => {}); // what a test ends on purpose
    client.on("message", (_topic, payload) => heard.push(payload.toString()));
    this.#clients.push(client);
    return heard;
  }

  dropped(): Record<string, number> {
    return this.counters.read({ clients: 0, waiting: 0 }).dropped;
  }

  rows(): number {
    return this.store.bulk.stats(QUEUE_STREAM).rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.store.close();
  }
}

/** Counts what is written, by place, and can be held up. */
class CountingStore extends MemoryStore {
  readonly writes: Record<string, number> = {};
  gate: Promise<void> = Promise.resolve();

  override async commit(ops: readonly StoreOp[]): Promise<number> {
    for (const op of ops) {
      if (op.op !== "put" && op.op !== "append") continue;
      const place = op.op === "put" ? op.bucket : op.stream;
      this.writes[place] = (this.writes[place] ?? 0) + 1;
    }
    await this.gate;
    return await super.commit(ops);
  }
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i));

Deno.test("sessions and what waits for them outlive the broker, in order, once", async () => {
  await using place = new Place();
  await place.leave("away", "q/#");
  const sender = await place.client();
  for (const text of numbers(50)) await sender.publishAsync(`q/${text}`, text, { qos: 1 });
  await place.restart();
  const heard = await place.back("away");
  await until(() => heard.length === 50, { what: "what waited" });
  assertEquals(heard, numbers(50));
  await until(() => place.rows() === 0, { what: "nothing is left on disk" });
  assertEquals(place.dropped(), {});
});

Deno.test("nothing new overtakes what waits, and nothing comes twice", async () => {
  await using place = new Place();
  await place.leave("away", "q");
  const sender = await place.client();
  const all = numbers(600);
  for (const text of all.slice(0, 300)) await sender.publishAsync("q", text, { qos: 1 });
  const heard = await place.back("away");
  for (const text of all.slice(300)) await sender.publishAsync("q", text, { qos: 1 });
  await until(() => heard.length >= 600, { what: "all" });
  assertEquals(heard, all);
});

Deno.test("an acknowledgement waits for the disk; a refusing disk gets none", async () => {
  await using place = new Place();
  await place.leave("away", "q");
  const gate = Promise.withResolvers<void>();
  place.store.gate = gate.promise;
  const sender = await place.client();
  let isAcknowledged = false;
  const sent = sender.publishAsync("q", "a", { qos: 1 }).then(() => isAcknowledged = true);
  await until(() => place.store.writes[QUEUE_STREAM] === 1, { what: "it is being written" });
  assertEquals([place.taken, isAcknowledged], [["a"], false]);
  gate.resolve();
  await sent;
  place.store.failNext(new AppError("exhausted", "disk full"));
  const closed = new Promise<void>((resolve) => sender.once("close", () => resolve()));
  const refused = assertRejects(() => sender.publishAsync("q", "b", { qos: 1 }));
  await closed;
  await sender.endAsync(true);
  await refused;
  assertEquals(place.dropped(), { not_stored: 1 });
});

Deno.test("a client that is there and acknowledges costs no write", async () => {
  await using place = new Place();
  const there = await place.client({ clientId: "there", clean: false });
  const heard: string[] = [];
  there.on("message", (_topic, payload) => heard.push(payload.toString()));
  await there.subscribeAsync("q", { qos: 1 });
  await there.subscribeAsync("q", { qos: 1 });
  const sender = await place.client();
  for (const text of numbers(100)) await sender.publishAsync("q", text, { qos: 1 });
  await until(() => heard.length === 100, { what: "all" });
  assertEquals(heard, numbers(100));
  // one that took its time may have been written; a busy machine is slow at times
  assert((place.store.writes[QUEUE_STREAM] ?? 0) < 50, JSON.stringify(place.store.writes));
  assertEquals(place.store.writes[SESSIONS_BUCKET], 1);
});

Deno.test("filters that overlap give a session each message once, at its best", async () => {
  await using place = new Place();
  const there = await place.client({ clientId: "there", clean: false });
  const heard: string[] = [];
  there.on("message", (_topic, payload, { qos }) => heard.push(`${payload} ${qos}`));
  await there.subscribeAsync({ "#": { qos: 0 }, "a/+": { qos: 1 }, "a/b": { qos: 2 } });
  const sender = await place.client();
  for (const text of numbers(5)) await sender.publishAsync("a/b", text, { qos: 1 });
  await sender.publishAsync("c", "else", { qos: 1 });
  await until(() => heard.length >= 6, { what: "all" });
  assertEquals(heard, [...numbers(5).map((text) => `${text} 1`), "else 0"]);
});

Deno.test("queues are bounded over a restart too, and a clean start empties one", async () => {
  await using place = new Place({ limits: { queuedMessages: 10 } });
  await place.leave("away", "q");
  const sender = await place.client();
  for (const text of numbers(15)) await sender.publishAsync("q", text, { qos: 1 });
  assertEquals([place.rows(), place.dropped()], [10, { session_queue_full: 5 }]);
  await place.restart();
  const again = await place.client();
  await again.publishAsync("q", "more", { qos: 1 });
  assertEquals([place.rows(), place.dropped()], [10, { session_queue_full: 1 }]);
  const clean = await place.client({ clientId: "away", clean: true });
  await clean.endAsync();
  await until(() => place.rows() === 0, { what: "nothing is left on disk" });
  assertEquals(place.store.count(SESSIONS_BUCKET), 0);
});

Deno.test("what came of QoS 2 is taken once, also when it is sent again later", async () => {
  await using place = new Place();
  const port = Number(new URL(await place.url()).port);
  const hello = [0x10, 14, 0, 4, 77, 81, 84, 84, 4, 0, 0, 0, 0, 2, 113, 50];
  const publish = (dup: number) => [0x34 | dup, 6, 0, 1, 97, 0, 7, 120];
  const speak = async (port: number, packets: number[][], answers: number) => {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    const said: number[] = [];
    try {
      await connection.write(Uint8Array.from(hello));
      for (const packet of packets) {
        await connection.write(Uint8Array.from(packet));
        const bytes = new Uint8Array(64);
        while (said.length < answers) {
          const count = await connection.read(bytes);
          if (count === null) break;
          said.push(...bytes.subarray(0, count));
        }
      }
    } finally {
      connection.close();
    }
    return said;
  };
  const pubrec = [0x50, 2, 0, 7];
  assertEquals((await speak(port, [publish(0)], 8)).slice(4), pubrec);
  await place.restart();
  const next = Number(new URL(await place.url()).port);
  assertEquals((await speak(next, [publish(8)], 8)).slice(4), pubrec);
  assertEquals(place.taken, ["x"]);
  const pubrel = [0x62, 2, 0, 7];
  assertEquals((await speak(next, [pubrel], 8)).slice(4), [0x70, 2, 0, 7]);
  assertEquals((await speak(next, [publish(0)], 8)).slice(4), pubrec);
  assertEquals(place.taken, ["x", "x"]);
});

Deno.test("retained messages outlive the broker; the same again is not written", async () => {
  await using place = new Place();
  const sender = await place.client();
  const retain = true;
  for (let i = 0; i < 5; i++) await sender.publishAsync("r/a", "same", { qos: 1, retain });
  assertEquals(place.store.writes[RETAINED_BUCKET], 1);
  await sender.publishAsync("r/b", "gone", { qos: 1, retain });
  await sender.publishAsync("r/b", "", { qos: 1, retain });
  for (const text of numbers(100)) await sender.publishAsync("r/c", text, { qos: 0, retain });
  await sender.publishAsync("r/a", "new", { qos: 1, retain });
  place.sparing = true;
  for (const text of numbers(100)) await sender.publishAsync("r/a", text, { qos: 1, retain });
  assert((place.store.writes[RETAINED_BUCKET] ?? 0) < 10, JSON.stringify(place.store.writes));
  await place.restart();
  const reader = await place.client();
  const heard: string[] = [];
  reader.on("message", (topic, payload) => heard.push(`${topic} ${payload}`));
  await reader.subscribeAsync("r/#", { qos: 1 });
  await until(() => heard.length === 2, { what: "both" });
  assertEquals(heard.sort(), ["r/a 99", "r/c 99"]);
});

Deno.test("a client of version 5 is told in its own words, and let go", async () => {
  await using place = new Place();
  const port = Number(new URL(await place.url()).port);
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const hello = [0x10, 15, 0, 4, 77, 81, 84, 84, 5, 2, 0, 0, 0, 0, 2, 118, 53];
  await connection.write(Uint8Array.from(hello));
  const said = new Uint8Array(16);
  const count = await connection.read(said);
  assertEquals([...said.subarray(0, count ?? 0)], [0x20, 3, 0, 0x84, 0]);
  assertEquals(await connection.read(said), null);
  connection.close();
  await assertRejects(() => place.client({ protocolVersion: 5 }), Error, "Unsupported Protocol");
  assertEquals(place.dropped(), { protocol: 2 });
});
