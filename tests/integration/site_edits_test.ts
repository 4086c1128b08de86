/**
 * Site edits from the local request to the cloud's decision and back, in memory: the real pod
 * agent, intents and outbox at the node, the real projection and report sink in the cloud, and a
 * link that a test cuts, and that delivers everything twice.
 */
import { assertEquals } from "@std/assert";
import { projectNode } from "../../cloud/controllers/project_node.ts";
import { DeviceReports } from "../../cloud/controllers/device_reports.ts";
import { MirrorPods } from "../../cloud/controllers/mirror_pods.ts";
import { KubeReportSink } from "../../cloud/controllers/report_sink.ts";
import { SiteIntents } from "../../cloud/controllers/site_intents.ts";
import { MemoryKube } from "../../cloud/controllers/testing/memory_kube.ts";
import { TravelItems } from "../../cloud/controllers/travel_items.ts";
import { DurableIntents } from "../../edge/intents/durable_intents.ts";
import type { Intent } from "../../edge/intents/port.ts";
import { DurableOutbox } from "../../edge/meta/outbox.ts";
import { TestNode, testPod } from "../../edge/pods/testing.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import type { Device } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Event, Node, Pod } from "../../shared/k8s/types.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { decodeBody, encodeBody } from "../../shared/wire/codec.ts";
import { parseReport } from "../../shared/wire/report.ts";

const FOREVER = "trap 'exit 0' TERM; sleep inf";
const NODE = "edge-1";
const SIGNAL = new AbortController().signal;

class SiteWorld implements AsyncDisposable {
  readonly kube = new MemoryKube();
  readonly store = new MemoryStore();
  readonly #scope = new TaskScope();
  readonly #items = new TravelItems();
  readonly #pods = this.kube.cache<Pod>(GVR.pods);
  readonly #sink: KubeReportSink;
  #gone = 0;
  outbox!: DurableOutbox;
  intents!: DurableIntents;

  private constructor(readonly node: TestNode) {
    const nodes = this.kube.cache<Node>(GVR.nodes);
    this.#scope.spawn("pods", (signal) => this.#pods.run(signal));
    this.#scope.spawn("nodes", (signal) => nodes.run(signal));
    const intents = new SiteIntents({ kube: this.kube, clock: node.clock });
    const devices = this.kube.cache<Device>(GVR.devices);
    const deviceReports = new DeviceReports({ kube: this.kube, devices });
    const caches = { pods: this.#pods, nodes };
    const mirrors = new MirrorPods({ kube: this.kube, ...caches, clock: node.clock });
    const given = { kube: this.kube, ...caches, intents, deviceReports, mirrors };
    this.#sink = new KubeReportSink(given);
  }

  static async start(): Promise<SiteWorld> {
    const world = new SiteWorld(await TestNode.start());
    await world.crash();
    return world;
  }

  /** The edge loses everything it had in memory. */
  async crash(): Promise<void> {
    const { clock, ledger } = this.node;
    await this.node.stopAgent();
    this.outbox = new DurableOutbox({ store: this.store, clock });
    this.intents = new DurableIntents({
      store: this.store,
      outbox: this.outbox,
      ledger,
      clock,
      random: new SeededRandom(this.store.lastSequence + 1),
    });
    this.node.siteActs = this.intents;
    this.node.startAgent();
  }

  apply(name: string, change: (pod: Pod) => void = () => {}): void {
    this.kube.put(
      GVR.pods,
      testPod(name, FOREVER, (pod) => {
        pod.spec.nodeName = NODE;
        change(pod);
      }),
    );
  }

  async remove(name: string): Promise<Intent> {
    return await this.intents.record({ verb: "remove", namespace: "default", name, by: "ada" });
  }

  /** All that is due goes each way; reports come twice, as after a lost acknowledgement. */
  async sync(): Promise<void> {
    const items = this.outbox.pending(0, 1_000);
    for (const { report } of [...items, ...items]) {
      await this.#sink.apply(NODE, parseReport(decodeBody(encodeBody(report), "report")), SIGNAL);
    }
    await this.outbox.acknowledge(items.map((item) => item.sequence));
    for (const pod of this.node.records.gone.slice(this.#gone)) {
      await this.#sink.apply(NODE, { kind: "pod_gone", pod }, SIGNAL);
      this.#gone++;
    }
    this.#project();
    await this.intents.settle();
  }

  #project(): void {
    const { ledger } = this.node;
    const projected = projectNode({
      node: undefined,
      pods: [...this.#pods.list()].filter((pod) => pod.spec.nodeName === NODE),
      find: () => undefined,
      item: (key, object) => this.#items.of(key, object),
    });
    for (const [key, { object }] of projected) {
      if (JSON.stringify(ledger.objects.get(key)) !== JSON.stringify(object)) {
        ledger.objects.set(key, object);
      }
    }
    for (const key of ledger.objects.keys()) if (!projected.has(key)) ledger.objects.delete(key);
    ledger.changes.notify();
  }

  /** The link is live until `done`. */
  async live(done: () => unknown): Promise<void> {
    for (let round = 0; !done(); round++) {
      if (round > 200) throw new Error("it never came to that");
      await this.sync();
      await this.node.clock.advance(250);
    }
  }

  pod(name: string): Pod | undefined {
    return this.kube.peek<Pod>(GVR.pods, "default", name);
  }

  runs(name: string): number {
    return this.node.events.all.filter((e) =>
      e.reason === "Started" && e.involvedObject.name === name
    ).length;
  }

  reasons(): string[] {
    return this.kube.all<Event>(GVR.events).map((e) => `${e.involvedObject.kind} ${e.reason}`)
      .sort();
  }

  async running(name: string, uid = `uid-${name}`): Promise<void> {
    await this.live(() => this.node.status(uid)?.containerStatuses?.[0]?.ready);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    await this.node[Symbol.asyncDispose]();
  }
}

async function removedWhileCut(world: SiteWorld): Promise<Intent> {
  world.apply("web");
  await world.running("web");
  const intent = await world.remove("web");
  await world.node.clock.until(() => world.intents.get(intent.id)?.state === "applied");
  await world.crash();
  await world.node.clock.advance(60_000);
  assertEquals(world.runs("web"), 1);
  return intent;
}

Deno.test("a pod removed while cut off is deleted in the cloud at reconnect", async () => {
  await using world = await SiteWorld.start();
  const { id } = await removedWhileCut(world);
  await world.live(() => world.pod("web") === undefined);
  assertEquals(world.intents.get(id)?.state, "merged");
  assertEquals([world.runs("web"), world.node.world.sandboxes.size], [1, 0]);
  assertEquals(world.reasons(), ["Pod SiteRemove"]);
});

Deno.test("a pod the cloud changed meanwhile runs on as the cloud says", async () => {
  await using world = await SiteWorld.start();
  const { id } = await removedWhileCut(world);
  world.apply("web", (pod) => pod.spec.priority = 7);
  await world.live(() => world.runs("web") === 2);
  await world.running("web");
  await world.node.clock.advance(60_000);
  assertEquals([world.intents.get(id)?.state, world.runs("web")], ["conflict", 2]);
  assertEquals(world.pod("web")?.metadata.deletionTimestamp, undefined);
  assertEquals(world.reasons(), ["Node SiteEditConflict", "Pod SiteEditConflict"]);
});

Deno.test("a pod recreated under the name meanwhile runs, and the old one ends", async () => {
  await using world = await SiteWorld.start();
  const { id } = await removedWhileCut(world);
  world.apply("web", (pod) => pod.metadata.uid = "uid-second");
  await world.running("web", "uid-second");
  assertEquals(world.intents.get(id)?.state, "conflict");
  assertEquals(world.pod("web")?.metadata.uid, "uid-second");
  assertEquals(world.reasons(), ["Node SiteEditConflict", "Pod SiteEditConflict"]);
  await world.live(() => world.node.records.gone.some((pod) => pod.uid === "uid-web"));
});

Deno.test("removals while live are followed, whatever moment the edge is killed", async () => {
  for (let atMs = 0; atMs <= 1_500; atMs += 300) {
    await using world = await SiteWorld.start();
    world.apply("web");
    await world.running("web");
    await world.remove("web");
    await world.node.clock.advance(atMs);
    await world.crash();
    await world.live(() => world.pod("web") === undefined);
    assertEquals(world.runs("web"), 1, `killed at ${atMs}`);
  }
});

Deno.test("a restart while cut off is told to the cloud, and changes nothing there", async () => {
  await using world = await SiteWorld.start();
  world.apply("web");
  await world.running("web");
  const before = world.pod("web");
  const target = { namespace: "default", name: "web", by: "ada" };
  const { id } = await world.intents.record({ verb: "restart", ...target });
  await world.node.clock.until(() => world.runs("web") === 2);
  await world.live(() => world.intents.get(id)?.state === "merged");
  assertEquals(world.pod("web")?.metadata, before?.metadata);
  assertEquals(world.reasons(), ["Node SiteRestart"]);
});
