import { assertEquals, assertNotEquals } from "@std/assert";
import { fc } from "../../shared/testing/property.ts";
import type { KubeObject, Node, Pod } from "../../shared/k8s/types.ts";
import { neededKeys, podKey, projectNode, travelForm } from "./project_node.ts";
import { sampleConfigMap, sampleNode, samplePod } from "./testing/samples.ts";
import { TravelItems } from "./travel_items.ts";

function project(node: Node | undefined, pods: Pod[], found: Record<string, KubeObject> = {}) {
  const items = new TravelItems();
  return projectNode({
    node,
    pods,
    find: (key) => found[key],
    item: (key, object) => items.of(key, object),
  });
}

function versionOf(key: string, object: KubeObject): string {
  return new TravelItems().of(key, object).resourceVersion;
}

Deno.test("neededKeys() finds every way a pod names a ConfigMap or Secret, each once", () => {
  const pod = samplePod("web", {
    initContainers: [{ name: "i", envFrom: [{ configMapRef: { name: "from-init" } }] }],
    containers: [{
      name: "c",
      envFrom: [{ secretRef: { name: "from-secret" } }, { configMapRef: { name: "shared" } }],
      env: [
        { name: "A", valueFrom: { configMapKeyRef: { name: "key-map", key: "a" } } },
        { name: "B", valueFrom: { secretKeyRef: { name: "key-secret", key: "b" } } },
        { name: "C", value: "plain" },
      ],
    }],
    volumes: [
      { name: "v1", configMap: { name: "shared" } },
      { name: "v2", secret: { secretName: "volume-secret" } },
      {
        name: "v3",
        projected: {
          sources: [
            { configMap: { name: "projected-map" } },
            { secret: { name: "projected-secret" } },
            { serviceAccountToken: { path: "token" } },
          ],
        },
      },
      { name: "v4", emptyDir: {} },
      { name: "v5", csi: { driver: "x", nodePublishSecretRef: { name: "csi-secret" } } },
    ],
    imagePullSecrets: [{ name: "pull" }],
  });
  assertEquals(neededKeys(pod).sort(), [
    "configmaps/default/from-init",
    "configmaps/default/key-map",
    "configmaps/default/projected-map",
    "configmaps/default/shared",
    "secrets/default/csi-secret",
    "secrets/default/from-secret",
    "secrets/default/key-secret",
    "secrets/default/projected-secret",
    "secrets/default/pull",
    "secrets/default/volume-secret",
  ]);
});

Deno.test("projectNode() holds the node, its pods and what they name, and nothing absent", () => {
  const pod = samplePod("web", {
    volumes: [{ name: "a", configMap: { name: "there" } }, {
      name: "b",
      secret: { secretName: "not-there" },
    }],
  });
  const items = project(sampleNode("n1"), [pod], {
    "configmaps/default/there": sampleConfigMap("there"),
    "configmaps/default/other": sampleConfigMap("other"),
  });
  assertEquals([...items.keys()], ["nodes//n1", "pods/default/web", "configmaps/default/there"]);
});

Deno.test("travelForm() strips status and managedFields; an ended pod keeps its status", () => {
  const running = samplePod("web", {}, { status: { phase: "Running" } });
  const managed = { ...running, metadata: { ...running.metadata, managedFields: [{}] } };
  const travelling = travelForm(podKey(running), managed);
  assertEquals("status" in travelling, false);
  assertEquals("managedFields" in travelling.metadata, false);
  const ended = samplePod("job", {}, { status: { phase: "Succeeded" } });
  assertEquals(travelForm(podKey(ended), ended).status, { phase: "Succeeded" });
});

Deno.test("travelForm() says the kind that lists leave out, so both give one version", () => {
  const { kind: _, apiVersion: __, ...listed } = sampleConfigMap("a", { k: "v" });
  const key = "configmaps/default/a";
  assertEquals(travelForm(key, listed as KubeObject).kind, "ConfigMap");
  assertEquals(
    versionOf(key, listed as KubeObject),
    versionOf(key, sampleConfigMap("a", { k: "v" })),
  );
});

Deno.test("the version stands still for what the node or the link writes", () => {
  const pod = samplePod("web", {}, { status: { phase: "Pending" } });
  const version = versionOf(podKey(pod), pod);
  for (const phase of ["Running", "Succeeded", "Failed"] as const) {
    const metadata = { ...pod.metadata, resourceVersion: phase };
    assertEquals(versionOf(podKey(pod), { ...pod, metadata, status: { phase } }), version);
  }
  const node = sampleNode("n1");
  const tainted = {
    ...node,
    spec: { taints: [{ key: "node.kubernetes.io/unreachable", effect: "NoSchedule" as const }] },
    status: {},
  };
  assertEquals(versionOf("nodes//n1", tainted), versionOf("nodes//n1", node));
  const healed = { ...node, metadata: { ...node.metadata, generation: 3 }, spec: { taints: [] } };
  assertEquals(versionOf("nodes//n1", healed), versionOf("nodes//n1", node));
});

Deno.test("the version changes with spec, labels and deletion", () => {
  const pod = samplePod("web");
  const version = versionOf(podKey(pod), pod);
  const deleting = {
    ...pod,
    metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" },
  };
  const labelled = { ...pod, metadata: { ...pod.metadata, labels: { a: "b" } } };
  const respecced = { ...pod, spec: { ...pod.spec, restartPolicy: "Never" as const } };
  for (const other of [deleting, labelled, respecced]) {
    assertNotEquals(versionOf(podKey(pod), other), version);
  }
});

Deno.test("the version does not depend on the order of keys", () => {
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.string()), (data) => {
    const reversed = Object.fromEntries(Object.entries(data).reverse());
    const key = "configmaps/default/a";
    return versionOf(key, sampleConfigMap("a", data)) ===
      versionOf(key, sampleConfigMap("a", reversed));
  }));
});

Deno.test("TravelItems digests an object once per stored version", () => {
  const items = new TravelItems();
  const map = sampleConfigMap("a");
  map.metadata.uid = "u1";
  map.metadata.resourceVersion = "1";
  const first = items.of("configmaps/default/a", map);
  assertEquals(items.of("configmaps/default/a", structuredClone(map)), first);
  assertEquals(items.digests, 1);
  items.of("configmaps/default/a", { ...map, metadata: { ...map.metadata, uid: "u2" } });
  assertEquals(items.digests, 2);
});
