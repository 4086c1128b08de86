/**
 * The data pipeline against real servers (Redis, MariaDB, mosquitto), which are killed and come
 * back; and against servers that check the protocol strictly, where the products are in no
 * package registry (InfluxDB 2, TDengine, an OpenTelemetry collector).
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { connectAsync } from "mqtt";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SystemClock } from "../../shared/clock.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import { SystemRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import { DurableOutbox } from "../../edge/meta/outbox.ts";
import { Push } from "../../edge/push/push.ts";
import { openSender } from "../../edge/push/senders/open.ts";
import { TwinEngine } from "../../edge/twins/engine.ts";
import { TestLedger } from "../../edge/twins/testing.ts";
import * as servers from "../support/push_servers.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

const NAMESPACE = "default";
const SECRET = "s3cret";
const WAIT_MS = 90_000;

/** A node with one device, whose property `temp` is pushed. */
class Site implements AsyncDisposable {
  readonly dir = Deno.makeTempDirSync({ prefix: "push-" });
  readonly clock = new SystemClock();
  readonly store = new MemoryStore({ clock: this.clock });
  readonly ledger = new TestLedger();
  readonly engine: TwinEngine;
  readonly push: Push;
  readonly #scope = new TaskScope();

  constructor() {
    const { store, ledger, clock } = this;
    const outbox = new DurableOutbox({ store, clock });
    this.engine = new TwinEngine({ store, ledger, outbox, clock });
    this.push = new Push({
      twins: this.engine.twins,
      store,
      clock,
      random: new SystemRandom(),
      open: (destination) =>
        openSender(destination, {
          credentialsFile: join(this.dir, "credentials.yaml"),
          style: "kubeedge",
          clock,
        }),
    });
  }

  async start(pushMethod: Record<string, unknown>, credentials: string): Promise<void> {
    await Deno.writeTextFile(join(this.dir, "credentials.yaml"), credentials);
    this.ledger.put(objectKey(GVR.deviceModels, NAMESPACE, "m"), {
      metadata: { namespace: NAMESPACE, name: "m", uid: "m" },
      spec: { properties: [{ name: "temp", type: "DOUBLE", accessMode: "ReadWrite" }] },
    } as never); // a model, as far as it is looked at
    this.ledger.put(objectKey(GVR.devices, NAMESPACE, "d"), {
      metadata: { namespace: NAMESPACE, name: "d", uid: "d" },
      spec: { deviceModelRef: { name: "m" }, properties: [{ name: "temp", pushMethod }] },
    } as never); // a device, as far as it is looked at
    await this.engine.sync();
    this.#scope.spawn("push", (signal) => this.push.run(signal));
  }

  /** One after the other, each sampled before the next: none replaces another. */
  async report(...values: string[]): Promise<void> {
    for (const value of values) {
      const twins = { temp: { value } };
      const before = this.#sampled();
      await this.engine.twins.report({ namespace: NAMESPACE, name: "d" }, { twins });
      await until(() => this.#sampled() > before, { what: `sample of ${value}` });
    }
  }

  async delivered(count: number): Promise<void> {
    await until(() => this.status()?.delivered === count, {
      what: `${count} delivered`,
      timeoutMs: WAIT_MS,
    });
  }

  status() {
    return this.push.status().destinations[0];
  }

  #sampled(): number {
    const { queued = 0, delivered = 0, dropped = {} } = this.status() ?? {};
    return queued + delivered + (dropped["refused"] ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    await Deno.remove(this.dir, { recursive: true });
  }
}

testWith(
  ["redis-server"],
  "Pushed to Redis: in order, also what it missed while it was down",
  async () => {
    await using site = new Site();
    const port = servers.freePort();
    let redis = await servers.startRedis(site.dir, port, SECRET);
    try {
      const config = { addr: `127.0.0.1:${port}`, db: 2 };
      await site.start(
        { dbMethod: { redis: { redisClientConfig: config } } },
        `redis: { password: ${SECRET} }\n`,
      );
      await site.report("1", "2");
      await site.delivered(2);
      await redis.stop();
      await site.report("3", "4", "5");
      await until(() => site.status()?.state === "waiting", { what: "the courier to wait" });
      redis = await servers.startRedis(site.dir, port, SECRET);
      await site.delivered(5);
      const members = await servers.redisCli(port, SECRET, ["-n", "2", "ZRANGE", "d", "0", "-1"]);
      const samples = members.split("\n").map((line) => JSON.parse(line));
      assertEquals(samples.map(({ value }) => value), ["1", "2", "3", "4", "5"]);
      assertEquals(samples[0].propertyName, "temp");
      // somebody's key of another kind: nothing will ever be taken there
      await servers.redisCli(port, SECRET, ["-n", "2", "DEL", "d"]);
      await servers.redisCli(port, SECRET, ["-n", "2", "SET", "d", "mine"]);
      await site.report("6");
      await until(() => site.status()?.dropped["refused"] === 1, { what: "it to be refused" });
    } finally {
      await redis.stop();
    }
  },
);

testWith(["redis-server"], "A wrong password waits, and is right once the file is", async () => {
  await using site = new Site();
  const port = servers.freePort();
  const redis = await servers.startRedis(site.dir, port, SECRET);
  try {
    const config = { addr: `127.0.0.1:${port}` };
    await site.start(
      { dbMethod: { redis: { redisClientConfig: config } } },
      "redis: { password: wrong }\n",
    );
    await site.report("1");
    const problem = await until(() => site.status()?.problem, { what: "a problem" });
    assert(problem.includes("WRONGPASS"), problem);
    await Deno.writeTextFile(join(site.dir, "credentials.yaml"), `redis: { password: ${SECRET} }`);
    await site.delivered(1);
  } finally {
    await redis.stop();
  }
});

testWith(["mariadb"], "Pushed to MySQL: each value once, also those it missed", async () => {
  await using site = new Site();
  const port = servers.freePort();
  const mariadb = await servers.startMariadb(site.dir, port);
  try {
    const { database, user, password } = servers.MARIADB;
    const config = { addr: `127.0.0.1:${port}`, database, userName: user };
    await site.start(
      { dbMethod: { mysql: { mysqlClientConfig: config } } },
      `"mysql 127.0.0.1:${port}": { password: ${password} }\n`,
    );
    await site.report("1.5", "2.5");
    await site.delivered(2);
    mariadb.kill("SIGSTOP"); // neither there nor gone
    await site.report("3.5");
    mariadb.kill("SIGCONT");
    await site.delivered(3);
    const rows = await servers.sql(
      site.dir,
      `SELECT field FROM ${database}.\`default/d/temp\` ORDER BY id`,
    );
    assertEquals(rows.split("\n"), ["1.5", "2.5", "3.5"]);
  } finally {
    await mariadb.stop(30_000);
  }
});

testWith(
  ["mosquitto"],
  "Pushed to another MQTT broker: in order, and after it was away",
  async () => {
    await using site = new Site();
    const port = servers.freePort();
    let mosquitto = await servers.startMosquitto(site.dir, port);
    try {
      const got: string[] = [];
      const listener = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 100 });
      try {
        listener.on("message", (_, payload) => got.push(payload.toString()));
        await listener.subscribeAsync("plant/temp", { qos: 1 });
        const config = { address: `tcp://127.0.0.1:${port}`, topic: "plant/temp", qos: 1 };
        await site.start({ mqtt: config }, "");
        await site.report("1", "2");
        await site.delivered(2);
        await mosquitto.stop();
        await site.report("3");
        await until(() => site.status()?.state === "waiting", { what: "the courier to wait" });
        mosquitto = await servers.startMosquitto(site.dir, port);
        await until(() => listener.connected, { what: "the listener to be back" });
        await site.delivered(3);
        await until(() => got.length >= 2, { what: "messages" });
        assert(
          /^time is \d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}plant\/temp: 1$/.test(got[0] ?? ""),
          got[0],
        );
        assert(got[1]?.endsWith(": 2"));
      } finally {
        await listener.endAsync(true);
      }
    } finally {
      await mosquitto.stop();
    }
  },
);

/** Answers as `answer` says; keeps what it was asked. */
class Strict implements AsyncDisposable {
  readonly requests: { method: string; url: URL; headers: Headers; body: string }[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(answer: (request: { url: URL; headers: Headers; body: string }) => Response) {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request) => {
        const { method, headers } = request;
        const asked = { method, url: new URL(request.url), headers, body: await request.text() };
        this.requests.push(asked);
        return answer(asked);
      },
    );
  }

  get address(): string {
    return `127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

Deno.test("Pushed by HTTP: a form a value; 503 waits, 400 is dropped", async () => {
  let status = 200;
  await using server = new Strict(() => new Response(null, { status }));
  await using site = new Site();
  const [host = "", port] = server.address.split(":");
  const http = { hostName: `http://${host}`, port: Number(port), requestPath: "/in", timeout: 5 };
  await site.start({ http }, "http: { token: abc }\n");
  await site.report("20");
  await site.delivered(1);
  const form = new URLSearchParams(server.requests[0]?.body);
  assertEquals([form.get("temp"), form.get("device")], ["20", "d"]);
  assertEquals(server.requests[0]?.headers.get("authorization"), "Bearer abc");
  assertEquals(server.requests[0]?.url.pathname, "/in");
  status = 503;
  await site.report("21");
  await until(() => site.status()?.state === "waiting", { what: "the courier to wait" });
  status = 204;
  await site.delivered(2);
  status = 400;
  await site.report("22");
  await until(() => site.status()?.dropped["refused"] === 1, { what: "it to be refused" });
});

Deno.test("Pushed to InfluxDB 2: line protocol and token as its API wants them", async () => {
  const LINE = /^plant,site=north temp=-?\d+(\.\d+)? \d{13}$/;
  await using server = new Strict(({ url, headers, body }) => {
    const isRight = url.pathname === "/api/v2/write" && url.searchParams.get("org") === "o" &&
      url.searchParams.get("bucket") === "b" && url.searchParams.get("precision") === "ms";
    if (!isRight) return Response.json({ code: "not found" }, { status: 404 });
    if (headers.get("authorization") !== "Token t0k") return new Response(null, { status: 401 });
    const isWhole = body.split("\n").every((line) => LINE.test(line));
    return new Response(null, { status: isWhole ? 204 : 400 });
  });
  await using site = new Site();
  await site.start({
    dbMethod: {
      influxdb2: {
        influxdb2ClientConfig: { url: `http://${server.address}`, org: "o", bucket: "b" },
        influxdb2DataConfig: { measurement: "plant", tag: { site: "north" }, fieldKey: "temp" },
      },
    },
  }, "influxdb2: { token: t0k }\n");
  await site.report("20.25", "-1");
  await site.delivered(2);
});

Deno.test("Pushed to an OpenTelemetry collector: what it rejects is dropped", async () => {
  // {partialSuccess: {rejectedDataPoints: 1, errorMessage: "old"}}
  const rejection = new Uint8Array([10, 7, 8, 1, 18, 3, ...new TextEncoder().encode("old")]);
  let answer = new Uint8Array();
  await using server = new Strict(({ url, headers, body }) => {
    const isRight = url.pathname === "/v1/metrics" &&
      headers.get("content-type") === "application/x-protobuf" && body.includes("temp");
    return new Response(isRight ? answer : null, { status: isRight ? 200 : 400 });
  });
  await using site = new Site();
  await site.start({ otel: { endpointURL: `http://${server.address}` } }, "");
  await site.report("20.25", "7");
  await site.delivered(2);
  answer = rejection;
  await site.report("8");
  await until(() => site.status()?.dropped["refused"] === 1, { what: "it to be refused" });
});

Deno.test("Pushed to TDengine: its table made once, its codes heard in a 200", async () => {
  let code = 0;
  await using server = new Strict(({ url, headers }) => {
    const isRight = url.pathname === "/rest/sql/site" &&
      headers.get("authorization") === `Basic ${btoa("root:taosdata")}`;
    return isRight
      ? Response.json(code === 0 ? { code, rows: 1 } : { code, desc: "Internal error" })
      : new Response(null, { status: 401 });
  });
  await using site = new Site();
  const config = { addr: server.address, dbName: "site" };
  await site.start({ dbMethod: { TDEngine: { TDEngineClientConfig: config } } }, "");
  await site.report("20");
  await site.delivered(1);
  code = 0x80000b;
  await site.report("21");
  const problem = await until(() => site.status()?.problem, { what: "a problem" });
  assert(problem.includes("Internal error"), problem);
  code = 0;
  await site.delivered(2);
  const statements = server.requests.map(({ body }) => body);
  assertEquals(statements[0]?.startsWith("CREATE STABLE IF NOT EXISTS `default_d` "), true);
  assert(statements[1]?.includes("VALUES (") && statements[1].includes("'default/d','temp','20'"));
});
