/**
 * A device from the Device object to its report and back, and edits of its twins at the site, in
 * memory: the real engine, intents and outbox at the node, the real projection and report sink in
 * the cloud, and a link that a test cuts, and that delivers everything twice.
 */
import { assertEquals } from "@std/assert";
import { DeviceReports } from "../../cloud/controllers/device_reports.ts";
import { projectNode } from "../../cloud/controllers/project_node.ts";
import { SiteIntents } from "../../cloud/controllers/site_intents.ts";
import { MemoryKube } from "../../cloud/controllers/testing/memory_kube.ts";
import { TravelItems } from "../../cloud/controllers/travel_items.ts";
import { DurableIntents } from "../../edge/intents/durable_intents.ts";
import type { Intent } from "../../edge/intents/port.ts";
import { named, NAMESPACE, TwinWorld } from "../../edge/twins/testing.ts";
import type { Device, DeviceModel } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Event } from "../../shared/k8s/types.ts";
import { SeededRandom } from "../../shared/random.ts";
import { decodeBody, encodeBody } from "../../shared/wire/codec.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import { parseReport, type Report } from "../../shared/wire/report.ts";

const NODE = "edge-1";
const SIGNAL = new AbortController().signal;

class Site {
  readonly kube = new MemoryKube();
  readonly node = new TwinWorld();
  readonly #items = new TravelItems();
  readonly #merge = new SiteIntents({ kube: this.kube, clock: this.node.clock });
  readonly #sent = new Map<string, string>();
  intents!: DurableIntents;

  static async start(): Promise<Site> {
    const site = new Site();
    const metadata = { namespace: NAMESPACE, name: "sensor", uid: "m" };
    const properties = [{ name: "speed", type: "INT" as const }, { name: "level" }];
    site.kube.put<DeviceModel>(GVR.deviceModels, { metadata, spec: { properties } });
    site.desire({ speed: "1" });
    site.crash();
    await site.sync();
    return site;
  }

  /** The edge loses everything it had in memory. */
  crash(): void {
    this.node.open();
    const { store, outbox, ledger, clock } = this.node;
    this.intents = new DurableIntents({
      store,
      outbox,
      ledger,
      clock,
      random: new SeededRandom(store.lastSequence + 1),
      twins: () => this.node.twins,
    });
  }

  /** Somebody in the cloud writes the Device. */
  desire(desired: Record<string, string>, uid = "u1"): void {
    const before = this.kube.peek<Device>(GVR.devices, NAMESPACE, "a");
    this.kube.put<Device>(GVR.devices, {
      metadata: { ...before?.metadata, namespace: NAMESPACE, name: "a", uid },
      spec: {
        deviceModelRef: { name: "sensor" },
        nodeName: NODE,
        properties: Object.entries(desired).map(([name, value]) => ({ name, desired: { value } })),
      },
    });
  }

  set(property: string, value: string): Promise<Intent> {
    return this.intents.setTwin({ ...named("a"), property, value, by: "ada" });
  }

  /** All that is due goes each way; reports come twice, as after a lost acknowledgement. */
  async sync(): Promise<Report[]> {
    await this.node.clock.advance(1_000);
    const items = this.node.outbox.pending(0, 1_000);
    const reports = items.map((item) => parseReport(decodeBody(encodeBody(item.report), "report")));
    for (const report of [...reports, ...reports]) {
      if (report.kind === "intent") await this.#merge.apply(NODE, report.intent, SIGNAL);
    }
    await this.node.outbox.acknowledge(items.map((item) => item.sequence));
    this.#project();
    await this.node.engine.sync();
    await this.intents.settle();
    return reports;
  }

  #project(): void {
    const { ledger } = this.node;
    const projected = projectNode({
      node: undefined,
      pods: [],
      devices: this.kube.all<Device>(GVR.devices),
      find: () => this.kube.peek<DeviceModel>(GVR.deviceModels, NAMESPACE, "sensor"),
      item: (key, object) => this.#items.of(key, object),
    });
    for (const [key, { object, resourceVersion }] of projected) {
      if (this.#sent.get(key) === resourceVersion) continue;
      this.#sent.set(key, resourceVersion);
      ledger.put(key, object);
    }
  }

  here(property: string): string | undefined {
    return this.node.twins.twin(named("a"), property)?.desired?.value;
  }

  there(property: string): string | undefined {
    const device = this.kube.peek<Device>(GVR.devices, NAMESPACE, "a");
    return device?.spec.properties?.find(({ name }) => name === property)?.desired?.value;
  }

  reasons(): string[] {
    return this.kube.all<Event>(GVR.events).map((e) => `${e.involvedObject.kind} ${e.reason}`)
      .sort();
  }
}

Deno.test("a twin set while cut off is so at once, over a crash, and merged later", async () => {
  const site = await Site.start();
  const { id } = await site.set("speed", "5");
  site.crash();
  assertEquals([site.here("speed"), site.there("speed")], ["5", "1"]);
  await site.sync();
  assertEquals([site.here("speed"), site.there("speed")], ["5", "5"]);
  assertEquals([site.intents.get(id)?.state, site.reasons()], ["merged", ["Device SiteTwinSet"]]);
  const writes = site.kube.calls.length;
  await site.sync();
  assertEquals(site.kube.calls.filter(({ verb }) => verb === "update").length, 1);
  assertEquals(site.kube.calls.length, writes);
});

Deno.test("what the cloud desired meanwhile holds; other properties merge", async () => {
  const site = await Site.start();
  const speed = await site.set("speed", "5");
  const level = await site.set("level", "high");
  site.desire({ speed: "9" });
  await site.sync();
  assertEquals([site.here("speed"), site.there("speed")], ["9", "9"]);
  assertEquals([site.here("level"), site.there("level")], ["high", "high"]);
  const states = [speed, level].map(({ id }) => site.intents.get(id)?.state);
  assertEquals(states, ["conflict", "merged"]);
  const reasons = ["Device SiteEditConflict", "Device SiteTwinSet", "Node SiteEditConflict"];
  assertEquals(site.reasons(), reasons);
});

Deno.test("of several edits while cut off the last goes up, and is merged", async () => {
  const site = await Site.start();
  for (const value of ["2", "3", "4"]) await site.set("speed", value);
  const sent = await site.sync();
  assertEquals(sent.filter(({ kind }) => kind === "intent").length, 1);
  assertEquals([site.here("speed"), site.there("speed")], ["4", "4"]);
  assertEquals(site.intents.list().filter(({ state }) => state !== "merged"), []);
});

Deno.test("a device made anew meanwhile takes the cloud's word", async () => {
  const site = await Site.start();
  const { id } = await site.set("speed", "5");
  site.desire({ speed: "7" }, "u2");
  await site.sync();
  assertEquals([site.here("speed"), site.there("speed")], ["7", "7"]);
  assertEquals(site.intents.get(id)?.state, "conflict");
});

Deno.test("a report reaches the device's status whole, under the device's own uid", async () => {
  const site = await Site.start();
  await site.sync();
  await site.node.report("a", { speed: "3" });
  const [report] = await site.sync();
  const devices = site.kube.cache<Device>(GVR.devices);
  const own = new DeviceReports({ kube: site.kube, devices });
  if (report?.kind !== "device_status") throw new Error(`a device's report, not ${report?.kind}`);
  assertEquals((await own.own(NODE, report.device, SIGNAL)).refusal, undefined);
  assertEquals(report.status.state, "online");
  assertEquals(report.status.twins?.[0]?.reported?.value, "3");
  assertEquals(report.status.twins?.[0]?.observedDesired?.value, "1");
  assertEquals(site.node.ledger.get(objectKey(GVR.devices, NAMESPACE, "a")) !== undefined, true);
});
