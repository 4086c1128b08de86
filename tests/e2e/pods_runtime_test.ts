/** What becomes of pods when their runtime, their shims or the whole machine end and come back. */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import type { ContainerStatus, Pod } from "../../shared/k8s/types.ts";
import { must } from "../support/process.ts";
import { conditionOf } from "../support/site_clients.ts";
import type { Site } from "../support/site.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

const NAMES = ["one", "two", "three"];

function main(pod: Pod): ContainerStatus | undefined {
  return pod.status?.containerStatuses?.[0];
}

/** The pods as the edge itself shows them, by name. */
async function localPods(site: Site): Promise<Map<string, Pod>> {
  const { items } = await site.edge.get<{ items: Pod[] }>("/api/v1/pods");
  return new Map(items.map((pod) => [pod.metadata.name ?? "", pod]));
}

async function idsOf(site: Site): Promise<(string | undefined)[]> {
  const pods = await localPods(site);
  return NAMES.map((name) => pods.get(name) && main(pods.get(name)!)?.containerID);
}

/** Waits until every pod runs in a container that is in none of `before`. */
async function allNew(site: Site, before: readonly unknown[]): Promise<Map<string, Pod>> {
  return await until(async () => {
    const pods = await localPods(site);
    const fresh = NAMES.every((name) => {
      const status = pods.get(name) && main(pods.get(name)!);
      return status?.state?.running && !before.includes(status.containerID);
    });
    return fresh && pods;
  }, { what: "all pods in new containers", timeoutMs: 60_000 });
}

siteTest("pods outlive their runtime, and come back after it all ended", async ({ site, t }) => {
  const { kubectl, containerd } = site;
  const host = join(site.dir, "host");
  await Deno.mkdir(host);
  for (const name of NAMES) {
    await kubectl.apply(podManifest(name, {
      script: `echo begun >> /kept/lives; cp /kept/lives /host/${name}.lives; ` +
        `while :; do date +%s%N > /host/${name}; sleep 0.1; done`,
      container: {
        volumeMounts: [{ name: "host", mountPath: "/host" }, { name: "kept", mountPath: "/kept" }],
      },
      spec: {
        volumes: [{ name: "host", hostPath: { path: host } }, { name: "kept", emptyDir: {} }],
      },
    }));
  }
  for (const name of NAMES) await site.podRuns(name);
  const beat = (name: string) => Deno.readTextFile(join(host, name));
  await until(async () => (await Promise.all(NAMES.map(beat))).every((stamp) => stamp !== ""), {
    what: "a first beat of every pod",
  });

  await t.step("containerd killed: the pods go on, the node says so, all are adopted", async () => {
    const before = await idsOf(site);
    await containerd.crash();
    const node = await until(async () => {
      const seen = await site.cloud.node(site.nodeName);
      return conditionOf(seen, "Ready")?.status === "False" && seen;
    }, { what: "a node that is not Ready", timeoutMs: 60_000 });
    assertMatch(conditionOf(node, "Ready")?.message ?? "", /container runtime is down/);
    const stamps = await Promise.all(NAMES.map(beat));
    await until(async () => (await Promise.all(NAMES.map(beat))).every((s, i) => s !== stamps[i]), {
      what: "beats of every pod while its runtime is away",
    });
    await containerd.start();
    await site.nodeIs("True");
    assertEquals(await idsOf(site), before);
    const restarts = [...(await localPods(site)).values()].map((pod) => main(pod)?.restartCount);
    assertEquals(restarts, [0, 0, 0]);
  });

  await t.step("shims killed: every pod is made anew", async () => {
    const before = await idsOf(site);
    const shims = (await must("pgrep", ["-f", `containerd-shim.*${containerd.dir}`]))
      .split("\n").filter((pid) => pid !== "").map(Number);
    assertEquals(shims.length, NAMES.length);
    for (const pid of shims) Deno.kill(pid, "SIGKILL");
    const pods = await allNew(site, before);
    for (const name of NAMES) assertEquals(main(pods.get(name)!)?.restartCount, 1);
    await until(async () => (await containerd.tasks()).size === 2 * NAMES.length, {
      what: "two tasks a pod, and no more",
      timeoutMs: 30_000,
    });
  });

  await t.step("the machine reboots with no network: all come back, with their data", async () => {
    const before = await idsOf(site);
    await site.killCloud();
    await site.killEdge();
    await containerd.reboot();
    await site.startEdge();
    const pods = await allNew(site, before);
    for (const name of NAMES) {
      assertEquals(main(pods.get(name)!)?.restartCount, 2);
      const lives = () => Deno.readTextFile(join(host, `${name}.lives`));
      await until(async () => await lives() === "begun\n".repeat(3), { what: `data of ${name}` });
    }
    await until(async () => (await containerd.tasks()).size === 2 * NAMES.length, {
      what: "two tasks a pod, and no more",
      timeoutMs: 30_000,
    });
  });

  await t.step("what is left of the lives before is cleared away", async () => {
    await site.startCloud();
    await site.nodeIs("True");
    for (const name of NAMES) await kubectl.must(["delete", "pod", name, "--wait=false"]);
    await until(async () => (await containerd.containers()).length === 0, {
      what: "no container or sandbox left",
      timeoutMs: 60_000,
    });
    for (const name of NAMES) await site.podGone(name);
  });
});
