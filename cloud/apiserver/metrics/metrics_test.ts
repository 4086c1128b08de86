import { assertEquals } from "@std/assert";
import { AppError } from "../../../shared/errors.ts";
import { SimClock } from "../../../shared/testing/sim_clock.ts";
import { parseNodeProxy } from "../node_proxy.ts";
import type { NodeProxy } from "../port.ts";
import { samplePod, testServer } from "../testing.ts";
import { compare, NodeUsage } from "./node_usage.ts";
import { parseScrape } from "./scrape.ts";

const START_S = 1_700_000_000;

/** What a node of one busy container says `seconds` after START_S; it uses half a core. */
function page(seconds: number): string {
  const atMs = (START_S + seconds) * 1_000;
  const labels = 'container="main",namespace="default",pod="web"';
  return [
    "# TYPE node_cpu_usage_seconds_total counter",
    `node_cpu_usage_seconds_total ${100 + seconds} ${atMs}`,
    `node_memory_working_set_bytes 1048576 ${atMs}`,
    `container_cpu_usage_seconds_total{${labels}} ${seconds / 2} ${atMs}`,
    `container_memory_working_set_bytes{${labels}} 2000 ${atMs}`,
    `container_start_time_seconds{${labels}} ${START_S}`,
    `container_cpu_usage_seconds_total{container="x",namespace="default",pod="half"} 1`,
    "strange{ 7",
    "",
  ].join("\n");
}

class PageNode implements NodeProxy {
  asked = 0;
  readonly #clock: SimClock;

  constructor(clock: SimClock) {
    this.#clock = clock;
  }

  fetch(node: string, request: Request): Promise<Response> {
    if (node !== "n1") return Promise.reject(new AppError("unavailable", `${node} is away`));
    const { pathname, search } = new URL(request.url);
    if (pathname !== "/metrics/resource") return Promise.resolve(new Response(pathname + search));
    this.asked++;
    return Promise.resolve(new Response(page(this.#clock.monotonicMs() / 1_000)));
  }
}

Deno.test("a scrape is read; what is not whole is passed over", () => {
  const { node, pods } = parseScrape(page(4), 0);
  assertEquals(node, { atMs: (START_S + 4) * 1_000, cpuSeconds: 104, memoryBytes: 1_048_576 });
  assertEquals([...pods.keys()], ["default/web"]);
  assertEquals(parseScrape("", 0), { node: undefined, pods: new Map() });
});

Deno.test("rates: between two readings, since a start, and none of what began anew", () => {
  const used = (before: string, after: string) =>
    compare(parseScrape(before, 0), parseScrape(after, 0)).pods.get("default/web")?.get("main");
  assertEquals(used(page(10), page(20))?.nanoCores, 5e8);
  assertEquals(used(page(10), page(20))?.windowMs, 10_000);
  assertEquals(used("", page(20))?.windowMs, 20_000);
  assertEquals(used("", page(500)), undefined);
  assertEquals(used(page(30), page(20))?.windowMs, 20_000); // counters went back: since its start
});

Deno.test("a first question reads twice, the next ones once or not at all", async () => {
  const clock = new SimClock();
  await clock.advance(1_000);
  const node = new PageNode(clock);
  const usage = new NodeUsage(node, clock);
  const { signal } = new AbortController();
  const ask = async () => {
    const reports = usage.of(["n1", "n2", "n1"], signal);
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    await clock.advance(2_000);
    return (await reports).get("n1")?.node;
  };
  assertEquals((await ask())?.windowMs, 1_500);
  assertEquals(node.asked, 2);
  await ask();
  assertEquals(node.asked, 2);
  await clock.advance(20_000);
  assertEquals((await ask())?.windowMs, 22_500);
  assertEquals(node.asked, 3);
  await clock.advance(700_000);
  await ask();
  assertEquals(node.asked, 5);
});

Deno.test("metrics.k8s.io answers lists, single ones and selectors", async () => {
  const clock = new SimClock();
  await clock.advance(1_000);
  const nodeProxy = new PageNode(clock);
  await using api = await testServer({ clock, nodeProxy });
  await api.call("POST", "/api/v1/nodes", { metadata: { name: "n1", labels: { a: "b" } } });
  await api.call("POST", "/api/v1/nodes", { metadata: { name: "n2" } });
  const pods = "/api/v1/namespaces/default/pods";
  const pod = samplePod("web");
  await api.call("POST", pods, { ...pod, spec: { ...Object(pod.spec), nodeName: "n1" } }, {
    expect: 201,
  });
  await api.call("PATCH", `${pods}/web/status`, { status: { phase: "Running" } }, {
    headers: { "content-type": "application/merge-patch+json" },
    expect: 200,
  });
  const get = async (path: string, expect = 200) => {
    const answer = api.call("GET", `/apis/metrics.k8s.io/v1beta1/${path}`, undefined, { expect });
    let isDone = false;
    void answer.finally(() => isDone = true).catch(() => {}); // the caller sees the failure
    await clock.until(() => isDone);
    return (await answer).body;
  };
  const nodes = await get("nodes");
  assertEquals(nodes.kind, "NodeMetricsList");
  assertEquals(nodes.items.length, 1);
  assertEquals(nodes.items[0].usage, { cpu: "1000000000n", memory: "1024Ki" });
  assertEquals(nodes.items[0].metadata.labels, { a: "b" });
  assertEquals((await get("nodes?labelSelector=a%3Dc")).items, []);
  assertEquals((await get("nodes/n1")).kind, "NodeMetrics");
  const away = await get("nodes/n2", 404);
  assertEquals(away.message, 'nodes.metrics.k8s.io "n2" not found');
  const all = await get("pods");
  assertEquals(all.items[0].containers, [
    { name: "main", usage: { cpu: "500000000n", memory: "2000" } },
  ]);
  assertEquals((await get("namespaces/other/pods")).items, []);
  assertEquals((await get("namespaces/default/pods/web")).metadata.name, "web");
  await get("leases", 404);
  const groups = await api.call("GET", "/apis");
  assertEquals(
    groups.body.groups.some((group: { name: string }) => group.name === "metrics.k8s.io"),
    true,
  );
});

Deno.test("nodes/NAME/proxy passes reading on to the node, and nothing else", async () => {
  await using api = await testServer({ nodeProxy: new PageNode(new SimClock()) });
  await api.call("POST", "/api/v1/nodes", { metadata: { name: "n1" } });
  const path = "/api/v1/nodes/n1/proxy/stats/summary?only_cpu_and_memory=true";
  const answer = await api.call("GET", path, undefined, { expect: 200 });
  assertEquals(answer.body, "/stats/summary?only_cpu_and_memory=true");
  await api.call("POST", path, {}, { expect: 405 });
  await api.call("GET", "/api/v1/nodes/n9/proxy/metrics", undefined, { expect: 404 });
  const nobody = { user: { username: "u", groups: [] } };
  await api.call("GET", path, undefined, { ...nobody, expect: 403 });
  assertEquals(parseNodeProxy("/api/v1/nodes/https:n1:10250/proxy"), { node: "n1", path: "/" });
  assertEquals(parseNodeProxy("/api/v1/nodes/n1/status"), undefined);
});
