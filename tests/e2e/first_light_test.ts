import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { must } from "../support/process.ts";
import { identityOf } from "../support/site_clients.ts";
import type { Site } from "../support/site.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

siteTest(
  "a pod goes from kubectl to a container and back, over a cut link",
  async ({ site, t }) => {
    await t.step("kubectl apply makes it Running, with a log", async () => {
      await site.kubectl.apply(podManifest("lamp"));
      await site.podRuns("lamp");
      assertMatch(await site.kubectl.must(["get", "pod", "lamp"]), /lamp\s+1\/1\s+Running\s+0/);
      await until(async () => (await site.kubectl.must(["logs", "lamp"])).includes("tick 1"), {
        what: "a line in kubectl logs",
      });
    });

    const before = identityOf(await site.cloud.pod("lamp"));
    await t.step("containerd runs that container", async () => {
      const tasks = await site.containerd.tasks();
      assertEquals(tasks.has(before.id.replace("containerd://", "")), true);
      assertEquals(tasks.size, 2);
    });

    await t.step("with the link cut the edge answers for itself", async () => {
      await site.relay.cut();
      await until(async () => await site.edge.linkState() !== "live", { what: "the cut noticed" });
      assertEquals(identityOf(await site.edge.pod("lamp")), before);
      const local = await must("curl", ["-sf", `${site.edge.url}/api/v1/pods`]);
      assertStringIncludes(local, `"phase":"Running"`);
      assertStringIncludes(await localLog(site), "tick 1\n");
      const refused = await site.kubectl.run(["logs", "lamp"]);
      assertEquals(refused.code, 1);
      assertStringIncludes(refused.stderr, "edge-1");
    });

    await t.step("an edge killed and started again adopts the container", async () => {
      const pids = await site.containerd.tasks();
      await site.killEdge();
      const ticks = (await logOnDisk(site)).split("\n").length;
      await until(async () => (await logOnDisk(site)).split("\n").length > ticks, {
        what: "the container to go on without the edge",
      });
      await site.startEdge();
      const after = await until(async () => {
        const identity = identityOf(await site.edge.pod("lamp"));
        return identity.startedAt !== "" && identity;
      }, { what: "the pod after the restart" });
      assertEquals(after, before);
      assertEquals(await site.containerd.tasks(), pids);
      assertEquals(await site.edge.linkState() === "live", false);
    });

    await t.step("a healed link brings the node back Ready with the same container", async () => {
      site.relay.heal();
      await until(async () => await site.edge.linkState() === "live", {
        what: "the link to be live",
        timeoutMs: 60_000,
      });
      await site.nodeIs("True");
      assertEquals(identityOf(await site.cloud.pod("lamp")), before);
      assertStringIncludes(await site.kubectl.must(["logs", "lamp", "--tail=1"]), "tick");
    });

    await t.step("a deletion ends it everywhere", async () => {
      await site.kubectl.must(["delete", "pod", "lamp"]);
      assertEquals(await site.cloud.find("/api/v1/namespaces/default/pods/lamp"), undefined);
      await until(async () => (await site.containerd.containers()).length === 0, {
        what: "containerd without containers",
      });
      await until(async () => (await site.edge.fetch("/api/v1/namespaces/default/pods/lamp").then(
        async (answer) => (await answer.body?.cancel(), answer.status === 404),
      )), { what: "the edge without the pod" });
      const logs = await Array.fromAsync(Deno.readDir(`${site.edgeDir}/pod-logs`));
      assertEquals(logs.map(({ name }) => name), []);
    });
  },
);

function localLog(site: Site): Promise<string> {
  return must("curl", ["-sf", `${site.edge.url}/api/v1/namespaces/default/pods/lamp/log`]);
}

async function logOnDisk(site: Site): Promise<string> {
  return await must("sh", ["-c", `cat ${site.edgeDir}/pod-logs/default_lamp_*/main/0.log`]);
}
