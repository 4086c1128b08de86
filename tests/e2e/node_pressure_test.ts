/**
 * Usage and pressure on a whole site: kubectl top by way of the tunnel, and a node whose own, small
 * file system fills up.
 */
import { statfs } from "node:fs/promises";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { must } from "../support/process.ts";
import { conditionOf } from "../support/site_clients.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

/** Below a tenth of the 48 MiB there are. */
const LEFT_BYTES = 3_000_000;

siteTest(
  "kubectl top, the stats summary and resource metrics show real usage",
  async ({ site }) => {
    await site.kubectl.apply(podManifest("lamp"));
    await site.podRuns("lamp");
    const nodes = await site.kubectl.must(["top", "node"]);
    assertMatch(nodes, new RegExp(`${site.nodeName}\\s+\\d+m\\s+\\d+%\\s+\\d+Mi\\s+\\d+%`));
    const pods = await site.kubectl.must(["top", "pod", "--containers"]);
    assertMatch(pods, /lamp\s+\S+\s+\d+m\s+\d+Mi/);
    const proxy = `/api/v1/nodes/${site.nodeName}/proxy`;
    const summary = JSON.parse(
      await site.kubectl.must(["get", "--raw", `${proxy}/stats/summary`]),
    );
    assertEquals(summary.node.nodeName, site.nodeName);
    const [lamp] = summary.pods;
    assertEquals(lamp.podRef.name, "lamp");
    assert(lamp.memory.workingSetBytes > 0 && lamp.containers[0].cpu.usageCoreNanoSeconds > 0);
    assert(lamp.network.rxBytes >= 0 && lamp["ephemeral-storage"].usedBytes > 0);
    const text = await must("curl", ["-sf", `${site.edge.url}/metrics/resource`]);
    assertStringIncludes(text, 'container_memory_working_set_bytes{container="');
    assertStringIncludes(text, "\nresource_scrape_error 0\n");
  },
);

siteTest(
  "a full disk of the node evicts the pod that fills it, and taints it",
  async ({ site }) => {
    const node = await site.cloud.node(site.nodeName);
    assert((node.status?.images ?? []).length > 0, "images are listed");
    await site.kubectl.apply(podManifest("lamp"));
    await site.kubectl.apply(podManifest("hog"));
    const uid = (await site.podRuns("hog")).metadata.uid!;
    await site.podRuns("lamp");
    const logs = join(site.edgeDir, "pod-logs", `default_hog_${uid}`);
    const [container] = [...Deno.readDirSync(logs)].filter((entry) => entry.isDirectory);
    const { bavail, bsize } = await statfs(site.edgeDir);
    const bytes = bavail * bsize - LEFT_BYTES;
    await Deno.writeFile(join(logs, container!.name, "big"), new Uint8Array(bytes).fill(1));
    const hog = await site.podIs("hog", "Failed", (pod) => pod.status?.phase === "Failed", 60_000);
    assertEquals(hog.status?.reason, "Evicted");
    assertMatch(
      hog.status?.message ?? "",
      /^The node was low on resource: ephemeral-storage\. Threshold quantity: \S+, available: /,
    );
    await until(async () => {
      const now = await site.cloud.node(site.nodeName);
      const isTold = conditionOf(now, "DiskPressure")?.status === "True";
      return isTold && now.spec?.taints?.some((t) => t.key === "node.kubernetes.io/disk-pressure");
    }, { what: "the condition and its taint" });
    await Deno.remove(join(logs, container!.name, "big")).catch(() => {}); // the pod's end took it
    assertEquals((await site.cloud.pod("lamp")).status?.phase, "Running");
  },
  {
    edgeDisk: "48m",
  },
);
