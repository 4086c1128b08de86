/**
 * Real kubectls, the oldest and the newest found of those supported, against the embedded API over
 * TLS: what a user types, what it prints, how it ends. Needs kubectl; needs no root and no node.
 * KUBECTL_ALL=1 drives every kubectl found.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Node, Pod } from "../../shared/k8s/types.ts";
import { ensureKubectls, type Kubectl, KubectlClient } from "../support/kubectl.ts";
import { startChild } from "../support/process.ts";
import { testWith } from "../support/requirements.ts";
import { type ApiFixture, startApi } from "./kubectl_fixture.ts";

const signal = new AbortController().signal;

interface World {
  api: ApiFixture;
  k: KubectlClient;
  /** A namespace of this step's own. */
  ns: string;
}

async function chosenKubectls(): Promise<Kubectl[]> {
  const supported = (await ensureKubectls()).filter(({ minor }) => {
    const number = Number(minor.split(".")[1]);
    return number >= 27 && number <= 33;
  });
  if (Deno.env.get("KUBECTL_ALL") === "1") return supported;
  return [...new Set([supported[0], supported.at(-1)])].filter((one) => one !== undefined);
}

testWith(["kubectl"], "kubectl works against the embedded Kubernetes API", async (t) => {
  for (const kubectl of await chosenKubectls()) {
    await using api = await startApi();
    const k = new KubectlClient(kubectl, api.kubeconfig, join(api.dir, `cache-${kubectl.minor}`));
    let count = 0;
    for (const [name, run] of Object.entries(STEPS)) {
      await t.step(`kubectl ${kubectl.minor}: ${name}`, async () => {
        const ns = `step-${++count}`;
        await k.must(["create", "namespace", ns]);
        await run({ api, k, ns });
      });
    }
  }
});

function podManifest(image = "registry.example/app:1", more: Record<string, unknown> = {}) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", labels: { app: "web" } },
    spec: { containers: [{ name: "main", image, resources: { limits: { memory: "64Mi" } } }] },
    ...more,
  };
}

async function makeNode(api: ApiFixture, name: string): Promise<void> {
  const node: Node = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    status: { allocatable: { cpu: "2", memory: "1Gi", pods: "110" } },
  };
  await api.kube.create(GVR.nodes, node, signal);
}

/** Puts the pod on a node and makes it run there, as scheduler and node would. */
async function runPod({ api, ns }: World, node = "edge-1"): Promise<void> {
  const target = { namespace: ns, name: "web" };
  const binding = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name: "web" },
    target: { kind: "Node", name: node },
  };
  await api.kube.create(GVR.pods, binding, signal, { ...target, subresource: "binding" });
  const status = {
    phase: "Running",
    conditions: [{ type: "Ready", status: "True" }],
    containerStatuses: [{
      name: "main",
      ready: true,
      restartCount: 0,
      image: "registry.example/app:1",
      imageID: "",
      state: { running: { startedAt: "2026-01-01T00:00:00Z" } },
    }],
  };
  const patch = { type: "merge" as const, body: { status } };
  await api.kube.patch(GVR.pods, { ...target, subresource: "status" }, patch, signal);
}

const STEPS: Record<string, (world: World) => Promise<void>> = {
  "get in every form": async (world) => {
    const { k, ns } = world;
    await k.apply(podManifest(), "-n", ns);
    await runPod(world);
    assertMatch(await k.must(["get", "pods", "-n", ns]), /NAME +READY.*\nweb +1\/1 +Running/);
    assertMatch(await k.must(["get", "pods", "-n", ns, "-o", "wide"]), /NODE[^]*web.*edge-1/);
    assertMatch(await k.must(["get", "pods", "-A"]), new RegExp(`NAMESPACE[^]*${ns} +web`));
    assertMatch(await k.must(["get", "pod", "web", "-n", ns, "-o", "yaml"]), /nodeName: edge-1/);
    assertEquals(await k.must(["get", "pod", "-n", ns, "-o", "name"]), "pod/web\n");
    assertEquals(await k.must(["get", "pod", "-n", ns, "-l", "app=other", "-o", "name"]), "");
    const selector = "spec.nodeName=edge-1,status.phase!=Failed";
    const args = ["get", "pod", "-n", ns, "--field-selector", selector, "-o", "name"];
    assertEquals(await k.must(args), "pod/web\n");
    const path = ["get", "pods", "-n", ns, "-o", "jsonpath={.items[*].status.phase}"];
    assertEquals(await k.must(path), "Running");
    const missing = await k.run(["get", "pod", "nothing", "-n", ns]);
    assertEquals(missing.stderr, 'Error from server (NotFound): pods "nothing" not found\n');
  },

  "get pages through a long list": async ({ k, ns }) => {
    const items = Array.from({ length: 7 }, (_, i) => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: `page-${i}` },
    }));
    await k.apply({ apiVersion: "v1", kind: "List", items }, "-n", ns);
    const args = ["get", "configmaps", "-n", ns, "--chunk-size=3", "-o", "name"];
    assertEquals((await k.must(args)).trim().split("\n").length, 7);
  },

  "get -w sees changes": async (world) => {
    const { k, ns, api } = world;
    await k.apply(podManifest(), "-n", ns);
    const args = ["get", "pods", "-n", ns, "-w"];
    const options = {
      name: `watch-${k.minor}`,
      command: k.path,
      args,
      env: k.env,
      logDir: api.dir,
    };
    const watch = await startChild(options);
    try {
      await watch.waitForLine(/web .*Pending/);
      await runPod(world);
      await watch.waitForLine(/web .*1\/1 .*Running/);
    } finally {
      await watch.stop();
    }
  },

  "describe shows a pod with its events, and a node": async (world) => {
    const { k, ns, api } = world;
    await k.apply(podManifest(), "-n", ns);
    await runPod(world);
    const pod = await api.kube.get<Pod>(GVR.pods, { namespace: ns, name: "web" }, signal);
    const { uid, name, namespace } = pod.metadata;
    await api.kube.create(GVR.events, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: "web.1", namespace: ns },
      involvedObject: { apiVersion: "v1", kind: "Pod", name, namespace, uid },
      reason: "Pulled",
      message: "Container image was there",
      type: "Normal",
      source: { component: "edge" },
      firstTimestamp: "2026-01-01T00:00:00Z",
      lastTimestamp: "2026-01-01T00:00:00Z",
      count: 1,
    }, signal);
    const text = await k.must(["describe", "pod", "web", "-n", ns]);
    assertMatch(text, /Status: +Running[^]*Image: +registry.example\/app:1/);
    assertMatch(text, /Pulled .*Container image was there/);
    assertMatch(await k.must(["events", "-n", ns, "--for", "pod/web"]), /Pulled +Pod\/web/);
    await makeNode(api, "described");
    const node = await k.must(["describe", "node", "described"]);
    assertMatch(node, /Name: +described[^]*Allocatable:[^]*pods: +110/);
  },

  "apply creates, leaves alone, changes, and dry-runs": async ({ k, ns }) => {
    const args = ["-n", ns];
    assertEquals(await k.apply(podManifest(), ...args), "pod/web created\n");
    assertEquals(await k.apply(podManifest(), ...args), "pod/web unchanged\n");
    const changed = podManifest("registry.example/app:2");
    const dry = await k.apply(changed, ...args, "--dry-run=server");
    assertEquals(dry, "pod/web configured (server dry run)\n");
    assertEquals(await k.apply(changed, ...args), "pod/web configured\n");
    const image = ["get", "pod", "web", ...args, "-o", "jsonpath={.spec.containers[0].image}"];
    assertEquals(await k.must(image), "registry.example/app:2");
    const diff = await k.run(["diff", "-f", "-", ...args], {
      stdin: JSON.stringify(podManifest()),
    });
    assertEquals(diff.code, 1, diff.stderr);
    assertMatch(diff.stdout, /-.*app:2[^]*\+.*app:1/);
  },

  "apply --server-side creates and changes": async ({ k, ns }) => {
    const manifest = (value: string) => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "ssa" },
      data: { key: value },
    });
    const args = ["--server-side", "-n", ns];
    assertMatch(await k.apply(manifest("one"), ...args), /serverside-applied/);
    await k.apply(manifest("two"), ...args);
    const path = ["get", "cm", "ssa", "-n", ns, "-o", "jsonpath={.data.key}"];
    assertEquals(await k.must(path), "two");
  },

  "create makes objects from flags and files": async ({ k, ns }) => {
    const n = ["-n", ns];
    await k.must(["create", "configmap", "settings", "--from-literal=a=b", ...n]);
    assertEquals(
      await k.must(["get", "cm", "settings", ...n, "-o", "jsonpath={.data.a}"]),
      "b",
    );
    await k.must(["create", "secret", "generic", "keys", "--from-literal=p=q", ...n]);
    assertEquals(
      await k.must(["get", "secret", "keys", ...n, "-o", "jsonpath={.type} {.data.p}"]),
      "Opaque cQ==",
    );
    await k.must(["create", "serviceaccount", "robot", ...n]);
    const created = await k.must(["create", "-f", "-", ...n], {
      stdin: JSON.stringify(podManifest()),
    });
    assertEquals(created, "pod/web created\n");
    const again = await k.run(["create", "-f", "-", ...n], {
      stdin: JSON.stringify(podManifest()),
    });
    assertMatch(again.stderr, /\(AlreadyExists\).*pods "web" already exists/);
    await k.must(["run", "quick", "--image=registry.example/app:1", ...n]);
    const lost = await k.run(["create", "configmap", "x", "-n", "no-such-place"]);
    assertMatch(lost.stderr, /namespaces "no-such-place" not found/);
  },

  "edit and replace store what the user wrote": async ({ k, ns }) => {
    const n = ["-n", ns];
    await k.must(["create", "configmap", "text", "--from-literal=word=one", ...n]);
    await k.must(["edit", "configmap", "text", ...n], {
      env: { KUBE_EDITOR: "sed -i s/one/two/" },
    });
    const word = ["get", "cm", "text", ...n, "-o", "jsonpath={.data.word}"];
    assertEquals(await k.must(word), "two");
    const stdin = JSON.stringify({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "text" },
      data: { word: "three" },
    });
    await k.must(["replace", "-f", "-", ...n], { stdin });
    assertEquals(await k.must(word), "three");
  },

  "patch in three types, label, annotate": async ({ k, ns }) => {
    const n = ["-n", ns];
    await k.apply(podManifest(), ...n);
    const strategic = { spec: { containers: [{ name: "main", image: "registry.example/app:3" }] } };
    await k.must(["patch", "pod", "web", ...n, "-p", JSON.stringify(strategic)]);
    const merge = { metadata: { annotations: { note: "merged" } } };
    await k.must(["patch", "pod", "web", ...n, "--type=merge", "-p", JSON.stringify(merge)]);
    const json = [{ op: "add", path: "/metadata/labels/tier", value: "front" }];
    await k.must(["patch", "pod", "web", ...n, "--type=json", "-p", JSON.stringify(json)]);
    await k.must(["label", "pod", "web", "colour=blue", "app-", ...n]);
    await k.must(["annotate", "pod", "web", "who=me", ...n]);
    const pod = await k.getJson("pod", "web", ...n) as Pod;
    assertEquals(pod.metadata.labels, { tier: "front", colour: "blue" });
    assertEquals(pod.metadata.annotations?.note, "merged");
    assertEquals(pod.metadata.annotations?.who, "me");
    assertEquals(pod.spec.containers[0]?.image, "registry.example/app:3");
    const status = { status: { phase: "Running" } };
    const args = ["--subresource=status", "--type=merge", "-p", JSON.stringify(status)];
    await k.must(["patch", "pod", "web", ...n, ...args]);
    const fixed = { spec: { nodeSelector: { a: "b" } } };
    const refused = await k.run(["patch", "pod", "web", ...n, "-p", JSON.stringify(fixed)]);
    assertMatch(refused.stderr, /The Pod "web" is invalid: spec: Forbidden/);
  },

  "taint, cordon, uncordon and drain a node": async (world) => {
    const { k, ns, api } = world;
    const node = `node-${ns}`;
    await makeNode(api, node);
    await k.must(["taint", "node", node, "site=cold:NoSchedule"]);
    await k.must(["cordon", node]);
    const cordoned = await k.getJson("node", node) as Node;
    assertEquals(cordoned.spec?.unschedulable, true);
    assert(cordoned.spec?.taints?.some(({ key, value }) => key === "site" && value === "cold"));
    await k.must(["uncordon", node]);
    await k.must(["taint", "node", node, "site-"]);
    await k.apply(podManifest(), "-n", ns);
    await runPod(world, node);
    const drained = k.must(["drain", node, "--force"]);
    await confirmDeletion(world);
    assertMatch(await drained, new RegExp(`node/${node} drained`));
  },

  "delete waits until the node confirms": async (world) => {
    const { k, ns } = world;
    const n = ["-n", ns];
    await k.apply(podManifest(), ...n);
    assertMatch(await k.must(["delete", "pod", "web", ...n]), /deleted/); // placed nowhere: at once
    await k.apply(podManifest(), ...n);
    await runPod(world);
    const deleted = k.must(["delete", "pod", "web", ...n]);
    const waited = k.must(["wait", "--for=delete", "pod/web", ...n, "--timeout=20s"]);
    await confirmDeletion(world);
    assertMatch(await deleted, /pod "web".*deleted/);
    await waited;
    await k.must(["delete", "pod", "web", ...n, "--ignore-not-found"]);
    await k.apply(podManifest(), ...n);
    await runPod(world);
    await k.must(["delete", "pod", "web", ...n, "--force", "--grace-period=0"]);
  },

  "wait for a condition and for a value": async (world) => {
    const { k, ns } = world;
    const n = ["-n", ns, "--timeout=20s"];
    await k.apply(podManifest(), "-n", ns);
    const ready = k.must(["wait", "--for=condition=Ready", "pod/web", ...n]);
    const phase = k.must(["wait", "--for=jsonpath={.status.phase}=Running", "pod/web", ...n]);
    await runPod(world);
    assertEquals(await ready, "pod/web condition met\n");
    assertEquals(await phase, "pod/web condition met\n");
    const late = await k.run(["wait", "--for=condition=Gone", "pod/web", "-n", ns, "--timeout=1s"]);
    assertMatch(late.stderr, /timed out waiting/);
  },

  "explain, api-resources, api-versions, auth": async ({ k }) => {
    assertMatch(await k.must(["explain", "pod.spec.containers.image"]), /image/);
    assertMatch(await k.must(["api-resources"]), /pods +po +v1 +true +Pod/);
    assertMatch(await k.must(["api-versions"]), /coordination.k8s.io\/v1/);
    assertEquals((await k.must(["auth", "can-i", "create", "pods"])).trim(), "yes");
    assertMatch(await k.must(["auth", "can-i", "--list"]), /\*\.\* /);
    if (k.minor !== "1.27") assertMatch(await k.must(["auth", "whoami"]), /system:masters/);
    assertEquals(await k.must(["get", "--raw", "/readyz"]), "ok");
  },

  "logs come from the pod's node": async (world) => {
    const { k, ns } = world;
    const n = ["-n", ns];
    await k.apply(podManifest(), ...n);
    assertEquals(await k.must(["logs", "web", ...n]), "");
    await runPod(world);
    const log = `edge-1 /containerLogs/${ns}/web/main`;
    assertEquals(await k.must(["logs", "web", ...n]), `${log} \n`);
    assertEquals(
      await k.must(["logs", "web", "--tail=3", "--timestamps", ...n]),
      `${log} timestamps=true&tailLines=3\n`,
    );
    assertEquals(
      await k.must(["logs", "-f", "web", ...n]),
      `${log} follow=true\nsecond line\n`,
    );
    const wrong = await k.run(["logs", "web", "-c", "nope", ...n]);
    assertMatch(wrong.stderr, /container nope is not valid for pod web/);
    const previous = await k.run(["logs", "web", "-p", ...n]);
    assertMatch(previous.stderr, /previous terminated container "main" in pod "web" not found/);
  },

  "bad manifests are refused with one clear error": async ({ k, ns }) => {
    const refuse = async (manifest: unknown, expected: RegExp) => {
      const stdin = JSON.stringify(manifest);
      const { code, stderr, stdout } = await k.run(["apply", "-f", "-", "-n", ns], { stdin });
      assertEquals([code, stdout], [1, ""], stderr);
      assertMatch(stderr, expected);
      assertEquals(stderr.trim().split("\n").length, 1, stderr);
    };
    const container = { name: "main", image: "registry.example/app:1" };
    await refuse(
      podManifest("x", { spec: { containers: [{ ...container, imagee: "y" }] } }),
      /unknown field "spec.containers\[0\].imagee"/,
    );
    await refuse(
      podManifest("x", { spec: { containers: "main" } }),
      /spec.containers/,
    );
    const resources = { limits: { memory: "12 parsecs" } };
    await refuse(
      podManifest("x", { spec: { containers: [{ ...container, resources }] } }),
      /quantit/,
    );
    await refuse(
      podManifest("x", { metadata: { name: "Not_A_Name" } }),
      /metadata.name: Invalid value: "Not_A_Name"/,
    );
    await refuse(
      podManifest("x", { spec: { containers: [{ image: "registry.example/app:1" }] } }),
      /spec.containers\[0\].name: Required value/,
    );
  },

  "a namespace goes when its finalizer is taken away": async ({ k, ns, api }) => {
    const deleted = k.must(["delete", "namespace", ns]);
    const target = { name: ns };
    for await (const event of api.kube.watch(GVR.namespaces, {}, signal)) {
      if (event.type === "ERROR" || event.object.metadata.name !== ns) continue;
      if (event.object.metadata.deletionTimestamp) break;
    }
    const refused = await k.run(["create", "configmap", "late", "-n", ns]);
    assertMatch(refused.stderr, /because it is being terminated/);
    const namespace = await api.kube.get(GVR.namespaces, target, signal);
    const emptied = { ...namespace, spec: { finalizers: [] } };
    await api.kube.update(GVR.namespaces, emptied, signal, { subresource: "finalize" });
    assertMatch(await deleted, /deleted/);
    const kept = await k.run(["delete", "namespace", "default"]);
    assertMatch(kept.stderr, /this namespace may not be deleted/);
  },
};

/** Waits until the pod is marked for deletion, then removes it as its node would. */
async function confirmDeletion({ api, ns }: World): Promise<void> {
  const options = { namespace: ns, fieldSelector: "metadata.name=web" };
  for await (const event of api.kube.watch(GVR.pods, options, signal)) {
    if (event.type !== "ERROR" && event.object.metadata.deletionTimestamp) break;
  }
  const target = { namespace: ns, name: "web" };
  await api.kube.delete(GVR.pods, target, { gracePeriodSeconds: 0 }, signal);
}
