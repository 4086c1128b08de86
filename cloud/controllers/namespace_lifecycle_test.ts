import { assertEquals } from "@std/assert";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { NamespaceLifecycle } from "./namespace_lifecycle.ts";
import { MemoryKube } from "./testing/memory_kube.ts";
import { sampleConfigMap, samplePod } from "./testing/samples.ts";
import { settle, until } from "./testing/until.ts";

function namespace(name: string, more: Partial<KubeObject["metadata"]> = {}): KubeObject {
  return { metadata: { name, ...more }, spec: { finalizers: ["kubernetes"] } };
}

Deno.test("a deleted namespace goes once its pods have ended; others stay", async () => {
  const kube = new MemoryKube();
  const clock = new SimClock();
  const namespaces = kube.cache<KubeObject>(GVR.namespaces);
  const resources = () => Promise.resolve([GVR.pods, GVR.configmaps]);
  await using scope = new TaskScope();
  scope.spawn("cache", (signal) => namespaces.run(signal));
  const lifecycle = new NamespaceLifecycle({ kube, namespaces, resources, clock });
  scope.spawn("lifecycle", (signal) => lifecycle.run(signal));
  const inNamespace = { metadata: { namespace: "team" } };
  kube.put(GVR.pods, samplePod("web", { nodeName: "n1" }, inNamespace));
  kube.put(GVR.configmaps, { ...sampleConfigMap("c"), metadata: { name: "c", namespace: "team" } });
  kube.put(GVR.configmaps, sampleConfigMap("other"));
  kube.put(GVR.namespaces, namespace("default"));
  kube.put(GVR.namespaces, namespace("team", { deletionTimestamp: "2026-01-01T00:00:00Z" }));
  await until(() => Boolean(kube.all(GVR.pods)[0]?.metadata.deletionTimestamp), "pod deletion");
  await settle();
  assertEquals(kube.all(GVR.configmaps).map((object) => object.metadata.name), ["other"]);
  assertEquals(kube.all(GVR.namespaces).length, 2);
  kube.remove(GVR.pods, "team", "web"); // the node has confirmed
  await clock.advance(1_000);
  await until(() => kube.all(GVR.namespaces).length === 1, "the namespace to go");
});
