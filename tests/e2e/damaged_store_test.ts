import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import type { KubeList } from "../../shared/k8s/types.ts";
import { flipBytes } from "../support/damage.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

siteTest("a damaged store on either side stops no container", async ({ site, t }) => {
  for (const name of ["one", "two"]) {
    await site.kubectl.apply(podManifest(name));
    await site.podRuns(name);
  }
  const tasks = await site.containerd.tasks();
  assertEquals(tasks.size, 4);
  const isLive = () =>
    until(async () => await site.edge.linkState() === "live", {
      what: "the link to be live",
      timeoutMs: 60_000,
    });
  const held = async () => (await site.edge.get<KubeList>("/api/v1/pods")).items.length;
  const readyz = async () => {
    const response = await fetch(`http://${site.cloud.listen.admin}/readyz?verbose`);
    return await response.text();
  };

  await t.step("edge, cut off: half its journal is gone, its pods run on", async () => {
    await site.relay.cut();
    await site.killEdge();
    await flipBytes(join(site.edgeDir, "store"), 0.3);
    await site.startEdge();
    await until(async () => (await (await site.edge.fetch("/readyz")).text()).includes("ok"), {
      what: "the edge to be ready",
    });
    assertEquals(await site.containerd.tasks(), tasks);
    site.relay.heal();
    await isLive();
    await until(async () => (await held()) === 2, { what: "both pods again" });
    assertEquals(await site.containerd.tasks(), tasks);
  });

  await t.step("cloud: it serves, says what was lost, and the node keeps its pods", async () => {
    await site.killCloud();
    assert((await flipBytes(join(site.cloudDir, "store"))).length > 0);
    await site.startCloud();
    await isLive();
    assertMatch(await readyz(), /\[-\]store failed: records were lost on .*journal/);
    await site.nodeIs("True");
    // a round trip: whatever the hub had to say of the lost pods was said before this one runs
    await site.kubectl.apply(podManifest("three"));
    await site.podRuns("three");
    const now = await site.containerd.tasks();
    for (const task of tasks.keys()) assert(now.has(task), `task ${task} was ended`);
  });

  await t.step("cloud: what is made and deleted since counts as deleted", async () => {
    await site.kubectl.must(["delete", "pod", "three"]);
    await until(async () => (await site.containerd.tasks()).size === 4, {
      what: "the third pod's containers to end",
    });
  });

  await t.step("cloud: after a second restart they still run", async () => {
    await site.killCloud();
    await site.startCloud();
    await isLive();
    await site.nodeIs("True");
    assertMatch(await readyz(), /\[-\]store failed/);
    assertEquals(await site.containerd.tasks(), tasks);
  });

  await t.step("the loss is accepted: now they end", async () => {
    await site.killCloud();
    await site.startCloud("--accept-data-loss");
    await until(async () => (await site.containerd.tasks()).size === 0, {
      what: "no container",
      timeoutMs: 60_000,
    });
    assertMatch(await readyz(), /\[\+\]store ok/);
  });
});
