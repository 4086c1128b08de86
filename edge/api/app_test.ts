import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Changes } from "../../shared/async/wakeup.ts";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { KubeList, KubeObject, Pod, WatchEvent } from "../../shared/k8s/types.ts";
import type { Intents } from "../intents/port.ts";
import { createLocalApi, type LocalApi } from "./app.ts";
import type { EdgeStatus, HealthCheck, HistoryQuery, HistoryRow } from "./port.ts";

const STATUS: EdgeStatus = {
  node: "n1",
  version: "0.1.0",
  link: { state: "backoff", since: "2026-01-01T00:00:00Z" },
  ledger: { cloudId: "c", generation: 7, objects: 3 },
  outbox: { depth: 2, dropped: { expired: 1 } },
  store: { lastSequence: 9, damage: [], problem: { kind: "full", message: "disk is full" } },
  diskBudget: {
    state: "near",
    limitBytes: 500,
    writtenBytes: 450,
    measuredSeconds: 60,
    totals: { journal: 400, snapshot: 40, bulk: 10 },
  },
  runtime: { endpoint: "unix:///x.sock", ready: true },
  certificate: { expired: false },
  startedAt: "2026-01-01T00:00:00Z",
  config: { ok: true },
};

const MAPPED = {
  devices: 5,
  connections: 4,
  reads: 30,
  writes: 7,
  skipped: 1,
  failures: 2,
  lateMsMean: 0.4,
  lateMsMax: 12.6,
};

function pod(name: string, labels: Record<string, string> = {}): Pod {
  return {
    metadata: { name, namespace: "default", uid: `uid-${name}`, labels },
    spec: { containers: [{ name: "c", image: "i" }] },
    status: { phase: "Running" },
  };
}

function noIntents(): Intents {
  return {
    changes: new Changes(),
    record: () => Promise.reject(new AppError("internal", "no test asks for an act")),
    setTwin: () => Promise.reject(new AppError("internal", "no test asks for an act")),
    list: () => [],
    get: () => undefined,
  };
}

class World {
  pods: Pod[] = [pod("a", { app: "x" }), pod("b")];
  checks: HealthCheck[] = [{ name: "store", ok: true }];
  secrets: KubeObject[] = [
    { metadata: { name: "s", namespace: "default", uid: "u" }, data: { k: "dmFs" } },
  ];
  history: HistoryRow[] = [];
  asked: HistoryQuery | undefined;
  readonly changes = new Changes();
  readonly api: LocalApi;

  constructor(logPath = "") {
    this.api = createLocalApi({
      pods: {
        list: () => this.pods,
        subscribe: (listener) => this.changes.subscribe(listener),
        log: (query) => {
          if (!this.pods.some((p) => p.metadata.name === query.pod)) {
            return Promise.reject(new AppError("not_found", `pods "${query.pod}" not found`));
          }
          return Promise.resolve({ path: logPath, running: () => Promise.resolve(false) });
        },
      },
      objects: {
        list: (resource) => resource === "secrets" ? this.secrets : [],
        subscribe: () => () => {},
      },
      facts: {
        status: () => STATUS,
        checks: () => this.checks,
        node: () => ({ metadata: { name: "n1", uid: "n" } }),
        events: () => [],
        history: (query) => {
          this.asked = query;
          return { rows: this.history, next: 9 };
        },
        waitingReports: () => [],
        heardGeneration: () => undefined,
      },
      intents: noIntents(),
      builtIn: () => ({ statusOf: () => undefined, counts: () => MAPPED }),
      dmi: () => ({ calls: 9, served: 2, waiting: 1, refused: 3, mappers: 1 }),
      token: "secret",
      changes: this.changes,
      process: () => ({ residentBytes: 1, heapUsedBytes: 1, uptimeSeconds: 1 }),
      clock: new SystemClock(),
    });
  }

  async get(path: string, init: RequestInit = {}): Promise<Response> {
    return await this.api.fetch(new Request(`http://127.0.0.1:10550${path}`, init));
  }

  async names(path: string): Promise<string[]> {
    const list: KubeList = await (await this.get(path)).json();
    return list.items.map((item) => item.metadata.name ?? "");
  }
}

Deno.test("the local API lists pods, by namespace and selector", async () => {
  const world = new World();
  assertEquals(await world.names("/api/v1/pods"), ["a", "b"]);
  assertEquals(await world.names("/api/v1/namespaces/default/pods?labelSelector=app%3Dx"), ["a"]);
  assertEquals(await world.names("/api/v1/namespaces/other/pods"), []);
  assertEquals(await world.names("/api/v1/pods?fieldSelector=metadata.name%3Db"), ["b"]);
  const bad = await world.get("/api/v1/pods?fieldSelector=spec.nope%3Db");
  assertEquals([bad.status, (await bad.json()).reason], [400, "BadRequest"]);
});

Deno.test("the local API answers what is missing with a Status", async () => {
  const world = new World();
  const missing = await world.get("/api/v1/namespaces/default/pods/zzz");
  assertEquals([missing.status, (await missing.json()).message], [404, 'pods "zzz" not found']);
  assertEquals((await world.get("/api/v1/widgets")).status, 404);
  const headers = { authorization: "Bearer secret" };
  assertEquals((await world.get("/api/v1/pods", { method: "POST", headers })).status, 405);
});

Deno.test("the local API shows secrets by name only", async () => {
  const text = await (await new World().get("/api/v1/secrets")).text();
  assertStringIncludes(text, '"name":"s"');
  assert(!text.includes("dmFs"));
});

Deno.test("the local API watch sends what is there, then changes, then deletions", async () => {
  const world = new World();
  const response = await world.get("/api/v1/pods?watch=true");
  const lines = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const next = async () => {
    const event = JSON.parse((await lines.read()).value ?? "") as WatchEvent;
    return `${event.type} ${(event.object as KubeObject).metadata.name}`;
  };
  assertEquals([await next(), await next()], ["ADDED a", "ADDED b"]);
  world.pods = [{ ...pod("a"), status: { phase: "Failed" } }];
  world.changes.notify();
  assertEquals([await next(), await next()], ["DELETED b", "MODIFIED a"]);
  await lines.cancel();
});

Deno.test("the local API watch from a list's version sends only what came later", async () => {
  const world = new World();
  const list: KubeList = await (await world.get("/api/v1/pods")).json();
  world.pods = [...world.pods, pod("c")];
  const response = await world.get(
    `/api/v1/pods?watch=true&resourceVersion=${list.metadata.resourceVersion}`,
  );
  const lines = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  assertStringIncludes((await lines.read()).value ?? "", '"name":"c"');
  await lines.cancel();
});

Deno.test("readyz names the check that fails", async () => {
  const world = new World();
  assertEquals(await (await world.get("/readyz")).text(), "ok");
  world.checks = [{ name: "runtime", ok: false, message: "no socket" }];
  const response = await world.get("/readyz");
  assertEquals(response.status, 503);
  assertStringIncludes(await response.text(), "[-]runtime failed: no socket");
});

Deno.test("a Host that is not loopback is refused", async () => {
  const api = new World().api;
  const request = new Request("http://evil.example/api/v1/pods");
  assertEquals((await api.fetch(request)).status, 403);
});

Deno.test("logs are served to people, to kubectl and to the cloud", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "2026-01-01T00:00:00Z stdout F hello\n");
  const world = new World(path);
  assertEquals(await (await world.get("/v1/pods/default/a/logs")).text(), "hello\n");
  const kubectl = await world.get("/api/v1/namespaces/default/pods/a/log?tailLines=1");
  assertEquals(await kubectl.text(), "hello\n");
  const cloud = await world.api.handleFromCloud(
    new Request("http://node/containerLogs/default/a/c"),
  );
  assertEquals(await cloud.text(), "hello\n");
  assertEquals((await world.api.handleFromCloud(new Request("http://node/v1/status"))).status, 404);
  assertEquals((await world.get("/v1/pods/default/zzz/logs")).status, 404);
  await Deno.remove(path);
});

Deno.test("metrics, status, page and description are served", async () => {
  const world = new World();
  const metrics = await (await world.get("/metrics")).text();
  assertStringIncludes(metrics, 'skerry_link_state{state="backoff"} 1');
  assertStringIncludes(metrics, 'skerry_pods{phase="Running"} 2');
  assertStringIncludes(metrics, 'skerry_disk_written_bytes_total{kind="journal"} 400');
  assertStringIncludes(metrics, "skerry_disk_budget_bytes 500");
  assertStringIncludes(metrics, 'skerry_disk_problem{kind="full"} 1');
  const ofMappers = metrics.split("\n").filter((line) => /^skerry_(mapper|dmi)_/.test(line));
  assertEquals(ofMappers, [
    "skerry_mapper_devices 5",
    "skerry_mapper_connections 4",
    "skerry_mapper_reads_total 30",
    "skerry_mapper_writes_total 7",
    "skerry_mapper_skipped_total 1",
    "skerry_mapper_failures_total 2",
    "skerry_mapper_late_ms_max 13",
    "skerry_dmi_calls_total 9",
    'skerry_dmi_calls_in_flight{state="served"} 2',
    'skerry_dmi_calls_in_flight{state="waiting"} 1',
    "skerry_dmi_calls_refused_total 3",
    "skerry_dmi_mappers 1",
  ]);
  assertEquals((await (await world.get("/v1/status")).json()).link.state, "backoff");
  assertStringIncludes(await (await world.get("/")).text(), "<h1>n1</h1>");
  assertEquals((await (await world.get("/openapi.json")).json()).openapi, "3.0.3");
});

Deno.test("local API shows history, and refuses questions that make no sense", async () => {
  const world = new World();
  const what = { kind: "pod_status", subject: "pods/default/a", what: "Running" };
  world.history = [{ id: 7, atMs: 1_767_225_600_500, recordedAtMs: 500, ...what }];
  const words = "from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00%2B01:00&kind=pod_status" +
    "&subject=pods/default/a&limit=5&after=3";
  const answer = await (await world.get(`/v1/history?${words}`)).json();
  assertEquals(answer, {
    items: [{
      id: 7,
      time: "2026-01-01T00:00:00.500000Z",
      recordedTime: "1970-01-01T00:00:00.500000Z",
      ...what,
    }],
    next: 9,
  });
  assertEquals(world.asked, {
    fromMs: Date.parse("2026-01-01T00:00:00Z"),
    toMs: Date.parse("2026-01-01T23:00:00Z"),
    kind: "pod_status",
    subject: "pods/default/a",
    limit: 5,
    after: 3,
  });
  const refused: [string, string][] = [
    ["from=yesterday", '"from" must be an RFC 3339 time'],
    ["to=2026-01-01", '"to" must be an RFC 3339 time'],
    ["from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", '"to" must be later than "from"'],
    ["kind=pods", '"kind" must be one of pod_status'],
    ["limit=0", '"limit" must be a number from 1 to 1000'],
    ["limit=1001", '"limit" must be a number from 1 to 1000'],
    ["after=-1", '"after" must be a number'],
    ["since=1h", 'Unknown parameter "since"'],
  ];
  for (const [query, why] of refused) {
    const response = await world.get(`/v1/history?${query}`);
    const { code, message } = await response.json();
    assertEquals([response.status, code], [400, 400], query);
    assertStringIncludes(message, why);
  }
});
