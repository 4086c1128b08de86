import { assert, assertEquals } from "@std/assert";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { betaDevice } from "../../shared/devices/alpha/device.ts";
import type { AlphaSelector } from "../../shared/devices/alpha/shapes.ts";
import type { Device, DeviceModel } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Event, Node } from "../../shared/k8s/types.ts";
import { SeededRandom } from "../../shared/random.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { DeviceIndex } from "./device_index.ts";
import { chooseNode, DevicePlacement } from "./device_placement.ts";
import { DeviceReview, judgeDevice } from "./device_review.ts";
import { EventRecorder } from "./events.ts";
import { projectNode, travelForm } from "./project_node.ts";
import { MemoryKube } from "./testing/memory_kube.ts";
import { sampleNode } from "./testing/samples.ts";
import { settle, until } from "./testing/until.ts";

const META = { namespace: "default", uid: "u1" };

function device(name = "d1", spec: Partial<Device["spec"]> = {}): Device {
  const deviceModelRef = { name: "m" };
  return { metadata: { ...META, name }, spec: { deviceModelRef, nodeName: "n1", ...spec } };
}

function model(...names: string[]): DeviceModel {
  const properties = names.map((name) => ({ name, type: "INT" as const }));
  return { metadata: { ...META, name: "m" }, spec: { properties } };
}

Deno.test("DeviceIndex: only what a node would see is a change", () => {
  const index = new DeviceIndex();
  const first = device();
  assertEquals(index.apply({ before: undefined, after: first }), ["n1"]);
  const reported = {
    ...first,
    metadata: { ...first.metadata, resourceVersion: "9" },
    status: { state: "online" },
  };
  assertEquals(index.apply({ before: first, after: reported }), []);
  assertEquals([...index.devicesOf("n1")], [first]);
  assertEquals([...index.usersOf("devicemodels.devices.kubeedge.io/default/m")], ["n1"]);
  const moved = device("d1", { nodeName: "n2" });
  assertEquals(index.apply({ before: reported, after: moved }), ["n1", "n2"]);
  assertEquals([...index.devicesOf("n1")], []);
  assertEquals(index.apply({ before: moved, after: undefined }), ["n2"]);
  assertEquals([...index.usersOf("devicemodels.devices.kubeedge.io/default/m")], []);
});

Deno.test("what travels of a device has kind and version, and no status nor bookkeeping", () => {
  const annotations = { "kubectl.kubernetes.io/last-applied-configuration": "{}", a: "b" };
  const stored = { ...device(), metadata: { ...META, name: "d1", annotations }, status: {} };
  const items = projectNode({
    node: undefined,
    pods: [],
    devices: [stored],
    find: (key) => key.endsWith("/m") ? model("t") : undefined,
    item: (key, object) => ({ key, uid: "", resourceVersion: "", object: travelForm(key, object) }),
  });
  const [first, second] = [...items.values()].map(({ object }) => object as Device);
  assertEquals([first?.apiVersion, first?.kind], ["devices.kubeedge.io/v1beta1", "Device"]);
  assertEquals(first?.metadata.annotations, { a: "b" });
  assertEquals(first?.status, undefined);
  assertEquals(second?.kind, "DeviceModel");
});

Deno.test("judgeDevice() names the missing model, or the first thing that does not fit", () => {
  const wanting = device("d1", { properties: [{ name: "t" }, { name: "u" }] });
  assertEquals(judgeDevice(wanting, undefined)?.reason, "ModelNotFound");
  const verdict = judgeDevice(wanting, model());
  assertEquals(verdict?.reason, "ModelMismatch");
  assert(verdict?.message.includes("spec.properties[0].name: not_found (and 1 more)"));
  assertEquals(judgeDevice(wanting, model("t", "u")), undefined);
});

Deno.test("a device is told of its missing model once settled, and of its coming", async () => {
  const kube = new MemoryKube();
  const clock = new SimClock();
  const devices = kube.cache<Device>(GVR.devices);
  const models = kube.cache<DeviceModel>(GVR.deviceModels);
  const events = new EventRecorder(kube, clock, new SeededRandom(1), "device-controller");
  await using scope = new TaskScope();
  const review = new DeviceReview({ kube, devices, models, events, clock });
  for (const task of [devices, models, review]) scope.spawn("task", (signal) => task.run(signal));
  kube.put(GVR.devices, device());
  await settle();
  assertEquals(kube.calls, []);
  await clock.advance(2_000);
  const accepted = () => kube.peek<Device>(GVR.devices, "default", "d1")?.status?.conditions?.[0];
  await until(() => kube.all<Event>(GVR.events).length === 1, "it is told");
  assertEquals([accepted()?.status, accepted()?.reason], ["False", "ModelNotFound"]);
  kube.put(GVR.deviceModels, model());
  await settle();
  await clock.advance(2_000);
  await until(() => accepted()?.status === "True", "it fits");
  assertEquals(kube.all<Event>(GVR.events).length, 1);
});

const byLabel = (key: string, value: string): AlphaSelector => ({
  nodeSelectorTerms: [{ matchExpressions: [{ key, operator: "In", values: [value] }] }],
});

function node(name: string, labels: Record<string, string> = {}): Node {
  const plain = sampleNode(name);
  return { ...plain, metadata: { ...plain.metadata, labels } };
}

Deno.test("chooseNode() keeps a node that fits, else takes the first by name, else a name", () => {
  const nodes = [node("c", { zone: "a" }), node("b", { zone: "a" }), node("x")];
  assertEquals(chooseNode(byLabel("zone", "a"), nodes, undefined), "b");
  assertEquals(chooseNode(byLabel("zone", "a"), nodes, "c"), "c");
  assertEquals(chooseNode(byLabel("zone", "a"), nodes, "x"), "b");
  assertEquals(chooseNode(byLabel("whatever", "x"), nodes, undefined), "x");
  assertEquals(chooseNode(byLabel("zone", "z"), nodes, "c"), "c");
});

Deno.test("a device that selects by labels follows the labels of nodes", async () => {
  const kube = new MemoryKube();
  const devices = kube.cache<Device>(GVR.devices);
  const nodes = kube.cache<Node>(GVR.nodes);
  await using scope = new TaskScope();
  const placement = new DevicePlacement({ kube, devices, nodes });
  for (const task of [devices, nodes, placement]) scope.spawn("task", (s) => task.run(s));
  kube.put(GVR.nodes, node("n1"));
  const spec = { deviceModelRef: { name: "m" }, nodeSelector: byLabel("zone", "a") };
  kube.put(GVR.devices, betaDevice({ metadata: { ...META, name: "d1" }, spec }));
  const placed = () => kube.peek<Device>(GVR.devices, "default", "d1")?.spec.nodeName;
  await settle();
  assertEquals(placed(), undefined);
  kube.put(GVR.nodes, node("n1", { zone: "a" }));
  await until(() => placed() === "n1", "it is placed");
  kube.put(GVR.nodes, node("n2", { zone: "a" }));
  kube.put(GVR.nodes, node("n1", { zone: "b" }));
  await until(() => placed() === "n2", "it moved");
  const found = kube.peek<Device>(GVR.devices, "default", "d1")!;
  kube.put(GVR.devices, { ...found, spec: { ...found.spec, nodeName: "n1" } });
  kube.put(GVR.nodes, node("n3", { zone: "a" }));
  await settle();
  assertEquals(placed(), "n1");
});
