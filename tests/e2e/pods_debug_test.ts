import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { ContainerStatus, Pod } from "../../shared/k8s/types.ts";
import { BUSYBOX_IMAGE } from "../support/images.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

function debuggerOf(pod: Pod, name: string): ContainerStatus | undefined {
  return pod.status?.ephemeralContainerStatuses?.find((status) => status.name === name);
}

siteTest("kubectl debug adds a container that sees its target's processes", async ({ site, t }) => {
  const { kubectl } = site;
  await kubectl.apply(podManifest("web", { script: "exec sleep 4242" }));
  const before = await site.podRuns("web");
  const debug = (name: string, ...command: string[]) =>
    kubectl.must([
      ["debug", "web", `--image=${BUSYBOX_IMAGE}`, "--target=main", "-c", name],
      ["--attach=false", "--", ...command],
    ].flat());

  await t.step("it runs once, in its target's process namespace", async () => {
    await debug("look", "ps", "-o", "args");
    const pod = await site.podIs(
      "web",
      "with an ended debugger",
      (pod) => debuggerOf(pod, "look")?.state?.terminated !== undefined,
    );
    const status = debuggerOf(pod, "look");
    assertEquals(status?.state?.terminated?.reason, "Completed");
    assertEquals([status?.restartCount, status?.ready], [0, false]);
    assertStringIncludes(await kubectl.must(["logs", "web", "-c", "look"]), "sleep 4242");
  });

  await t.step("the pod is as it was: Ready, not restarted", async () => {
    const pod = await site.cloud.pod("web");
    assertEquals(pod.status?.containerStatuses, before.status?.containerStatuses);
    assertMatch(await kubectl.must(["get", "pod", "web"]), /web\s+1\/1\s+Running\s+0/);
  });

  await t.step("one that fails is not run again, also after a restart of the edge", async () => {
    await debug("fails", "sh", "-c", "exit 3");
    await site.podIs(
      "web",
      "with a failed debugger",
      (pod) => debuggerOf(pod, "fails")?.state?.terminated?.exitCode === 3,
    );
    await site.killEdge();
    await site.startEdge();
    await debug("stays", "sleep", "600");
    const pod = await site.podIs(
      "web",
      "with a running debugger",
      (pod) => debuggerOf(pod, "stays")?.state?.running !== undefined,
    );
    assertEquals(debuggerOf(pod, "fails")?.restartCount, 0);
    assertEquals(debuggerOf(pod, "fails")?.state?.terminated?.reason, "Error");
    assertEquals(pod.status?.phase, "Running");
  });

  await t.step("describe and the events name it", async () => {
    const text = await until(async () => {
      const shown = await kubectl.must(["describe", "pod", "web"]);
      return /Started container stays|Container started/.test(shown) && shown;
    }, { what: "the event of the debugger" });
    assertMatch(text, /Ephemeral Containers:\n {2}look:/);
    const events = await site.cloud.events("web");
    assertEquals(
      events.some((e) => e.involvedObject.fieldPath === "spec.ephemeralContainers{stays}"),
      true,
    );
  });

  await t.step("an image that is not there holds only the debugger back", async () => {
    await kubectl.must([
      ["debug", "web", "--image=skerry.invalid/none:1", "-c", "absent", "--attach=false"],
    ].flat());
    const pod = await site.podIs(
      "web",
      "with a debugger that waits",
      (pod) =>
        /^(ErrImagePull|ImagePullBackOff)$/
          .test(debuggerOf(pod, "absent")?.state?.waiting?.reason ?? ""),
      60_000,
    );
    assertEquals(pod.status?.conditions?.find((c) => c.type === "Ready")?.status, "True");
  });

  await t.step("the pod is deleted with all of them", async () => {
    await kubectl.must(["delete", "pod", "web"]);
    await until(async () => (await site.containerd.containers()).length === 0, {
      what: "no container left",
      timeoutMs: 30_000,
    });
  });
});
