/**
 * The embedded broker with a real client over TCP: who is let in, what is held back, what waits.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SystemClock } from "../../shared/clock.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { until } from "../../tests/support/until.ts";
import { edgeConfigSchema } from "../config.ts";
import type { Published } from "./broker.ts";
import { Counters } from "./counters.ts";
import { EmbeddedBroker } from "./embedded.ts";
import { formatUser } from "./passwords.ts";

class Bench implements AsyncDisposable {
  readonly counters = new Counters();
  readonly taken: Published[] = [];
  readonly store = new MemoryStore();
  readonly forbidden: Published[] = [];
  readonly broker: EmbeddedBroker;
  take: (message: Published) => Promise<void> = () => Promise.resolve();
  readonly #scope = new TaskScope();
  readonly #clients: MqttClient[] = [];

  constructor(mqtt: object) {
    const listen = "127.0.0.1:0";
    this.broker = new EmbeddedBroker({
      config: edgeConfigSchema({ nodeName: "n", mqtt: { listen, ...mqtt } }, "").mqtt,
      take: async (message) => {
        await this.take(message);
        this.taken.push(message);
      },
      onForbidden: (message) => this.forbidden.push(message),
      store: this.store,
      sparing: () => false,
      counters: this.counters,
      clock: new SystemClock(),
      random: new SeededRandom(1),
      onChange: () => {},
    });
    this.#scope.spawn("broker", (signal) => this.broker.run(signal));
  }

  async port(): Promise<number> {
    return await until(() => {
      const { state } = this.broker;
      return state.state === "up" ? Number(state.address.split(":").at(-1)) : undefined;
    }, { what: "the broker", timeoutMs: 30_000 });
  }

  async client(options: IClientOptions = {}): Promise<MqttClient> {
    const url = `mqtt://127.0.0.1:${await this.port()}`;
    const client = await connectAsync(url, { reconnectPeriod: 0, ...options });
    client.on("error", () => {}); // what a test ends on purpose
    this.#clients.push(client);
    return client;
  }

  dropped(): Record<string, number> {
    return this.counters.read({ clients: 0, waiting: 0 }).dropped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) await client.endAsync(true);
    await this.#scope[Symbol.asyncDispose]();
    await this.store.close();
  }
}

Deno.test("a publication is acknowledged when it is taken, in order", async () => {
  await using bench = new Bench({});
  const gate = Promise.withResolvers<void>();
  bench.take = ({ topic }) => topic === "slow" ? gate.promise : Promise.resolve();
  const client = await bench.client();
  const acknowledged: string[] = [];
  const publish = async (topic: string) => {
    await client.publishAsync(topic, "x", { qos: 1 });
    acknowledged.push(topic);
  };
  const all = Promise.all([publish("slow"), publish("fast")]);
  await until(() => bench.taken.length === 1, { what: "the fast one" });
  assertEquals(acknowledged, []);
  gate.resolve();
  await all;
  assertEquals(acknowledged, ["slow", "fast"]);
});

Deno.test("users and the access list decide; what is forbidden goes nowhere", async () => {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, await formatUser("ann", "word", new SeededRandom(5)));
    await using bench = new Bench({
      usersFile: file,
      acl: [{ user: "ann", read: ["in/#"], write: ["in/#"] }],
    });
    await assertRejects(() => bench.client({ username: "ann", password: "no" }), Error, "user");
    await assertRejects(() => bench.client(), Error, "user");
    const ann = await bench.client({ username: "ann", password: "word" });
    const heard: string[] = [];
    ann.on("message", (topic) => heard.push(topic));
    await ann.subscribeAsync("in/#", { qos: 1 });
    await assertRejects(() => ann.subscribeAsync("#", { qos: 1 }));
    await ann.publishAsync("out/a", "x", { qos: 1 });
    await ann.publishAsync("in/a", "x", { qos: 1 });
    await until(() => heard.length > 0, { what: "its own message" });
    assertEquals(heard, ["in/a"]);
    assertEquals(bench.forbidden.map(({ topic }) => topic), ["out/a"]);
    assertEquals(bench.taken.map(({ topic, who }) => [topic, who.user]), [["in/a", "ann"]]);
    assertEquals(bench.dropped(), { unauthorized: 2, forbidden: 2 });
  } finally {
    await Deno.remove(file);
  }
});

/** Whoever says this is not listened to. */
async function assertClosed(port: number, said = ""): Promise<void> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  try {
    await connection.write(new TextEncoder().encode(said)).catch(() => 0);
    assertEquals(await connection.read(new Uint8Array(64)).catch(() => null), null);
  } finally {
    connection.close();
  }
}

Deno.test("a packet too big, and a connection too many, cost their sender only", async () => {
  await using bench = new Bench({ limits: { connections: 2 } });
  const port = await bench.port();
  const good = await bench.client();
  const bad = await bench.client();
  await assertClosed(port);
  assertEquals(bench.dropped(), { too_many_connections: 1 });
  const closed = new Promise<void>((resolve) => bad.once("close", () => resolve()));
  bad.publish("a", "x".repeat(300_000), { qos: 0 });
  await closed;
  assertEquals(bench.dropped().packet_too_big, 1);
  await assertClosed(port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await good.publishAsync("a", "still here", { qos: 1 });
});

Deno.test("big packets arrive whole, one by one and many at once", async () => {
  await using bench = new Bench({});
  const client = await bench.client();
  const payload = (index: number) => `${index} `.padEnd(200_000, String(index));
  for (let i = 0; i < 5; i++) await client.publishAsync("big", payload(i), { qos: 1 });
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => client.publishAsync("big", payload(5 + i), { qos: 1 })),
  );
  const texts = bench.taken.map((message) => new TextDecoder().decode(message.payload));
  assertEquals(texts.length, 25);
  for (const [index, text] of texts.entries()) assert(text === payload(index), `message ${index}`);
});

Deno.test("a flood is held back, and all of it arrives", async () => {
  await using bench = new Bench({ limits: { messagesPerSecond: 400 } });
  const client = await bench.client();
  await Promise.all(
    Array.from({ length: 1_000 }, (_, i) => client.publishAsync("f", String(i), { qos: 1 })),
  );
  assertEquals(bench.taken.length, 1_000);
  assert(bench.counters.pauses > 0);
});

Deno.test("a client that is away finds what its session kept, up to a bound", async () => {
  await using bench = new Bench({ limits: { queuedMessages: 10 } });
  const session = { clientId: "away", clean: false };
  const first = await bench.client(session);
  await first.subscribeAsync("q", { qos: 1 });
  await first.endAsync();
  await until(() => bench.broker.clients === 0, { what: "it has gone" });
  for (let i = 0; i < 15; i++) await bench.broker.publish("q", String(i));
  const heard: string[] = [];
  const url = `mqtt://127.0.0.1:${await bench.port()}`;
  const { connect } = await import("mqtt");
  const again = connect(url, { ...session, reconnectPeriod: 0 });
  again.on("message", (_topic, payload) => heard.push(payload.toString()));
  await until(() => heard.length === 10, { what: "what was kept" });
  assertEquals(heard, Array.from({ length: 10 }, (_, i) => String(i)));
  assertEquals(bench.dropped(), { session_queue_full: 5 });
  await again.endAsync(true);
});

Deno.test("a client that does not read is let go, and others do not wait for it", async () => {
  await using bench = new Bench({});
  const port = await bench.port();
  const deaf = await Deno.connect({ hostname: "127.0.0.1", port });
  const connect = [0x10, 16, 0, 4, 77, 81, 84, 84, 4, 2, 0, 0, 0, 4, 100, 101, 97, 102];
  const subscribe = [0x82, 6, 0, 1, 0, 1, 35, 1];
  await deaf.write(Uint8Array.from([...connect, ...subscribe]));
  await until(() => bench.broker.clients === 1, { what: "it is there" });
  const good = await bench.client();
  let heard = 0;
  good.on("message", () => heard++);
  await good.subscribeAsync("big", { qos: 1 });
  const payload = "x".repeat(100_000);
  for (let sent = 0; sent < 400 && !bench.dropped().slow_client; sent++) {
    await bench.broker.publish("big", payload);
  }
  assertEquals(bench.dropped().slow_client, 1);
  await until(() => bench.broker.clients === 1, { what: "it is let go" });
  const before = heard;
  await bench.broker.publish("big", payload);
  await until(() => heard > before, { what: "the other hears" });
  deaf.close();
});

Deno.test("a port that is taken is said, and taken when it is free", async () => {
  const other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = other.addr as Deno.NetAddr; // TCP
  await using bench = new Bench({ listen: `127.0.0.1:${port}` });
  const down = await until(() => {
    const { state } = bench.broker;
    return state.state === "down" ? state : undefined;
  }, { what: "it is said" });
  assert(down.problem.includes(`Cannot listen on 127.0.0.1:${port}`), down.problem);
  other.close();
  assertEquals(await bench.port(), port);
});
