import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Site } from "../support/site.ts";
import { conditionOf } from "../support/site_clients.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

/** Waits until a pod is refused a place, and gives the reason that its condition has. */
async function unplaced(site: Site, name: string): Promise<string> {
  const pod = await site.podIs(
    name,
    "without a place",
    (pod) => conditionOf(pod, "PodScheduled")?.status === "False",
  );
  assertEquals(pod.status?.phase, "Pending");
  assertEquals(pod.spec?.nodeName, undefined);
  const condition = conditionOf(pod, "PodScheduled");
  assertEquals(condition?.reason, "Unschedulable");
  await until(async () => {
    const events = await site.cloud.events(name);
    return events.some(({ reason, type }) => reason === "FailedScheduling" && type === "Warning");
  }, { what: `a FailedScheduling event of ${name}` });
  return condition?.message ?? "";
}

siteTest("a pod gets a node that fits, and waits with a reason until one does", async ({
  site,
  t,
}) => {
  const { kubectl } = site;

  await t.step("nodeSelector: a label that comes", async () => {
    await kubectl.apply(podManifest("picky", { spec: { nodeSelector: { disk: "ssd" } } }));
    assertMatch(await unplaced(site, "picky"), /0\/1 nodes are available: 1 .*(selector|affinity)/);
    await kubectl.must(["label", "node", "edge-1", "disk=ssd"]);
    await site.podRuns("picky");
  });

  await t.step("a taint keeps out what does not tolerate it", async () => {
    await kubectl.must(["taint", "node", "edge-1", "only=lamps:NoSchedule"]);
    await kubectl.apply(podManifest("stranger"));
    assertStringIncludes(await unplaced(site, "stranger"), "untolerated taint");
    await kubectl.apply(podManifest("lamp", {
      spec: {
        tolerations: [{ key: "only", operator: "Equal", value: "lamps", effect: "NoSchedule" }],
      },
    }));
    await site.podRuns("lamp");
    assertEquals((await site.cloud.pod("picky")).status?.phase, "Running");
    await kubectl.must(["taint", "node", "edge-1", "only-"]);
    await site.podRuns("stranger");
  });

  await t.step("too much cpu waits, and fits once another has left", async () => {
    const node = await site.cloud.node("edge-1");
    const cpus = Number(node.status?.allocatable?.cpu);
    const asking = (cpu: number) => ({ container: { resources: { requests: { cpu: `${cpu}` } } } });
    await kubectl.apply(podManifest("large", asking(cpus - 0.5)));
    await site.podRuns("large");
    await kubectl.apply(podManifest("second", asking(cpus - 0.5)));
    assertStringIncludes(await unplaced(site, "second"), "Insufficient cpu");
    await kubectl.apply(podManifest("huge", asking(cpus * 50)));
    assertStringIncludes(await unplaced(site, "huge"), "Insufficient cpu");
    assertMatch(await kubectl.must(["get", "pod", "huge"]), /huge\s+0\/1\s+Pending/);
    await kubectl.must(["delete", "pod", "large"]);
    await site.podRuns("second");
    assertEquals((await site.cloud.pod("huge")).spec?.nodeName, undefined);
  });

  await t.step("a cordoned node takes nothing new", async () => {
    await kubectl.must(["cordon", "edge-1"]);
    await kubectl.apply(podManifest("after"));
    assertStringIncludes(await unplaced(site, "after"), "unschedulable");
    await kubectl.must(["uncordon", "edge-1"]);
    await site.podRuns("after");
  });
});
