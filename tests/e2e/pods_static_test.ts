import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { stringify } from "yaml";
import type { Pod } from "../../shared/k8s/types.ts";
import { must, run } from "../support/process.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

const MIRROR = "web-edge-1";
const folderOf = (dir: string) => join(dir, "static");

siteTest("static pods run from files, and are shown by mirrors", async ({ site, t }) => {
  const { kubectl } = site;
  const file = join(folderOf(site.dir), "web.yaml");
  await Deno.mkdir(folderOf(site.dir));
  const write = (script?: string) =>
    Deno.writeTextFile(file, stringify(podManifest("web", script ? { script } : {})));
  const containerOf = (pod: Pod) => pod.status?.containerStatuses?.[0]?.containerID;
  let first: Pod;

  await t.step("a file becomes a pod, which kubectl shows, logs and describes", async () => {
    await write();
    first = await site.podRuns(MIRROR);
    assertMatch(await kubectl.must(["get", "pod", MIRROR]), /web-edge-1\s+1\/1\s+Running/);
    await until(async () => (await kubectl.must(["logs", MIRROR])).includes("tick 1\n"), {
      what: "its log",
    });
    await until(
      async () => /Normal\s+Started/.test(await kubectl.must(["describe", "pod", MIRROR])),
      { what: "its events" },
    );
    const hash = first.metadata.annotations?.["kubernetes.io/config.hash"];
    assertEquals(first.metadata.annotations?.["kubernetes.io/config.mirror"], hash);
  });

  await t.step("deleting the mirror does not end it: the mirror comes back", async () => {
    await kubectl.must(["delete", "pod", MIRROR, "--wait=false"]);
    const again = await site.podIs(
      MIRROR,
      "made again",
      (pod) => pod.metadata.uid !== first.metadata.uid && pod.status?.phase === "Running",
    );
    assertEquals(containerOf(again), containerOf(first));
  });

  await t.step("it is restarted at the site, and only there", async () => {
    const { programs, edgeDir } = site;
    const words = (verb: string) => [verb, "pod", MIRROR, "--data-dir", edgeDir];
    assertMatch(await must(programs.edge, words("restart")), /restarted/);
    const before = containerOf(first);
    first = await site.podIs(
      MIRROR,
      "restarted",
      (pod) => pod.status?.phase === "Running" && containerOf(pod) !== before,
    );
    const refused = await run(programs.edge, words("delete"));
    assertEquals(refused.code, 1);
    assertMatch(refused.stderr, /is a static pod: it ends when its file is removed/);
  });

  await t.step("it comes back with no cloud at all", async () => {
    await site.killEdge();
    await site.killCloud();
    await site.containerd.reboot();
    await site.startEdge();
    await until(async () => (await site.containerd.tasks()).size === 2, {
      what: "the pod's two tasks",
      timeoutMs: 60_000,
    });
    const pods = await site.edge.get<{ items: Pod[] }>("/api/v1/pods");
    assertEquals(pods.items.map((pod) => pod.metadata.name), [MIRROR]);
  });

  await t.step("a cloud that forgot the mirror is told of it", async () => {
    await site.startCloud();
    await site.podIs(MIRROR, "restarted", (pod) => containerOf(pod) !== containerOf(first), 60_000);
    await kubectl.must(["delete", "pod", MIRROR, "--force", "--grace-period=0"]);
    await site.podRuns(MIRROR);
  });

  await t.step("another content replaces it; a broken one changes nothing", async () => {
    const before = await site.cloud.pod(MIRROR);
    await write("echo second; sleep 600");
    await site.podIs(
      MIRROR,
      "replaced",
      (pod) => pod.metadata.uid !== before.metadata.uid && pod.status?.phase === "Running",
    );
    await Deno.writeTextFile(file, "kind: Pod\nmetadata: [");
    const event = await until(
      async () =>
        (await site.cloud.events("edge-1")).find((e) =>
          e.reason === "FailedStaticPod" && e.message?.includes("web.yaml")
        ),
      { what: "the event of the broken file", timeoutMs: 30_000 },
    );
    assertMatch(event.message ?? "", /web\.yaml: cannot be read: .*; the pod goes on as it was$/);
    assertEquals(await kubectl.must(["logs", MIRROR]), "second\n");
  });

  await t.step("the end of the file is the end of the pod", async () => {
    await Deno.remove(file);
    await site.podGone(MIRROR);
    await until(async () => (await site.containerd.containers()).length === 0, {
      what: "no container left",
      timeoutMs: 30_000,
    });
  });
}, { joinFlags: (dir) => ["--pod-manifest-path", folderOf(dir)] });
