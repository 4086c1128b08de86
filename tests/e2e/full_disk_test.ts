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
