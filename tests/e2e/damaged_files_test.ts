/**
 * Each file of a data folder is damaged in turn while its program is down, as a worn flash does it.
 * What can heal heals, without a cloud; what cannot is named; no container is touched by any of it.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { run } from "../support/process.ts";
import type { Site } from "../support/site.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

type Way = "empty" | "flipped" | "cut" | "gone";

/** Says nothing about the node, and holds again after the start. */
const HEAL: readonly [file: string, ...ways: Way[]][] = [
  ["addresses.json", "cut"],
  ["api-token", "empty", "cut"],
  ["edge.yaml", "empty", "gone"],
  ["config.last-good.yaml", "flipped"],
  ["store.key", "flipped", "gone"],
  ["pki/local-ca.crt", "flipped"],
  ["pki/local-ca.key", "empty"],
  ["pki/local-server.crt", "gone"],
  ["pki/local-server.key", "cut"],
  ["store/bulk.sqlite", "cut"],
  ["store/lock", "gone"],
];

/** The link waits for these, and says which. */
const NAMED: readonly [file: string, way: Way][] = [
  ["pki/ca.crt", "flipped"],
  ["pki/node.crt", "gone"],
  ["pki/node.key", "empty"],
];

const CLOUD_NAMED: readonly [file: string, way: Way][] = [
  ["pki/ca.crt", "cut"],
  ["pki/ca.key", "empty"],
  ["pki/service-account.key", "flipped"],
];

/** Damages a file; what this returns puts it back. */
async function damage(path: string, way: Way): Promise<() => Promise<void>> {
  const { mode } = await Deno.stat(path);
  const whole = await Deno.readFile(path);
  const half = whole.length >> 1;
  if (way === "gone") await Deno.remove(path);
  if (way === "empty") await Deno.truncate(path);
  if (way === "cut") await Deno.truncate(path, half);
  if (way === "flipped") await Deno.writeFile(path, whole.map((b, i) => i === half ? b ^ 0x15 : b));
  return () => Deno.writeFile(path, whole, { mode: (mode ?? 0o600) & 0o777 });
}

const isLive = (site: Site) =>
  until(async () => await site.edge.linkState() === "live", {
    what: "the link to be live",
    timeoutMs: 90_000,
  });

async function tasks(site: Site): Promise<string> {
  return [...await site.containerd.tasks()].map(String).sort().join();
}

/** An act over TLS with the token, as a person with `skerry-edge kubeconfig` makes it. */
async function mayAct(site: Site): Promise<void> {
  const addresses = JSON.parse(await Deno.readTextFile(join(site.edgeDir, "addresses.json")));
  const caCerts = [await Deno.readTextFile(join(site.edgeDir, "pki/local-ca.crt"))];
  const token = (await Deno.readTextFile(join(site.edgeDir, "api-token"))).trim();
  using client = Deno.createHttpClient({ caCerts });
  const path = "/api/v1/namespaces/default/pods/nobody";
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(addresses.apiTls + path, { method: "DELETE", headers, client });
  await response.body?.cancel();
  assertEquals(response.status, 404); // known and admitted: there is no such pod
}

siteTest("files of the edge that are damaged heal or are named; pods run on", async (context) => {
  const { site, t } = context;
  await site.kubectl.apply(podManifest("one"));
  await site.podRuns("one");
  const before = await tasks(site);
  const cases = HEAL.flatMap(([file, ...ways]) => ways.map((way) => [file, way] as const));
  for (const [file, way] of cases) {
    await t.step(`${file} ${way}: it heals, cut off`, async () => {
      await site.relay.cut();
      await site.killEdge();
      const putBack = await damage(join(site.edgeDir, file), way);
      await site.startEdge();
      await until(async () => (await site.edge.pod("one")).status?.phase === "Running", {
        what: "the pod",
      });
      await mayAct(site);
      const wrong = (await site.edge.text("/readyz?verbose")).match(/^\[-\].*/gm) ?? [];
      if (file === "edge.yaml") assertMatch(wrong.join(), /^\[-\]config failed: .*edge\.yaml/);
      else assertEquals(wrong, []);
      assertEquals(await tasks(site), before);
      site.relay.heal();
      await isLive(site);
      if (file === "edge.yaml") await putBack(); // nothing can make it anew
    });
  }
  for (const [file, way] of NAMED) {
    await t.step(`${file} ${way}: it is named, and taken once it is put back`, async () => {
      await site.killEdge();
      const putBack = await damage(join(site.edgeDir, file), way);
      await site.startEdge();
      await until(async () => (await site.edge.text("/v1/status")).includes(file), {
        what: `${file} in the status`,
      });
      await mayAct(site);
      assertEquals(await tasks(site), before);
      await putBack();
      if (file !== NAMED[0]![0]) {
        await site.killEdge();
        await site.startEdge();
      }
      await isLive(site);
    });
  }
});

siteTest("files of the cloud that are damaged are named; its token heals", async ({ site, t }) => {
  for (const [file, way] of CLOUD_NAMED) {
    await t.step(`${file} ${way}: it does not start, and says why in a line`, async () => {
      await site.killCloud();
      const putBack = await damage(join(site.cloudDir, file), way);
      const words = ["run", "--data-dir", site.cloudDir];
      for (const name of ["api", "hub", "admin"]) words.push(`--${name}-listen`, "127.0.0.1:0");
      const { code, stderr } = await run(site.programs.cloud, words);
      assertEquals(code, 1);
      assertMatch(stderr, new RegExp(`^skerry-cloud: Cannot read ${site.cloudDir}/${file}: .*\n$`));
      await putBack();
      await site.startCloud();
    });
  }

  await t.step("admin token empty: another is made, and the kubeconfig holds it", async () => {
    await site.killCloud();
    await damage(join(site.cloudDir, "pki/admin-token"), "empty");
    await site.startCloud();
    await site.nodeIs("True");
    assertMatch(await site.kubectl.must(["get", "node", site.nodeName]), /Ready/);
  });

  await t.step("record of the node cut: it is out until it joins again", async () => {
    await site.killCloud();
    await damage(join(site.cloudDir, "nodes", `${site.nodeName}.json`), "cut");
    await site.startCloud();
    await until(async () => (await site.edge.text("/v1/status")).includes("must join again"), {
      what: "the edge to say so",
      timeoutMs: 90_000,
    });
    await site.killEdge();
    const joined = await site.join([...site.joinArgs(await site.createToken()), "--force"]);
    assertEquals(joined.code, 0, joined.stderr);
    await site.startEdge();
    await isLive(site);
    await site.nodeIs("True");
  });
});
