import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { AppError } from "../../../shared/errors.ts";
import type { PodStatus } from "../../../shared/k8s/types.ts";
import { IMAGE, TestNode, testPod } from "../testing.ts";
import { isStaticUid, mirrorOf, parseStaticPod } from "./static_file.ts";

const FOREVER = "trap 'exit 0' TERM; while true; do sleep 5; done";

function manifest(name: string, script = FOREVER): string {
  return `apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: "${name}" } }
spec:
  terminationGracePeriodSeconds: 5
  containers:
    - { name: main, image: "${IMAGE}", command: [sh, -c, "${script}"] }
`;
}

class StaticWorld {
  constructor(readonly node: TestNode) {}

  static async start(files: Record<string, string> = {}, cloudId = ""): Promise<StaticWorld> {
    const node = await TestNode.start();
    await node.stopAgent();
    node.ledger.head.cloudId = cloudId;
    node.staticDir = `${node.dir}/static`;
    await Deno.mkdir(node.staticDir);
    const world = new StaticWorld(node);
    for (const [name, text] of Object.entries(files)) await world.write(name, text);
    node.startAgent();
    return world;
  }

  write(name: string, text: string): Promise<void> {
    return Deno.writeTextFile(`${this.node.staticDir}/${name}`, text);
  }

  /** Status of the newest pod of that name. */
  status(name: string): PodStatus | undefined {
    return this.node.records.list().findLast(({ pod }) => pod.name === name)?.status;
  }

  runs(name: string): Promise<unknown> {
    const isRunning = () => this.status(name)?.phase === "Running";
    return this.node.clock.until(isRunning, { what: `${name} runs` });
  }

  live(): string[] {
    return [...this.node.world.containers.values()].filter((c) => c.state.kind === "running")
      .map((c) => c.config.labels?.["io.kubernetes.pod.name"] ?? "").sort();
  }

  isLive(...names: string[]): Promise<unknown> {
    const what = `${names} live, not ${this.live()}`;
    return this.node.clock.until(() => this.live().join() === names.join(), { what });
  }

  events(): string[] {
    return this.node.events.messages("FailedStaticPod");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.node[Symbol.asyncDispose]();
  }
}

Deno.test("parseStaticPod() names, marks and binds the pod; its uid is its content's", () => {
  const file = { name: "web.yaml", text: manifest("web"), writtenAt: "" };
  const pod = parseStaticPod(file, "Edge-1");
  assertEquals([pod.metadata.name, pod.metadata.namespace], ["web-edge-1", "default"]);
  assert(isStaticUid(pod.metadata.uid ?? ""));
  assertEquals(pod.metadata.annotations, {
    "kubernetes.io/config.source": "file",
    "kubernetes.io/config.hash": pod.metadata.uid ?? "",
  });
  assertEquals([pod.spec.nodeName, pod.spec.tolerations], ["Edge-1", [{
    operator: "Exists",
    effect: "NoExecute",
  }]]);
  const mirror = mirrorOf(pod);
  assertEquals(mirror?.metadata.uid, undefined);
  assertEquals(mirror?.metadata.annotations?.["kubernetes.io/config.mirror"], pod.metadata.uid);
  const other = parseStaticPod({ ...file, text: manifest("web", "exit 0") }, "Edge-1");
  assert(other.metadata.uid !== pod.metadata.uid);
  assertEquals(mirrorOf(testPod("web", "")), undefined);
});

const BROKEN: [string, string, RegExp][] = [
  ["a.json", "{", /cannot be read: /],
  ["a.yaml", "a: [", /cannot be read: /],
  ["a.yaml", "", /must hold one object/],
  ["a.yaml", "kind: Deployment\napiVersion: apps/v1", /must hold a Pod of v1, got "Deployment"/],
  ["a.yaml", "kind: Pod\napiVersion: v1", /metadata must be an object/],
  ["a.yaml", "kind: Pod\napiVersion: v1\nmetadata: {name: x}", /spec must be an object/],
  ["a.yaml", "kind: Pod\napiVersion: v1\nmetadata: {}\nspec: {}", /metadata\.name must be a name/],
  [
    "a.yaml",
    "kind: Pod\napiVersion: v1\nmetadata: {name: x}\nspec: {}",
    /spec\.containers is missing/,
  ],
  ["a.yaml", manifest("../x"), /metadata\.name is not a name/],
  [
    "a.yaml",
    manifest("x").replace('app: "x"', "app: 1"),
    /metadata\.labels: the value of app must be a text, got 1/,
  ],
];
for (const [name, text, problem] of BROKEN) {
  Deno.test(`parseStaticPod() refuses ${JSON.stringify(text).slice(0, 60)} with ${problem}`, () => {
    const parse = () => parseStaticPod({ name, text, writtenAt: "" }, "n");
    assertMatch(assertThrows(parse, AppError).message, problem);
  });
}

Deno.test("static pods run without any cloud, and end with their files", async () => {
  await using world = await StaticWorld.start({ "web.yaml": manifest("web") });
  await world.runs("web-edge-1");
  await world.write("log.yaml", manifest("log"));
  await world.runs("log-edge-1");
  await Deno.remove(`${world.node.staticDir}/web.yaml`);
  await world.isLive("log-edge-1");
  await world.node.clock.until(() => world.node.records.gone.length === 1);
  assertEquals(world.node.records.gone.map((pod) => pod.name), ["web-edge-1"]);
});

Deno.test("another content is another pod: the one before ends first", async () => {
  await using world = await StaticWorld.start({ "web.yaml": manifest("web") }, "cloud-1");
  await world.runs("web-edge-1");
  const [before] = world.node.records.list();
  await world.write("web.yaml", manifest("web", `echo 2; ${FOREVER}`));
  await world.node.gone(before!.pod.uid);
  await world.runs("web-edge-1");
  const uids = [...world.node.world.sandboxes.values()].map((s) => s.config.metadata?.uid);
  assertEquals(uids.includes(before?.pod.uid), false);
  assertEquals(world.live(), ["web-edge-1"]);
  assertEquals(world.node.records.mirrors.size, 2);
});

Deno.test("a file that breaks is told once, and its pod goes on, also over restarts", async () => {
  await using world = await StaticWorld.start({ "web.yaml": manifest("web") });
  await world.runs("web-edge-1");
  await world.write("web.yaml", "kind: Pod\nmeta");
  await world.write("other.yaml", manifest("other"));
  await world.runs("other-edge-1");
  await world.node.clock.advance(30_000);
  assertEquals(world.events().length, 1);
  assertMatch(
    world.events()[0] ?? "",
    /^Cannot use static pod file .*\/web\.yaml: .*; the pod goes on as it was$/,
  );
  await world.node.stopAgent();
  world.node.startAgent();
  await world.node.clock.advance(30_000);
  assertEquals(world.live(), ["other-edge-1", "web-edge-1"]);
  await Deno.remove(`${world.node.staticDir}/web.yaml`);
  await world.isLive("other-edge-1");
});

Deno.test("a folder that is away ends nothing; after a restart its pods still run", async () => {
  await using world = await StaticWorld.start({ "web.yaml": manifest("web") }, "cloud-1");
  await world.runs("web-edge-1");
  const { staticDir = "" } = world.node;
  await Deno.rename(staticDir, `${staticDir}.away`);
  await world.node.clock.advance(30_000);
  assertEquals(world.live(), ["web-edge-1"]);
  await world.node.stopAgent();
  world.node.world.sandboxes.clear();
  world.node.world.containers.clear();
  world.node.startAgent();
  await world.isLive("web-edge-1");
  assert(world.events().every((m) => m.startsWith("Cannot read folder of static pods")));
});

Deno.test("what was kept and is damaged starts no other pod, and ends none", async () => {
  await using world = await StaticWorld.start({ "web.yaml": manifest("web") }, "cloud-1");
  await world.runs("web-edge-1");
  const { node } = world;
  await Deno.rename(node.staticDir!, `${node.staticDir}.away`);
  const kept = `${node.dir}/static-pods.json`;
  const whole = await Deno.readTextFile(kept);
  const containers = [...node.world.containers.keys()];
  for (const left of [whole.replace("sleep 5", "sleep 4"), whole.slice(0, 90), "", "null"]) {
    await node.stopAgent();
    await Deno.writeTextFile(kept, left);
    node.startAgent();
    await node.clock.advance(30_000);
    assertEquals([...node.world.containers.keys()], containers);
    assertEquals(world.live(), ["web-edge-1"]);
  }
});

Deno.test("what an earlier version kept of static pods counts", async () => {
  await using world = await StaticWorld.start({ "web.yaml": manifest("web") }, "cloud-1");
  await world.runs("web-edge-1");
  const { node } = world;
  await node.stopAgent();
  await Deno.rename(node.staticDir!, `${node.staticDir}.away`);
  const files = { "web.yaml": manifest("web") };
  await Deno.writeTextFile(`${node.dir}/static-pods.json`, JSON.stringify({ version: 1, files }));
  node.world.sandboxes.clear();
  node.world.containers.clear();
  node.startAgent();
  await world.isLive("web-edge-1");
});

Deno.test("a file taken away while the agent was not there ends its pod", async () => {
  await using world = await StaticWorld.start({ "web.yaml": manifest("web") });
  await world.runs("web-edge-1");
  await world.node.stopAgent();
  await Deno.remove(`${world.node.staticDir}/web.yaml`);
  world.node.startAgent();
  await world.isLive();
  await world.node.clock.until(() => world.node.records.gone.length === 1);
});

Deno.test("two files with one pod: the second is refused until the first is gone", async () => {
  await using world = await StaticWorld.start({
    "a.yaml": manifest("web"),
    "b.yaml": manifest("web", `echo b; ${FOREVER}`),
  });
  await world.runs("web-edge-1");
  await world.node.clock.until(() => world.events().length === 1);
  assertMatch(world.events()[0] ?? "", /b\.yaml: pod web-edge-1 is described by a\.yaml already/);
  const [before] = world.node.records.list();
  await Deno.remove(`${world.node.staticDir}/a.yaml`);
  await world.node.gone(before!.pod.uid);
  await world.isLive("web-edge-1");
});

Deno.test("a new session with the cloud is told of static pods again", async () => {
  await using world = await StaticWorld.start({ "web.yaml": manifest("web") }, "cloud-1");
  await world.runs("web-edge-1");
  await world.node.clock.advance(20_000);
  const told = world.node.records.history.length;
  world.node.agent.cloudIsBack();
  await world.node.clock.until(() => world.node.records.history.length === told + 1);
  await world.node.clock.advance(20_000);
  assertEquals(world.node.records.history.length, told + 1);
});
