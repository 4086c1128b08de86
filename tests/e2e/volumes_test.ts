/** Persistent volumes: a claim bound where its first pod goes, data that outlives pods. */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

const CLAIM = "/api/v1/namespaces/default/persistentvolumeclaims/data";
const VOLUME = "/api/v1/persistentvolumes/disk";

function onNode(name: string) {
  const expression = { key: "kubernetes.io/hostname", operator: "In", values: [name] };
  return { required: { nodeSelectorTerms: [{ matchExpressions: [expression] }] } };
}

function volume(name: string, source: object, more: object = {}): object {
  const spec = { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], ...source, ...more };
  return { apiVersion: "v1", kind: "PersistentVolume", metadata: { name }, spec };
}

function claim(name: string, storageClassName: string): object {
  const resources = { requests: { storage: "100Mi" } };
  const spec = { accessModes: ["ReadWriteOnce"], storageClassName, resources };
  return { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: { name }, spec };
}

const LOCAL_CLASS = {
  apiVersion: "storage.k8s.io/v1",
  kind: "StorageClass",
  metadata: { name: "local" },
  provisioner: "kubernetes.io/no-provisioner",
  volumeBindingMode: "WaitForFirstConsumer",
};

siteTest("a claim is bound, mounted, kept and let go", async ({ site, t }) => {
  const { kubectl } = site;
  const folder = join(site.dir, "disk");
  await Deno.mkdir(folder);
  const phase = (path: string, wanted: string) =>
    until(async () => {
      const found = await site.cloud.find(path) as KubeObject | undefined; // checked by the server
      return Object(found?.status).phase === wanted;
    }, { what: `${path} ${wanted}`, timeoutMs: 15_000 });
  const spec = (readOnly = false) => ({
    volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data", readOnly } }],
    securityContext: { fsGroup: 1234 },
  });
  const container = {
    volumeMounts: [{ name: "data", mountPath: "/data" }, {
      name: "data",
      mountPath: "/part",
      subPath: "a/b",
    }],
  };

  await t.step("a local volume: the first pod decides, on the node that has it", async () => {
    await kubectl.apply(LOCAL_CLASS);
    const local = { local: { path: folder }, storageClassName: "local" };
    await kubectl.apply(volume("elsewhere", local, { nodeAffinity: onNode("other") }));
    await kubectl.apply(volume("disk", local, { nodeAffinity: onNode(site.nodeName) }));
    await kubectl.apply(claim("data", "local"));
    await phase(VOLUME, "Available");
    await phase(CLAIM, "Pending");
    const script = "echo kept > /data/file; echo deep > /part/file; while :; do sleep 1; done";
    await kubectl.apply(podManifest("writes", { script, container, spec: spec() }));
    await site.podRuns("writes");
    await phase(CLAIM, "Bound");
    assertMatch(await kubectl.must(["get", "pvc", "data"]), /data +Bound +disk +1Gi +RWO +local/);
    await until(() => Deno.readTextFile(join(folder, "a/b/file")), { what: "the file" });
    assertEquals(await Deno.readTextFile(join(folder, "file")), "kept\n");
    assertEquals((await Deno.stat(folder)).gid, 1234);
  });

  await t.step("a claim in use is not taken away; its data outlives the pod", async () => {
    await kubectl.must(["delete", "pvc", "data", "--wait=false"]);
    assertMatch(await kubectl.must(["get", "pvc", "data"]), /Terminating/);
    await kubectl.must(["delete", "pod", "writes"]);
    await phase(VOLUME, "Released");
    assertEquals(await Deno.readTextFile(join(folder, "file")), "kept\n");
  });

  await t.step("a pod of a claim that nothing fits waits, and says why", async () => {
    await kubectl.apply(claim("data", ""));
    await kubectl.apply(podManifest("waits", { spec: spec() }));
    await site.podIs(
      "waits",
      "unschedulable",
      (pod) =>
        /unbound immediate PersistentVolumeClaims/.test(
          pod.status?.conditions?.find(({ type }) => type === "PodScheduled")?.message ?? "",
        ),
    );
    const more = { storageClassName: "" };
    await kubectl.apply(volume("host", { hostPath: { path: folder } }, more));
    await site.podRuns("waits");
  });
});
