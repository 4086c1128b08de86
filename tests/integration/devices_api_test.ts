/** Devices over the real embedded API and controllers, in process, with the store in memory. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type ApiServer, createApiServer } from "../../cloud/apiserver/app.ts";
import { SYSTEM } from "../../cloud/apiserver/authorize.ts";
import { allKinds } from "../../cloud/apiserver/kinds/registry.ts";
import { Controllers } from "../../cloud/controllers/controllers.ts";
import { FakeSessions } from "../../cloud/controllers/testing/sessions.ts";
import { inProcessKube } from "../../cloud/kube/in_process.ts";
import { Informer } from "../../cloud/kube/informer.ts";
import type { KubeClient } from "../../cloud/kube/port.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SystemClock } from "../../shared/clock.ts";
import type { Device, DeviceModel, DeviceStatusBody } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { SystemRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";

/** Generous: a loaded machine. What is waited for takes milliseconds. */
const WAIT_MS = 20_000;
const NS = { namespace: "default" };

class Cloud implements AsyncDisposable {
  readonly clock = new SystemClock();
  readonly scope = new TaskScope();
  readonly kube: KubeClient;
  readonly controllers: Controllers;
  readonly #server: ApiServer;

  private constructor(server: ApiServer, store: MemoryStore) {
    this.#server = server;
    const { clock } = this;
    const random = new SystemRandom();
    this.kube = inProcessKube(server.fetchAs(SYSTEM));
    const namespaced = allKinds().filter((kind) => kind.namespaced && !kind.view)
      .map(({ group, version, plural }) => ({ group, version, resource: plural }));
    this.controllers = new Controllers({
      kube: this.kube,
      store,
      clock,
      random,
      follow: (gvr) => new Informer(this.kube, gvr, { clock, random }),
      namespacedResources: () => Promise.resolve(namespaced),
    });
    this.controllers.attachSessions(new FakeSessions());
  }

  static async start(store = new MemoryStore()): Promise<Cloud> {
    const server = await createApiServer({
      store,
      clock: new SystemClock(),
      random: new SystemRandom(),
      nodeProxy: { fetch: () => Promise.reject(new Error("no tunnel in this test")) },
      authenticator: { authenticate: () => Promise.resolve(undefined) },
      version: "0.1.0",
    });
    const cloud = new Cloud(server, store);
    cloud.scope.spawn("controllers", (signal) => cloud.controllers.run(signal));
    await cloud.controllers.ready(cloud.scope.signal);
    return cloud;
  }

  get signal(): AbortSignal {
    return this.scope.signal;
  }

  model(name = "thermometer"): Promise<DeviceModel> {
    const properties = [
      { name: "temperature", type: "INT", accessMode: "ReadWrite", minimum: "-40", maximum: "120" },
      { name: "serial", type: "STRING", accessMode: "ReadOnly" },
    ] as const;
    const spec = { protocol: "modbus", properties: [...properties] };
    const metadata = { name, ...NS };
    return this.kube.create<DeviceModel>(GVR.deviceModels, { metadata, spec }, this.signal);
  }

  device(name: string, nodeName: string, model = "thermometer"): Promise<Device> {
    const properties = [{ name: "temperature", desired: { value: "21" } }];
    const spec = { deviceModelRef: { name: model }, nodeName, properties };
    return this.kube.create<Device>(GVR.devices, { metadata: { name, ...NS }, spec }, this.signal);
  }

  get<T extends KubeObject>(gvr: typeof GVR.devices, name: string): Promise<T> {
    return this.kube.get<T>(gvr, { ...NS, name }, this.signal);
  }

  patch(name: string, body: unknown): Promise<Device> {
    const target = { ...NS, name };
    return this.kube.patch<Device>(GVR.devices, target, { type: "merge", body }, this.signal);
  }

  report(node: string, name: string, uid: string, status: DeviceStatusBody) {
    const device = { ...NS, name, uid };
    return this.controllers.sink.apply(
      node,
      { kind: "device_status", device, status },
      this.signal,
    );
  }

  items(node: string): string[] {
    return [...this.controllers.desired.projection(node).items.keys()].sort();
  }

  async until(isTrue: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const deadlineMs = this.clock.monotonicMs() + WAIT_MS;
    while (!await isTrue()) {
      assert(this.clock.monotonicMs() < deadlineMs, `still waiting for ${what}`);
      await this.clock.sleep(2);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.scope[Symbol.asyncDispose]();
    await this.#server.close();
  }
}

const MODEL_KEY = "devicemodels.devices.kubeedge.io/default/thermometer";
const DEVICE_KEY = "devices.devices.kubeedge.io/default/d1";

Deno.test("a device and its model travel to its node, and follow it to another", async () => {
  await using cloud = await Cloud.start();
  await cloud.model();
  await cloud.device("d1", "n1");
  await cloud.until(() => cloud.items("n1").length === 2, "the projection");
  assertEquals(cloud.items("n1"), [MODEL_KEY, DEVICE_KEY]);
  const item = cloud.controllers.desired.projection("n1").items.get(DEVICE_KEY)?.object;
  assertEquals((item as Device).spec.properties?.[0]?.desired, { value: "21" });

  await cloud.patch("d1", { spec: { nodeName: "n2" } });
  await cloud.until(() => cloud.items("n2").length === 2, "the move");
  assertEquals(cloud.items("n1"), []);
  await cloud.kube.delete(GVR.devices, { ...NS, name: "d1" }, {}, cloud.signal);
  await cloud.until(() => cloud.items("n2").length === 0, "the removal");
});

Deno.test("a report is the status of the device and its DeviceStatus, no more", async () => {
  await using cloud = await Cloud.start();
  await cloud.model();
  const { metadata } = await cloud.device("d1", "n1");
  await cloud.until(() => cloud.items("n1").length === 2, "the projection");
  const { generation } = cloud.controllers.desired.projection("n1");
  const status: DeviceStatusBody = {
    state: "online",
    lastOnlineTime: "2026-01-01T00:00:00Z",
    twins: [{
      propertyName: "temperature",
      reported: { value: "20", metadata: { timestamp: "1", type: "int" } },
      observedDesired: { value: "21" },
    }],
  };
  assertEquals(await cloud.report("n1", "d1", metadata.uid!, status), { kind: "applied" });
  const shown = await cloud.get(GVR.deviceStatuses as typeof GVR.devices, "d1");
  assertEquals(shown.status, status);
  assertEquals(shown.metadata.ownerReferences?.[0]?.uid, metadata.uid);
  assertEquals((await cloud.get<Device>(GVR.devices, "d1")).status, status);

  const { state: _, ...stateless } = status;
  await cloud.report("n1", "d1", metadata.uid!, stateless);
  assertEquals((await cloud.get<Device>(GVR.devices, "d1")).status, stateless);
  await cloud.patch("d1", { metadata: { labels: { floor: "1" } } });
  await cloud.until(
    () => cloud.controllers.desired.projection("n1").generation > generation,
    "the label to travel",
  );
  assertEquals(cloud.controllers.desired.projection("n1").generation, generation + 1);
});

Deno.test("a node reports only devices that are its own", async () => {
  await using cloud = await Cloud.start();
  const { metadata } = await cloud.device("d1", "n1");
  const status = { state: "online" };
  assertEquals(await cloud.report("n2", "d1", metadata.uid!, status), {
    kind: "dropped",
    reason: "device does not belong to this node",
  });
  assertEquals(await cloud.report("n1", "d1", "another", status), {
    kind: "dropped",
    reason: "device was recreated under another uid",
  });
  assertEquals((await cloud.report("n1", "gone", "x", status)).kind, "dropped");
  assertEquals((await cloud.get<Device>(GVR.devices, "d1")).status, undefined);
});

Deno.test("a report that breaks a rule is dropped by name; the last good one stays", async () => {
  await using cloud = await Cloud.start();
  const { metadata } = await cloud.device("d1", "n1");
  const uid = metadata.uid ?? "";
  assertEquals(await cloud.report("n1", "d1", uid, { state: "online" }), { kind: "applied" });
  const bad: [DeviceStatusBody, string][] = [
    [{ state: "asleep" }, "status.state"],
    [{ twins: [{ propertyName: "t", reported: { value: "x".repeat(65_537) } }] }, "Too long"],
    [{ twins: [{ propertyName: "t" }, { propertyName: "t" }] }, "Duplicate value"],
    [{ twins: "many" } as unknown as DeviceStatusBody, "cannot unmarshal string"],
  ];
  for (const [status, part] of bad) {
    const outcome = await cloud.report("n1", "d1", uid, status);
    assert(outcome.kind === "dropped");
    assertStringIncludes(outcome.reason, part);
  }
  const { status } = await cloud.get<Device>(GVR.devices, "d1");
  assertEquals(status?.state, "online");
});

Deno.test("a burst of devices arrives whole, and their reports make no generation", async () => {
  await using cloud = await Cloud.start();
  await cloud.model();
  const count = 300;
  const names = Array.from({ length: count }, (_, at) => `d${at}`);
  await Promise.all(names.map((name) => cloud.device(name, "n1")));
  await cloud.until(() => cloud.items("n1").length === count + 1, "all devices");
  const { generation } = cloud.controllers.desired.projection("n1");
  const reports = names.map(async (name) => {
    const { metadata } = await cloud.get<Device>(GVR.devices, name);
    return await cloud.report("n1", name, metadata.uid ?? "", { state: "online" });
  });
  for (const outcome of await Promise.all(reports)) assertEquals(outcome, { kind: "applied" });
  assertEquals(cloud.controllers.desired.projection("n1").generation, generation);
});

Deno.test("an event about a device is taken from its own node only", async () => {
  await using cloud = await Cloud.start();
  const { metadata } = await cloud.device("d1", "n1");
  const event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "d1.1", ...NS },
    involvedObject: { kind: "Device", name: "d1", uid: metadata.uid ?? "", ...NS },
    reason: "MapperGone",
    message: "No mapper serves modbus",
    type: "Warning" as const,
  };
  const apply = (node: string) =>
    cloud.controllers.sink.apply(node, { kind: "event", event }, cloud.signal);
  assertEquals((await apply("n2")).kind, "dropped");
  assertEquals(await apply("n1"), { kind: "applied" });
});

Deno.test("a v1alpha2 device is stored as v1beta1 and read back as it was", async () => {
  await using cloud = await Cloud.start();
  const alpha = { ...GVR.devices, version: "v1alpha2" };
  const spec = {
    deviceModelRef: { name: "m" },
    nodeSelector: {
      nodeSelectorTerms: [{ matchExpressions: [{ key: "", operator: "In", values: ["n1"] }] }],
    },
    protocol: { modbus: { slaveID: 1 }, common: { tcp: { ip: "10.0.0.1", port: 502 } } },
    propertyVisitors: [{
      propertyName: "t",
      modbus: { register: "CoilRegister", offset: 1, limit: 1 },
    }],
    data: { dataTopic: "a/b" },
  };
  const status = { twins: [{ propertyName: "t", desired: { value: "1" } }] };
  const body = { metadata: { name: "old", ...NS }, spec, status };
  const made = await cloud.kube.create<KubeObject>(alpha, body, cloud.signal);
  assertEquals([made.apiVersion, made.spec], ["devices.kubeedge.io/v1alpha2", spec]);
  const stored = await cloud.get<Device>(GVR.devices, "old");
  assertEquals(stored.apiVersion, "devices.kubeedge.io/v1beta1");
  assertEquals(stored.spec.properties?.[0]?.desired, { value: "1" });
  await cloud.until(() => cloud.items("n1").length === 1, "the projection");
  const list = await cloud.kube.list<KubeObject>(alpha, NS, cloud.signal);
  assertEquals(list.apiVersion, "devices.kubeedge.io/v1alpha2");
  assertEquals(list.items[0]?.["status"], status);
});

Deno.test("a namespace with devices and rules empties itself", async () => {
  await using cloud = await Cloud.start();
  const namespaces = GVR.namespaces;
  await cloud.kube.create(namespaces, { metadata: { name: "plant" } }, cloud.signal);
  const metadata = { name: "d1", namespace: "plant" };
  const spec = { deviceModelRef: { name: "m" }, nodeName: "n1" };
  await cloud.kube.create<Device>(GVR.devices, { metadata, spec }, cloud.signal);
  await cloud.until(() => cloud.items("n1").length === 1, "the projection");
  await cloud.kube.delete(namespaces, { name: "plant" }, {}, cloud.signal);
  await cloud.until(() => cloud.items("n1").length === 0, "the device to go");
  await cloud.until(async () => {
    const { items } = await cloud.kube.list(namespaces, {}, cloud.signal);
    return !items.some((one) => one.metadata.name === "plant");
  }, "the namespace to go");
});
