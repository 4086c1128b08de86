/** A machine that goes down, as logind tells it: pods end in order, and run again afterwards. */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { conditionOf } from "../support/site_clients.ts";
import { StandInLogind } from "../support/logind.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

siteTest("a shutdown waits for the pods, the critical ones last", async ({ site, t }) => {
  await using logind = await StandInLogind.start();
  const dir = join(site.dir, "order");
  await Deno.mkdir(dir);
  const log = join(dir, "log");
  const pod = (name: string, priority: object) =>
    podManifest(name, {
      script: `echo ${name} up >> /host/log; ` +
        `trap 'sleep 0.5; echo ${name} down >> /host/log; exit 0' TERM; ` +
        "while :; do sleep 0.1 & wait $!; done",
      container: { volumeMounts: [{ name: "host", mountPath: "/host" }] },
      spec: {
        terminationGracePeriodSeconds: 30,
        volumes: [{ name: "host", hostPath: { path: dir } }],
        ...priority,
      },
    });

  await t.step("the edge holds the shutdown back as long as it is not asked for", async () => {
    await site.edgeProcess.stop();
    const file = join(site.edgeDir, "edge.yaml");
    const config = (await Deno.readTextFile(file))
      .replace(/gracePeriod: .*/, "gracePeriod: 20s")
      .replace(/gracePeriodCriticalPods: .*/, "gracePeriodCriticalPods: 8s");
    await Deno.writeTextFile(file, config);
    site.edgeEnv = logind.env;
    await site.startEdge();
    await until(() => logind.locks() === 1, { what: "a lock", timeoutMs: 30_000 });
  });

  await t.step("ordinary pods end, then critical ones, then the lock is let go", async () => {
    await site.kubectl.apply(pod("critical", { priorityClassName: "system-node-critical" }));
    await site.kubectl.apply(pod("ordinary", {}));
    for (const name of ["critical", "ordinary"]) await site.podRuns(name);
    await logind.prepareForShutdown(true);
    await until(() => logind.locks() === 0, { what: "the lock let go", timeoutMs: 30_000 });
    const lines = (await Deno.readTextFile(log)).trimEnd().split("\n");
    assertEquals(lines.slice(2), ["ordinary down", "critical down"]);
    const node = await site.nodeIs("False");
    assertMatch(conditionOf(node, "Ready")?.message ?? "", /shutting down/);
  });

  await t.step("a shutdown that is called off: they run again, and the lock is held", async () => {
    await logind.prepareForShutdown(false);
    await until(() => logind.locks() === 1, { what: "a lock again", timeoutMs: 30_000 });
    await until(async () => (await Deno.readTextFile(log)).match(/ up$/gm)?.length === 4, {
      what: "both pods to run again",
      timeoutMs: 60_000,
    });
    await site.nodeIs("True");
  });
}, { parts: ["dbus-daemon"] });
