/**
 * What the embedded broker acknowledged outlives the edge: real clients, the real program, and
 * SIGKILL in the middle of traffic. Sessions, what waits for them, and retained messages are there
 * again, and nothing that was acknowledged is lost.
 */
import { join } from "@std/path";
import { assert, assertEquals } from "@std/assert";
import mqtt, { connect, connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { lastingStores } from "../../shared/mqtt_stores.ts";
import { freePort, MosquittoSub } from "../support/mqtt.ts";
import { type Child, startChild } from "../support/process.ts";
import { findPrograms } from "../support/programs.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

const WAIT_MS = 60_000;

/** The edge alone: no cloud, no runtime, a broker on a port that stays. */
class Site {
  readonly #dir: string;
  readonly port = freePort();
  #edge: Child | undefined;

  constructor(dir: string) {
    this.#dir = dir;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const dir = this.#dir;
    const lines = [
      "apiVersion: config.skerry.dev/v1alpha1",
      "kind: EdgeConfig",
      "nodeName: sessions",
      `dataDir: ${dir}`,
      "cloud: { addresses: [] }",
      'api: { listen: "127.0.0.1:0" }',
      `mqtt: { listen: "127.0.0.1:${this.port}", limits: { queuedMessages: 20000 } }`,
      `dmi: { socket: ${dir}/dmi.sock }`,
      `runtime: { endpoint: "unix://${dir}/none.sock" }`,
      `pods: { logsDir: ${dir}/logs }`,
    ];
    await Deno.writeTextFile(join(dir, "edge.yaml"), lines.join("\n") + "\n");
    this.#edge = await startChild({
      name: "edge",
      command: findPrograms().edge,
      args: ["run", "--data-dir", dir],
      logDir: dir,
    });
    await this.#edge.waitFor("its broker", async () => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: this.port });
      connection.close();
      return true;
    }, WAIT_MS);
  }

  async kill(): Promise<void> {
    this.#edge?.kill("SIGKILL");
    await this.#edge?.status;
  }

  async stop(): Promise<void> {
    await this.#edge?.stop();
  }

  async client(options: IClientOptions = {}): Promise<MqttClient> {
    const client = await connectAsync(this.url, { reconnectPeriod: 0, ...options });
    client.on("error", () => {}); // it is killed on purpose
    return client;
  }
}

async function withSite(work: (site: Site, dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-mqtt-it-" });
  const site = new Site(dir);
  try {
    await site.start();
    await work(site, dir);
  } finally {
    await site.stop();
    await Deno.remove(dir, { recursive: true });
  }
}

/** A session that is kept, and everything it ever heard. */
class Listener {
  readonly heard: string[] = [];
  readonly #id: string;
  readonly #qos: 1 | 2;
  /** Its half of the session outlives its connections too. */
  readonly #stores = lastingStores(mqtt.Store);
  client: MqttClient | undefined;

  constructor(id: string, qos: 1 | 2 = 1) {
    this.#id = id;
    this.#qos = qos;
  }

  async connect(site: Site): Promise<boolean> {
    const session = { clientId: this.#id, clean: false, ...this.#stores };
    const client = connect(site.url, { reconnectPeriod: 0, ...session });
    client.on("error", () => {}); // it is killed on purpose
    client.on("message", (_topic, payload) => this.heard.push(payload.toString()));
    this.client = client;
    return await new Promise((resolve) =>
      client.once("connect", ({ sessionPresent }) => resolve(sessionPresent))
    );
  }

  async subscribe(topic: string): Promise<void> {
    await this.client?.subscribeAsync(topic, { qos: this.#qos });
  }

  async end(): Promise<void> {
    await this.client?.endAsync(true);
  }
}

/** Publishes on and on, so many in flight; what was acknowledged is in `acknowledged`. */
class Sender {
  readonly acknowledged: string[] = [];
  readonly #topic: string;
  readonly #qos: 1 | 2;
  #next = 0;

  constructor(topic: string, qos: 1 | 2 = 1) {
    this.#topic = topic;
    this.#qos = qos;
  }

  async run(client: MqttClient, inFlight: number): Promise<void> {
    let isOpen = true;
    const closed = new Promise<false>((resolve) =>
      client.once("close", () => resolve(isOpen = false))
    );
    await Promise.all(Array.from({ length: inFlight }, async () => {
      while (isOpen) {
        const text = String(this.#next++);
        const sent = client.publishAsync(this.#topic, text, { qos: this.#qos })
          .then(() => true, () => false);
        if (await Promise.race([sent, closed])) this.acknowledged.push(text);
      }
    }));
  }
}

function assertNothingLost(acknowledged: readonly string[], heard: readonly string[]): void {
  const all = new Set(heard);
  assertEquals(acknowledged.filter((text) => !all.has(text)), []);
}

testWith(
  ["mosquitto"],
  "MQTT inside: the edge is killed in the middle, and nothing acknowledged is lost",
  async () => {
    await withSite(async (site, dir) => {
      const away = ["-c", "-i", "away"];
      const topics = ["work/#"];
      await (await MosquittoSub.start(dir, { port: site.port, topics, args: away }))
        [Symbol.asyncDispose]();
      const there = new Listener("there");
      await there.connect(site);
      await there.subscribe("work/+");
      const sender = new Sender("work/a");
      for (let round = 1; round <= 3; round++) {
        const client = await site.client();
        const sending = sender.run(client, 32);
        await until(() => sender.acknowledged.length > round * 500, {
          what: "acknowledgements",
          timeoutMs: WAIT_MS,
        });
        await site.kill();
        await sending;
        await client.endAsync(true);
        await there.end();
        await site.start();
        assert(await there.connect(site), "its session is there");
      }
      const { acknowledged } = sender;
      await until(() => new Set(there.heard).isSupersetOf(new Set(acknowledged)), {
        what: `all that were acknowledged, ${acknowledged.length}`,
        timeoutMs: WAIT_MS,
      });
      await using back = await MosquittoSub.start(dir, { port: site.port, topics, args: away });
      const last = acknowledged.at(-1);
      await until(async () => (await back.heard()).some(({ text }) => text === last), {
        what: "the last one",
        timeoutMs: WAIT_MS,
      });
      const texts = (await back.heard()).map(({ text }) => text);
      assertNothingLost(acknowledged, texts);
      assertEquals(texts.length, new Set(texts).size, "each once");
      await there.end();
    });
  },
);

Deno.test("MQTT inside: QoS 2 is once each, and retained messages stay, over a kill", async () => {
  await withSite(async (site) => {
    const away = new Listener("exact", 2);
    await away.connect(site);
    await away.subscribe("two/#");
    await away.end();
    const client = await site.client();
    const sender = new Sender("two/a", 2);
    for (let i = 0; i < 20; i++) {
      await client.publishAsync(`kept/${i}`, `value ${i}`, { qos: 1, retain: true });
    }
    await client.publishAsync("kept/3", "", { qos: 1, retain: true });
    const sending = sender.run(client, 8);
    await until(() => sender.acknowledged.length > 100, { what: "some", timeoutMs: WAIT_MS });
    await site.kill();
    await sending;
    await client.endAsync(true);
    await site.start();
    assert(await away.connect(site), "its session is there");
    await until(() => away.heard.length >= sender.acknowledged.length / 2, { what: "half" });
    await away.end(); // in the middle of its handshakes
    await site.kill();
    await site.start();
    await away.connect(site);
    await until(() => new Set(away.heard).isSupersetOf(new Set(sender.acknowledged)), {
      what: "all",
      timeoutMs: WAIT_MS,
    });
    assertEquals(away.heard.length, new Set(away.heard).size, "each once");
    await away.end();
    const kept: string[] = [];
    const reader = await site.client();
    reader.on("message", (topic, payload, { retain }) => {
      if (retain) kept.push(`${topic} ${payload}`);
    });
    await reader.subscribeAsync("kept/#", { qos: 1 });
    const wanted = Array.from({ length: 20 }, (_, i) => `kept/${i} value ${i}`)
      .filter((text) => !text.startsWith("kept/3 "));
    await until(() => kept.length >= wanted.length, { what: "what is retained" });
    assertEquals(kept.sort(), wanted.sort());
    await reader.endAsync(true);
  });
});
