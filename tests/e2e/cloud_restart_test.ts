import { assertEquals, assertGreater } from "@std/assert";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { identityOf } from "../support/site_clients.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

siteTest("a killed cloud comes back with everything and disturbs nothing", async ({ site, t }) => {
  await site.kubectl.apply(podManifest("kept"));
  await site.kubectl.must(["create", "configmap", "words", "--from-literal=a=1"]);
  await site.podRuns("kept");
  const words = "/api/v1/namespaces/default/configmaps/words";
  const config = await site.cloud.get<KubeObject>(words);
  const before = identityOf(await site.cloud.pod("kept"));

  await t.step("killed: the edge notices and goes on", async () => {
    await site.killCloud();
    await until(async () => await site.edge.linkState() !== "live", {
      what: "the edge to notice",
      timeoutMs: 60_000,
    });
    assertEquals(identityOf(await site.edge.pod("kept")), before);
  });

  await t.step(
    "started again: objects are there, the node is Ready, nothing restarted",
    async () => {
      await site.startCloud();
      assertEquals(await site.cloud.get<KubeObject>(words), config);
      await until(async () => await site.edge.linkState() === "live", {
        what: "the link to be live",
        timeoutMs: 60_000,
      });
      await site.nodeIs("True");
      assertEquals(identityOf(await site.cloud.pod("kept")), before);
      assertEquals((await site.containerd.tasks()).size, 2);
    },
  );

  await t.step("resource versions go on rising", async () => {
    await site.kubectl.must(["label", "configmap", "words", "again=yes"]);
    const after = await site.cloud.get<KubeObject>(words);
    const version = (object: KubeObject) => Number(object.metadata.resourceVersion);
    assertGreater(version(after), version(config));
    assertEquals(after.metadata.uid, config.metadata.uid);
  });

  await t.step("a pod applied before the kill is deleted after it", async () => {
    await site.kubectl.must(["delete", "pod", "kept"]);
    await until(async () => (await site.containerd.containers()).length === 0, {
      what: "containerd without containers",
    });
  });

  await t.step("a pod deleted while the cloud was down for a moment ends too", async () => {
    await site.kubectl.apply(podManifest("late"));
    await site.podRuns("late");
    await site.relay.cut();
    await site.kubectl.must(["delete", "pod", "late", "--wait=false"]);
    await site.killCloud();
    await site.startCloud();
    site.relay.heal();
    await site.podGone("late", 60_000);
  });
});
