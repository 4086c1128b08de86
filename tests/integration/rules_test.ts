/**
 * Rules with both ends of them: the cloud's over a real API server, the node's with its ServiceBus,
 * a tunnel and an outbox of this test between them, and REST targets that listen. Their bounds, and
 * what becomes of what is sent while a target or the node is away.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { SYSTEM } from "../../cloud/apiserver/authorize.ts";
import { type TestServer, testServer } from "../../cloud/apiserver/testing.ts";
import { inProcessKube } from "../../cloud/kube/in_process.ts";
import { Informer } from "../../cloud/kube/informer.ts";
import type { Nodes, Rule, RuleEndpoint } from "../../cloud/rules/port.ts";
import { RestTargets } from "../../cloud/rules/rest_targets.ts";
import { Rules } from "../../cloud/rules/rules.ts";
import { openLocalTls } from "../../edge/api_files.ts";
import type { AppMessage } from "../../edge/mqtt/port.ts";
import { EdgeRules, ruleUrls } from "../../edge/rules/edge_rules.ts";
import { ServiceBus } from "../../edge/rules/service_bus.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { type Clock, SystemClock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import { SystemRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { decodeBody, encodeBody } from "../../shared/wire/codec.ts";
import { parseReport, type Report } from "../../shared/wire/report.ts";
import { freePort } from "../support/push_servers.ts";
import { until } from "../support/until.ts";

const NODE = "n1";
const ASKED = "http://127.0.0.1:9000/echo";
const MEBI = 1024 * 1024;

/** A node: its end of rules, and what its outbox holds until the cloud has it. */
class Node {
  readonly store = new MemoryStore();
  readonly published: string[] = [];
  readonly outbox: Report[] = [];
  readonly bus: ServiceBus;
  readonly rules: EdgeRules;

  constructor(clock: Clock, sent: () => void) {
    const random = new SystemRandom();
    const outbox = {
      append: (_: unknown, records: readonly { report: Report }[]) => {
        for (const { report } of records) this.outbox.push(report);
        sent();
        return Promise.resolve();
      },
    };
    this.bus = new ServiceBus({
      outbox,
      urls: () => ruleUrls(this.store),
      timeoutMs: 60_000,
      token: () => Promise.resolve(undefined),
      isOpen: false,
      clock,
      random,
    });
    this.rules = new EdgeRules({
      store: this.store,
      outbox,
      answers: () => this.bus,
      clock,
      random,
    });
  }

  /** A bus that keeps what is published. */
  readonly mqtt = {
    publish: ({ topic, payload }: AppMessage) => {
      this.published.push(`${topic} ${payload.byteLength}`);
      return Promise.resolve();
    },
    subscribe: () => () => {},
  };

  async ask(payload: string, prefer = ""): Promise<[status: number, answer: Answer]> {
    const body = JSON.stringify({ method: "POST", targetURL: ASKED, payload });
    const init = { method: "POST", body, headers: { prefer } };
    const response = await this.bus.fetch(new Request("http://127.0.0.1:9060", init));
    return [response.status, await response.json()];
  }
}

interface Answer {
  code: number;
  msg: string;
  body: string;
  status?: number;
}

class World implements AsyncDisposable {
  readonly node: Node;
  readonly #clock: Clock;
  readonly #api: TestServer;
  readonly #store = new MemoryStore();
  readonly #listeners = new Set<() => void>();
  #isUp = true;
  #sessions = 1;
  #scope = new TaskScope();
  #nodeScope = new TaskScope();
  #cloud: Rules;

  private constructor(api: TestServer, clock: Clock) {
    this.#api = api;
    this.#clock = clock;
    this.node = new Node(clock, () => this.#drain());
    this.#nodeScope.spawn("node", (signal) => this.node.rules.run(this.node.mqtt, signal));
    this.#cloud = this.#open();
  }

  static async open(clock: Clock = new SystemClock()): Promise<World> {
    const world = new World(await testServer(), clock);
    await world.#cloud.start(world.#scope);
    return world;
  }

  /** A rule and its endpoints. */
  async rule(
    name: string,
    [from, sourceResource]: [string, Record<string, string>],
    [to, targetResource]: [string, Record<string, string>],
    properties: Record<string, string> = { service_port: "9000" },
  ): Promise<void> {
    const apiVersion = "rules.kubeedge.io/v1";
    const path = `/apis/${apiVersion}/namespaces/default`;
    const [source, target] = [`${name}-${from}`, `${name}-${to}`];
    for (const [endpoint, ruleEndpointType] of [[source, from], [target, to]]) {
      const spec = { ruleEndpointType, properties };
      const object = { apiVersion, kind: "RuleEndpoint", metadata: { name: endpoint }, spec };
      await this.#api.call("POST", `${path}/ruleendpoints`, object, { expect: 201 });
    }
    const spec = { source, sourceResource, target, targetResource };
    const object = { apiVersion, kind: "Rule", metadata: { name }, spec };
    await this.#api.call("POST", `${path}/rules`, object, { expect: 201 });
  }

  async askRule(resource: string): Promise<void> {
    const from = { target_url: ASKED, node_name: NODE };
    await this.rule("ask", ["servicebus", from], ["rest", { resource }]);
    await until(() => ruleUrls(this.node.store).includes(ASKED), { what: "the URL to be told" });
  }

  async dropRule(name: string): Promise<void> {
    const path = `/apis/rules.kubeedge.io/v1/namespaces/default/rules/${name}`;
    await this.#api.call("DELETE", path, undefined, { expect: 200 });
  }

  async statusOf(name: string): Promise<Rule["status"]> {
    const path = `/apis/rules.kubeedge.io/v1/namespaces/default/rules/${name}`;
    return (await this.#api.call("GET", path)).body.status;
  }

  /** The REST end, as an administrator. */
  async rest(path: string, body: string): Promise<[number, string]> {
    const request = new Request(`https://cloud${path}`, {
      method: "POST",
      body,
      headers: { authorization: "Bearer admin" },
    });
    const response = await this.#cloud.fetch(request);
    return [response.status, (await response.text()).trim()];
  }

  cut(): void {
    this.#isUp = false;
    for (const listener of this.#listeners) listener();
  }

  heal(): void {
    this.#isUp = true;
    this.#sessions++;
    for (const listener of this.#listeners) listener();
    this.#drain();
  }

  /** The cloud goes, and comes back with what it had on disk. */
  async restartCloud(): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    this.#scope = new TaskScope();
    this.#cloud = this.#open();
    await this.#cloud.start(this.#scope);
    this.#drain();
  }

  #open(): Rules {
    const kube = inProcessKube(this.#api.server.fetchAs(SYSTEM));
    const ports = { clock: this.#clock, random: new SystemRandom() };
    return new Rules({
      ...ports,
      kube,
      rules: new Informer<Rule>(kube, GVR.rules, ports),
      endpoints: new Informer<RuleEndpoint>(kube, GVR.ruleEndpoints, ports),
      store: this.#store,
      nodes: this.#nodes,
      targets: new RestTargets(""),
      whoIs: () => Promise.resolve({ username: "admin", groups: ["system:masters"] }),
    });
  }

  readonly #nodes: Nodes = {
    get: (node) => {
      if (node !== NODE || !this.#isUp) return undefined;
      const [sinceMs, remoteAddress] = [this.#sessions, "test"];
      return { node, sinceMs, lastHeartbeatMs: 0, ackedGeneration: 0, remoteAddress };
    },
    list: () => [],
    subscribe: (listener) => {
      this.#listeners.add(listener);
      return () => this.#listeners.delete(listener);
    },
    fetch: async (node, request) => {
      if (!this.#nodes.get(node)) throw new AppError("unavailable", "node is away");
      return await this.node.rules.handle(request);
    },
  };

  /** Sends what the outbox holds, as bytes, and forgets what was acknowledged. */
  #drain(): void {
    const { outbox } = this.node;
    const sink = this.#cloud.before({ apply: () => Promise.reject(new Error("none of ours")) });
    const { signal } = this.#scope;
    if (!this.#isUp || signal.aborted) return;
    for (const report of outbox.splice(0)) {
      const sent = parseReport(decodeBody(encodeBody(report), "report"));
      this.#scope.spawn("report", async () => {
        await sink.apply(NODE, sent, signal);
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nodeScope[Symbol.asyncDispose]();
    await this.#scope[Symbol.asyncDispose]();
    await this.#api[Symbol.asyncDispose]();
  }
}

/** A REST target: what it got, and what it says. */
class Target implements AsyncDisposable {
  readonly got: { path: string; headers: Headers; body: string }[] = [];
  readonly port: number;
  say: (body: string) => Response | Promise<Response> = () => new Response("Hello World");
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(port = 0) {
    const where = { hostname: "127.0.0.1", port, onListen: () => {} };
    this.#server = Deno.serve(where, async (request) => {
      const body = await request.text();
      this.got.push({ path: new URL(request.url).pathname, headers: request.headers, body });
      return await this.say(body);
    });
    this.port = this.#server.addr.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/in`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

Deno.test("An application asks a REST target by rule, and gets what it says", async () => {
  await using target = new Target();
  await using world = await World.open();
  await world.askRule(target.url);
  const [status, answer] = await world.node.ask("hello");
  assertEquals([status, answer.code, answer.body, answer.status], [200, 200, "Hello World", 200]);
  const [got] = target.got;
  assertEquals(JSON.parse(got?.body ?? ""), {
    method: "POST",
    targetURL: ASKED,
    payload: "hello",
  });
  assertEquals([got?.path, got?.headers.get("nodename")], ["/in", NODE]);
  assert(got?.headers.get("x-skerry-message-id"));
  target.say = () => new Response("no such thing", { status: 404 });
  const [, refused] = await world.node.ask("x");
  assertEquals([refused.code, refused.status, refused.body], [200, 404, "no such thing"]);
  await until(async () => (await world.statusOf("ask"))?.successMessages === 2, {
    what: "both to be counted",
  });
});

Deno.test("A request is kept while its target, the link and the cloud are away", async () => {
  const port = freePort();
  await using world = await World.open();
  await world.askRule(`http://127.0.0.1:${port}/in`);
  assertEquals((await world.node.ask("target away", "wait=1"))[0], 202);
  await until(async () => ((await world.statusOf("ask"))?.failMessages ?? 0) > 0, {
    what: "the try to be counted",
  });
  await world.restartCloud();
  world.cut();
  assertEquals((await world.node.ask("link cut", "respond-async"))[0], 202);
  await using target = new Target(port);
  world.heal();
  await until(() => target.got.length >= 2, { what: "both requests", timeoutMs: 90_000 });
  const payloads = target.got.map(({ body }) => JSON.parse(body).payload).sort();
  assertEquals(payloads, ["link cut", "target away"]);
});

Deno.test("A target that is busy is asked again while its application waits", async () => {
  await using target = new Target();
  await using world = await World.open();
  await world.askRule(target.url);
  target.say = () => new Response("busy", { status: target.got.length < 3 ? 503 : 201 });
  const [, answer] = await world.node.ask("x");
  assertEquals([answer.code, answer.status, target.got.length], [200, 201, 3]);
  const ids = target.got.map(({ headers }) => headers.get("x-skerry-message-id"));
  assertEquals(new Set(ids).size, 1);
});

Deno.test("A slow target holds up no other request", async () => {
  await using target = new Target();
  await using world = await World.open();
  await world.askRule(target.url);
  const slow = Promise.withResolvers<Response>();
  target.say = (body) => (body.includes("slow") ? slow.promise : new Response("fast"));
  const first = world.node.ask("slow");
  await until(() => target.got.length === 1, { what: "the slow request" });
  // by their ids they go to eight lines: one of these at most stands behind it
  const others = await Promise.all(
    Array.from({ length: 12 }, (_, i) => world.node.ask(`${i}`, "wait=5")),
  );
  assert(others.filter(([status]) => status === 200).length >= 4);
  slow.resolve(new Response("at last"));
  assertEquals((await first)[1].body, "at last");
  await until(() => target.got.length === 13, { what: "all the others" });
});

Deno.test("A target that never answers is given up after a minute, and asked again", async () => {
  const clock = new SimClock();
  await using target = new Target();
  await using world = await World.open(clock);
  const hangs = Promise.withResolvers<void>();
  target.say = () => hangs.promise.then(() => new Response("too late"));
  await world.rule("ask", ["servicebus", { target_url: ASKED, node_name: NODE }], [
    "rest",
    { resource: target.url },
  ]);
  await clock.until(() => ruleUrls(world.node.store).length > 0);
  const kept = world.node.ask("x");
  await clock.until(() => target.got.length === 1);
  await clock.advance(60_000);
  assertEquals((await kept)[0], 202);
  await clock.until(() => target.got.length === 2);
  hangs.resolve();
});

Deno.test("Who asks by a rule that went is told so", async () => {
  await using target = new Target();
  await using world = await World.open();
  await world.askRule(target.url);
  await world.dropRule("ask");
  await until(() => ruleUrls(world.node.store).length === 0, { what: "the URL to go" });
  const [status, answer] = await world.node.ask("x");
  assertEquals([status, answer.code], [200, 400]);
  assert(answer.msg.includes("please make a rule for this url in the cloud"), answer.msg);
  // a node that has not heard yet
  const [key, bucket] = ["urls", "rule_urls/v1"];
  await world.node.store.commit([{ op: "put", bucket, key, value: [ASKED] }]);
  const [, late] = await world.node.ask("x");
  assertEquals([late.code, late.msg], [500, `no rule of this node leads from the URL ${ASKED}`]);
  assertEquals(target.got.length, 0);
});

Deno.test("Bodies of rules are taken up to their bounds, and refused by name beyond", async () => {
  await using service = new Target();
  await using world = await World.open();
  await world.askRule(service.url);
  await world.rule("down", ["rest", { path: "down" }], ["eventbus", { topic: "t" }]);
  const path = { service_port: String(service.port) };
  await world.rule("call", ["rest", { path: "call" }], ["servicebus", { path: "in" }], path);
  await until(async () => (await world.rest(`/${NODE}/default/call`, ""))[0] === 200, {
    what: "the rules to be known",
  });
  assertEquals((await world.rest(`/${NODE}/default/down`, "x".repeat(MEBI)))[0], 200);
  await until(() => world.node.published.includes(`t ${MEBI}`), { what: "the largest message" });
  assertEquals(await world.rest(`/${NODE}/default/down`, "x".repeat(MEBI + 1)), [
    413,
    `a message must be at most ${MEBI} bytes`,
  ]);
  service.say = (body) => new Response(String(body.length));
  assertEquals(await world.rest(`/${NODE}/default/call`, "x".repeat(12 * MEBI)), [
    200,
    String(12 * MEBI),
  ]);
  assertEquals(await world.rest(`/${NODE}/default/call`, "x".repeat(12 * MEBI + 1)), [
    413,
    `a body must be at most ${12 * MEBI} bytes`,
  ]);
  service.say = () => new Response("x".repeat(MEBI));
  assertEquals((await world.node.ask(""))[1].body.length, MEBI);
  service.say = () => new Response("x".repeat(MEBI + 1));
  const [, answer] = await world.node.ask("");
  assertEquals([answer.code, answer.msg], [
    500,
    `the target's answer is larger than ${MEBI} bytes`,
  ]);
});

Deno.test("A target with a certificate of the operator's own authority is asked", async () => {
  const dir = await Deno.makeTempDir();
  const tls = await openLocalTls(dir, ["localhost", "127.0.0.1"], new SystemRandom());
  const caFile = `${dir}/targets.pem`;
  await Deno.writeTextFile(caFile, `# ours\n${tls.authority}`);
  await Deno.writeTextFile(`${dir}/none.pem`, "not a certificate");
  const where = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
  const pair = { cert: tls.certificate, key: tls.privateKey };
  const server = Deno.serve({ ...where, ...pair }, () => new Response("hello"));
  const url = `https://localhost:${server.addr.port}/`;
  const targets = new RestTargets(caFile);
  try {
    assertEquals(await (await targets.fetch(url, { method: "POST" })).text(), "hello");
    const unknown = await assertRejects(() => new RestTargets("").fetch(url, {}));
    assert(errorChain(unknown).includes("UnknownIssuer"), errorChain(unknown));
    for (const file of ["none.pem", "missing.pem"]) {
      const wrong = new RestTargets(`${dir}/${file}`);
      await assertRejects(() => wrong.fetch(url, {}), AppError, `rest.caFile ${dir}/${file}`);
    }
  } finally {
    targets.close();
    await server.shutdown();
    await Deno.remove(dir, { recursive: true });
  }
});
