import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Diff } from "../../edge/api/site/diff.ts";
import type { Intent } from "../../edge/intents/port.ts";
import { findKubectls, KubectlClient } from "../support/kubectl.ts";
import { must, run } from "../support/process.ts";
import { identityOf } from "../support/site_clients.ts";
import type { Site } from "../support/site.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

async function edge(site: Site, ...args: string[]): Promise<string> {
  return await must(site.programs.edge, [...args, "--data-dir", site.edgeDir]);
}

/** Runs until the pod here has another container than `before`, and it is ready. */
async function restarted(site: Site, name: string, before: { id: string }): Promise<void> {
  await until(async () => {
    const pod = await site.edge.pod(name);
    const ready = pod.status?.containerStatuses?.[0]?.ready === true;
    return ready && identityOf(pod).id !== before.id;
  }, { what: `pod ${name} with another container`, timeoutMs: 20_000 });
}

async function intentIs(site: Site, id: string, state: Intent["state"]): Promise<Intent> {
  return await until(async () => {
    const intent = await site.edge.get<Intent>(`/v1/intents/${id}`);
    return intent.state === state && intent;
  }, { what: `intent ${id} to be ${state}`, timeoutMs: 60_000 });
}

async function lastIntent(site: Site): Promise<Intent> {
  const { items } = await site.edge.get<{ items: Intent[] }>("/v1/intents");
  return items.at(-1)!;
}

async function cutLink(site: Site): Promise<void> {
  await site.relay.cut();
  await until(async () => await site.edge.linkState() !== "live", { what: "the cut noticed" });
}

async function healLink(site: Site): Promise<void> {
  site.relay.heal();
  await until(async () => await site.edge.linkState() === "live", {
    what: "the link to be live",
    timeoutMs: 60_000,
  });
}

siteTest("people at the site act through the local API, cut off and live", async ({ site, t }) => {
  for (const name of ["lamp", "fan", "pump"]) await site.kubectl.apply(podManifest(name));
  for (const name of ["lamp", "fan", "pump"]) await site.podRuns(name);

  await t.step("plain kubectl reads and restarts over TLS, oldest and newest", async () => {
    const file = `${site.dir}/site.kubeconfig`;
    await Deno.writeTextFile(file, await edge(site, "kubeconfig"), { mode: 0o600 });
    const found = await findKubectls();
    for (const kubectl of new Set([found[0]!, found.at(-1)!])) {
      const client = new KubectlClient(kubectl, file, `${site.dir}/cache-${kubectl.minor}`);
      assertMatch(await client.must(["get", "pods"]), /lamp\s+1\/1\s+Running/);
      assertMatch(await client.must(["describe", "pod", "lamp"]), /Name:\s+lamp[\s\S]*Started/);
      assertMatch(await client.must(["describe", "node", "edge-1"]), /Ready\s+True/);
      assertStringIncludes(await client.must(["logs", "lamp"]), "tick");
      const before = identityOf(await site.edge.pod("lamp"));
      const said = await client.must(["delete", "pod", "lamp"], { timeoutMs: 30_000 });
      assertStringIncludes(said, `pod "lamp" deleted`);
      await restarted(site, "lamp", before);
    }
    const plain = await run(found.at(-1)!.path, [
      ...["--server", site.edge.url, "delete", "pod", "lamp"],
    ], { env: { KUBECONFIG: "/dev/null" } });
    assertEquals(plain.code, 1);
  });

  await t.step("the cloud has the same pod, and hears of the restarts", async () => {
    const { id } = await lastIntent(site);
    await intentIs(site, id, "merged");
    const reasons = (await site.cloud.events("edge-1")).map((event) => event.reason);
    assertEquals(reasons.includes("SiteRestart"), true);
    const { uid } = (await site.cloud.pod("lamp")).metadata;
    assertEquals(uid, (await site.edge.pod("lamp")).metadata.uid);
  });

  await t.step("diagnose finds nothing wrong on either side", async () => {
    for (
      const [program, dir] of [
        [site.programs.edge, site.edgeDir],
        [site.programs.cloud, site.cloudDir],
      ] as const
    ) {
      const { code, stdout } = await run(program, ["diagnose", "--data-dir", dir]);
      assertEquals(code, 0, stdout);
    }
  });

  await t.step("a restart survives an agent killed in between, and happens once", async () => {
    await cutLink(site);
    const before = identityOf(await site.edge.pod("lamp"));
    await edge(site, "restart", "pod", "lamp", "--no-wait");
    await site.killEdge();
    await site.startEdge();
    await restarted(site, "lamp", before);
    const after = identityOf(await site.edge.pod("lamp"));
    assertEquals(after.restarts, before.restarts + 1);
  });

  await t.step("cut off, diagnose says so", async () => {
    const { code, stdout } = await run(site.programs.edge, [
      ...["diagnose", "--data-dir", site.edgeDir],
    ]);
    assertEquals(code, 1);
    assertMatch(stdout, /WRONG link +(backoff|dialing)/);
    assertMatch(stdout, /ok +runtime/);
  });

  await t.step("cut off, a deleted pod stays stopped; diff tells what would change", async () => {
    for (const name of ["fan", "pump"]) await edge(site, "delete", "pod", name);
    const diff = await site.edge.get<Diff>("/v1/diff");
    const removed = diff.intents.flatMap((i) => i.verb === "remove" ? [i.pod.name] : []);
    assertEquals(removed, ["fan", "pump"]);
    const text = await edge(site, "diff");
    assertMatch(text, /remove pod default\/fan: applied, by /);
    assertMatch(text, /Would be reported: \d+/);
    assertMatch(await edge(site, "why", "pod", "fan"), /removed at the site by /);
    assertMatch(await edge(site, "describe", "pod", "fan"), /waiting: RemovedAtSite/);
    await site.killEdge();
    await site.startEdge();
    const tasks = await site.containerd.tasks();
    assertEquals(tasks.size, 2); // lamp and its sandbox
  });

  await t.step(
    "at reconnect the cloud deletes what it held unchanged, no more",
    async () => {
      const toleration = { key: "site", operator: "Exists", effect: "NoSchedule" };
      const { spec } = await site.cloud.pod("pump");
      const tolerations = [...spec.tolerations ?? [], toleration];
      const patch = JSON.stringify({ spec: { tolerations } });
      await site.kubectl.must(["patch", "pod", "pump", "--type=merge", "-p", patch]);
      const { items } = await site.edge.get<{ items: Intent[] }>("/v1/intents");
      const [fan, pump] = items.filter((i) => i.verb === "remove");
      await healLink(site);
      await intentIs(site, fan!.id, "merged");
      await site.podGone("fan");
      const { reason } = await intentIs(site, pump!.id, "conflict");
      assertStringIncludes(reason ?? "", "changed");
      const before = { id: "" };
      await restarted(site, "pump", before);
      await site.podRuns("pump");
      for (const name of ["pump", "edge-1"]) {
        const reasons = (await site.cloud.events(name)).map((event) => event.reason);
        assertEquals(reasons.includes("SiteEditConflict"), true, `events of ${name}: ${reasons}`);
      }
      assertStringIncludes(
        (await site.cloud.pod("pump")).metadata.annotations?.["skerry.dev/conflict"] ?? "",
        pump!.id,
      );
    },
  );
});
