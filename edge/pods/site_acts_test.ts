import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import type { Pod } from "../../shared/k8s/types.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { formatConflict } from "../../shared/wire/site_intent.ts";
import { DurableIntents } from "../intents/durable_intents.ts";
import type { Intent, IntentRequest } from "../intents/port.ts";
import { DurableOutbox } from "../meta/outbox.ts";
import { IMAGE, TestNode, testPod } from "./testing.ts";

const FOREVER = "trap 'exit 0' TERM; sleep inf";

/** A node whose agent takes orders; `crash` loses everything in memory. */
class ActNode implements AsyncDisposable {
  readonly store = new MemoryStore();
  intents!: DurableIntents;

  private constructor(readonly node: TestNode) {}

  static async start(): Promise<ActNode> {
    const act = new ActNode(await TestNode.start());
    await act.crash();
    return act;
  }

  async crash(): Promise<void> {
    const { clock, ledger } = this.node;
    await this.node.stopAgent();
    this.intents = new DurableIntents({
      store: this.store,
      outbox: new DurableOutbox({ store: this.store, clock }),
      ledger,
      clock,
      random: new SeededRandom(this.store.lastSequence + 1),
      staticPods: () => this.node.agent.staticPods(),
    });
    this.node.siteActs = this.intents;
    this.node.startAgent();
  }

  ask(verb: IntentRequest["verb"], name: string, more: Partial<IntentRequest> = {}) {
    return this.intents.record({ verb, namespace: "default", name, by: "tester", ...more });
  }

  async carriedOut({ id }: Intent): Promise<void> {
    await this.node.clock.until(() => this.intents.get(id)?.state !== "pending", {
      withinMs: 120_000,
    });
  }

  started(name: string): number {
    return this.node.events.all.filter((e) =>
      e.reason === "Started" && e.involvedObject.name === name
    ).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node[Symbol.asyncDispose]();
  }
}

function restarts(node: TestNode, uid: string): number | undefined {
  return node.status(uid)?.containerStatuses?.[0]?.restartCount;
}

Deno.test("a restart makes the pod anew in a fresh sandbox, without back-off", async () => {
  await using act = await ActNode.start();
  const { node } = act;
  node.apply(testPod("web", FOREVER));
  const before = await node.phase("uid-web", "Running");
  const [sandbox] = [...node.world.sandboxes.keys()];
  const atMs = node.clock.monotonicMs();
  await act.carriedOut(await act.ask("restart", "web"));
  const after = await node.clock.until(() => {
    const now = node.status("uid-web");
    const id = now?.containerStatuses?.[0]?.containerID;
    return now?.containerStatuses?.[0]?.ready &&
        id !== before.containerStatuses?.[0]?.containerID
      ? now
      : undefined;
  });
  assertEquals(node.clock.monotonicMs() - atMs < 5_000, true);
  assertEquals(after.containerStatuses?.[0]?.restartCount, 1);
  assertEquals(after.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 0);
  const ready = [...node.world.sandboxes.values()].filter((s) => s.isReady).map((s) => s.id);
  assertEquals([ready.length, ready[0] === sandbox], [1, false]);
  assertEquals(node.events.messages("SiteRestart"), ["Asked at the site by tester: restart"]);
  await node.clock.advance(60_000);
  assertEquals(act.started("web"), 2);
});

Deno.test("a restart runs a pod again whatever its restartPolicy", async () => {
  await using act = await ActNode.start();
  const { node } = act;
  for (const policy of ["Never", "OnFailure"] as const) {
    const name = policy.toLowerCase();
    node.apply(testPod(name, FOREVER, (pod) => pod.spec.restartPolicy = policy));
    await node.phase(`uid-${name}`, "Running");
    await act.carriedOut(await act.ask("restart", name));
    await node.clock.until(() =>
      act.started(name) === 2 && node.status(`uid-${name}`)?.containerStatuses?.[0]?.ready
    );
  }
  const phases = new Set(node.records.history.map(({ status }) => status.phase));
  assertEquals([...phases].filter((phase) => phase === "Failed" || phase === "Succeeded"), []);
});

Deno.test("a container alone is restarted in its sandbox, also out of its back-off", async () => {
  await using act = await ActNode.start();
  const { node } = act;
  node.apply(testPod("two", FOREVER, (pod) => {
    pod.spec.containers.push({ name: "bad", image: IMAGE, command: ["sh", "-c", "exit 1"] });
  }));
  await node.waiting("uid-two", "CrashLoopBackOff");
  const runs = () => node.events.messages("Started").filter((m) => m.endsWith("bad")).length;
  const before = runs();
  const sandboxes = node.world.sandboxes.size;
  await act.carriedOut(await act.ask("restart", "two", { container: "bad" }));
  await node.clock.until(() => runs() === before + 1, { withinMs: 3_000 });
  assertEquals(node.world.sandboxes.size, sandboxes);
  assertEquals(restarts(node, "uid-two"), 0);
});

Deno.test("an agent killed at any moment of a restart carries it out once", async () => {
  for (let atMs = 0; atMs <= 3_000; atMs += 250) {
    await using act = await ActNode.start();
    const { node } = act;
    node.apply(testPod("web", "sleep inf", (p) => p.spec.terminationGracePeriodSeconds = 2));
    await node.phase("uid-web", "Running");
    const intent = await act.ask("restart", "web");
    await node.clock.advance(atMs);
    await act.crash();
    await act.carriedOut(intent);
    await node.clock.until(() => act.started("web") === 2);
    await act.crash();
    await node.clock.advance(60_000);
    assertEquals([act.started("web"), restarts(node, "uid-web")], [2, 1], `killed at ${atMs}`);
  }
});

Deno.test("a restart asked for while the runtime is away happens when it is back", async () => {
  await using act = await ActNode.start();
  const { node } = act;
  node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  node.world.faults.down = true;
  const intent = await act.ask("restart", "web");
  await node.clock.advance(20_000);
  assertEquals(act.intents.get(intent.id)?.state, "pending");
  await act.crash();
  node.world.faults.down = false;
  await act.carriedOut(intent);
  await node.clock.until(() => act.started("web") === 2);
});

Deno.test("a pod removed at the site stays stopped until the cloud decides", async () => {
  await using act = await ActNode.start();
  const { node } = act;
  for (const policy of ["Always", "Never"] as const) {
    const name = policy.toLowerCase();
    const uid = `uid-${name}`;
    const pod = node.apply(testPod(name, FOREVER, (p) => p.spec.restartPolicy = policy));
    await node.phase(uid, "Running");
    const intent = await act.ask("remove", name);
    await node.waiting(uid, "RemovedAtSite");
    await act.carriedOut(intent);
    await act.crash();
    await node.clock.advance(120_000);
    assertEquals(act.started(name), 1);
    assertEquals(node.status(uid)?.phase, "Running");
    assertEquals(node.records.gone, []);
    await conflict(act, pod, intent);
    await node.clock.until(() =>
      act.started(name) === 2 && node.status(uid)?.containerStatuses?.[0]?.ready
    );
  }
});

async function conflict(act: ActNode, pod: Pod, { id }: Intent): Promise<void> {
  const mark = formatConflict({ intent: id, reason: "it was changed" });
  act.node.apply({
    ...pod,
    metadata: { ...pod.metadata, annotations: { "skerry.dev/conflict": mark } },
  });
  await act.intents.settle();
}

Deno.test("a removal the cloud follows ends as any deletion", async () => {
  await using act = await ActNode.start();
  const { node } = act;
  const pod = node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  const intent = await act.ask("remove", "web");
  await act.carriedOut(intent);
  const deletionTimestamp = "2026-01-01T00:00:10Z";
  node.apply({ ...pod, metadata: { ...pod.metadata, deletionTimestamp } });
  await act.intents.settle();
  await node.gone("uid-web");
  assertEquals(act.intents.get(intent.id)?.state, "merged");
  assertEquals(act.started("web"), 1);
});

Deno.test("the grace of a restart may be shorter than the pod's", async () => {
  await using act = await ActNode.start();
  const { node } = act;
  node.apply(testPod("slow", "sleep inf"));
  await node.phase("uid-slow", "Running");
  const atMs = node.clock.monotonicMs();
  await act.carriedOut(await act.ask("restart", "slow", { graceSeconds: 3 }));
  assertEquals(Math.round((node.clock.monotonicMs() - atMs) / 1_000), 3);
});

Deno.test("a static pod is restarted here, over a crash too, and no cloud is told", async () => {
  await using act = await ActNode.start();
  const { node } = act;
  node.staticDir = `${node.dir}/static`;
  await Deno.mkdir(node.staticDir);
  await Deno.writeTextFile(
    `${node.staticDir}/web.json`,
    JSON.stringify(testPod("web", FOREVER, (pod) => pod.metadata = { name: "web" })),
  );
  await act.crash();
  const name = "web-edge-1";
  await node.clock.until(() => act.started(name) === 1, { withinMs: 60_000 });
  await assertRejects(() => act.ask("remove", name), AppError, "ends when its file is removed");
  const intent = await act.ask("restart", name);
  await act.crash();
  await act.intents.settle();
  assertEquals(act.intents.get(intent.id)?.state, "pending");
  await act.carriedOut(intent);
  await node.clock.until(() => act.started(name) === 2, { withinMs: 60_000 });
  assertEquals(act.intents.get(intent.id)?.state, "merged");
  assertEquals(act.store.list("outbox/v1").length, 0);
  await act.crash();
  await node.clock.advance(20_000);
  assertEquals(act.started(name), 2);
});
