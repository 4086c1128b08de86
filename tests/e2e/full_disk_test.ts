/**
 * Both programs on disks without room: the cloud answers kubectl at once and names the disk, the
 * edge says what is wrong; both read on, and write again when there is room.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { SystemClock } from "../../shared/clock.ts";
import { missingParts } from "../support/requirements.ts";
import { newSite } from "../support/site.ts";
import { mountTmpfs } from "../support/small_disk.ts";
import { until } from "../support/until.ts";

const clock = new SystemClock();
const configMap = (name: string, bytes: number) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  data: { filler: "x".repeat(bytes) },
});

Deno.test({
  name: "kubectl on a cloud whose disk is full: an answer at once, reads, and recovery",
  ignore: missingParts(["root", "kubectl"]).length > 0,
  fn: async () => {
    await using site = await newSite();
    await using disk = await mountTmpfs(8, site.cloudDir);
    await site.startCloud();
    await site.kubectl.apply(configMap("before", 100));
    await disk.fill();
    let last = { code: 0, stderr: "" };
    let longestMs = 0;
    for (let i = 0; i < 40 && last.code === 0; i++) {
      const startMs = clock.monotonicMs();
      last = await site.kubectl.run(
        ["create", "-f", "-"],
        { stdin: JSON.stringify(configMap(`full-${i}`, 200_000)) },
      );
      longestMs = Math.max(longestMs, clock.monotonicMs() - startMs);
    }
    assertEquals(last.code, 1);
    assertStringIncludes(last.stderr, "InsufficientStorage");
    assertStringIncludes(last.stderr, "disk is full");
    assert(longestMs < 8_000, `an answer took ${longestMs} ms`);
    const ready = await fetch(`http://${site.cloud.listen.admin}/readyz?verbose`);
    assertEquals(ready.status, 503);
    assertStringIncludes(await ready.text(), "[-]disk failed: disk is full");
    assertStringIncludes(await site.kubectl.must(["get", "configmaps"]), "before");
    await disk.free();
    await site.kubectl.apply(configMap("after", 200_000));
    await until(async () => {
      const again = await fetch(`http://${site.cloud.listen.admin}/readyz`);
      await again.body?.cancel();
      return again.status === 200;
    }, { what: "the cloud is ready again", timeoutMs: 60_000 });
  },
});

interface StatusAnswer {
  store: { problem?: { kind: string; message: string } };
  ledger: { objects: number };
  diskBudget: { state: string; writtenBytes: number; limitBytes: number };
}

Deno.test({
  name: "an edge whose disk is full says so, answers, and takes what it missed when there is room",
  ignore: missingParts(["root", "kubectl"]).length > 0,
  fn: async () => {
    await using site = await newSite({ runtimeEndpoint: (dir) => `unix://${dir}/none.sock` });
    await using disk = await mountTmpfs(6, site.edgeDir);
    await site.startCloud();
    await site.mustJoin();
    await site.startEdge();
    const status = () => site.edge.get<StatusAnswer>("/v1/status");
    await disk.fill();
    const names = ["m0", "m1", "m2", "m3"];
    for (const name of names) await site.kubectl.apply(configMap(name, 300_000), "--server-side");
    await site.kubectl.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "holder" },
      spec: {
        nodeName: site.nodeName,
        containers: [{
          name: "main",
          image: "none",
          envFrom: names.map((name) => ({ configMapRef: { name } })),
        }],
      },
    });
    await until(async () => (await status()).store.problem?.kind === "full", {
      what: "the edge says that its disk is full",
      timeoutMs: 60_000,
    });
    const ready = await site.edge.fetch("/readyz?verbose");
    assertEquals(ready.status, 503);
    assertStringIncludes(await ready.text(), "[-]store failed: disk is full");
    const metrics = await (await site.edge.fetch("/metrics")).text();
    assertStringIncludes(metrics, 'skerry_disk_problem{kind="full"} 1');
    const nodes = await site.edge.get<{ items: unknown[] }>("/api/v1/nodes");
    assertEquals(nodes.items.length, 1);
    await disk.free();
    await until(async () => {
      const { store, ledger } = await status();
      return store.problem === undefined && ledger.objects >= 5;
    }, { what: "the edge holds what it missed", timeoutMs: 90_000 });
    const { diskBudget } = await status();
    assert(diskBudget.writtenBytes > 1_200_000, `${diskBudget.writtenBytes} bytes counted`);
    assertEquals([diskBudget.state, diskBudget.limitBytes], ["ok", 500_000_000]);
  },
});
