/** Each fault gives one clear error that names the thing, and nothing else stops. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { SystemClock } from "../../shared/clock.ts";
import { run, type RunResult } from "../support/process.ts";
import { conditionOf, identityOf } from "../support/site_clients.ts";
import { until } from "../support/until.ts";
import { flipBytes } from "../support/damage.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

/** The one line a refused join ends with; whatever was said before is progress. */
function refusal({ code, stderr }: RunResult): string {
  assertEquals(code, 1, stderr);
  const lines = stderr.trimEnd().split("\n").filter((line) => line.startsWith("skerry-edge: "));
  assertEquals(lines.length, 1, stderr);
  return lines[0] ?? "";
}

siteTest("manifests and tokens that are wrong are refused by name", async ({ site, t }) => {
  await site.kubectl.apply(podManifest("bystander"));
  const bystander = identityOf(await site.podRuns("bystander"));

  const good = podManifest("faulty").spec;
  const [main] = good.containers;
  const cases: [string, object, RegExp][] = [
    ["an unknown field", { ...good, contaners: [] }, /unknown field "spec\.contaners"/],
    [
      "a wrong type",
      { ...good, terminationGracePeriodSeconds: "soon" },
      /terminationGracePeriodSeconds/,
    ],
    [
      "an impossible quantity",
      { ...good, containers: [{ ...main, resources: { requests: { cpu: "lots" } } }] },
      /resources\.requests\[cpu\]: quantities must match/,
    ],
    [
      "a request above its limit",
      {
        ...good,
        containers: [{ ...main, resources: { requests: { cpu: "2" }, limits: { cpu: "1" } } }],
      },
      /spec\.containers\[0\]\.resources\.requests: Invalid value: "2"/,
    ],
    ["no container", { ...good, containers: [] }, /spec\.containers: Required value/],
    [
      "a volume nobody has",
      { ...good, containers: [{ ...main, volumeMounts: [{ name: "v", mountPath: "/v" }] }] },
      /volumeMounts\[0\]\.name: Not found: "v"/,
    ],
  ];
  for (const [what, spec, message] of cases) {
    await t.step(`a manifest with ${what}`, async () => {
      const manifest = { ...podManifest("faulty"), spec };
      const stdin = JSON.stringify(manifest);
      const { code, stdout, stderr } = await site.kubectl.run(["apply", "-f", "-"], { stdin });
      assertEquals([code, stdout], [1, ""]);
      assertMatch(stderr, message);
      assertEquals(stderr.trim().split("\n").length, 1, stderr);
      assertEquals(await site.cloud.find("/api/v1/namespaces/default/pods/faulty"), undefined);
    });
  }

  const folder = join(site.dir, "intruder");
  const joinWith = async (token: string) => refusal(await site.join(site.joinArgs(token, folder)));
  await t.step("a token that is none, is unknown, or is another node's", async () => {
    assertMatch(await joinWith("nonsense"), /Malformed join token/);
    const token = await site.createToken();
    const changed = token.slice(0, -4) + (token.endsWith("AAAA") ? "BBBB" : "AAAA");
    assertMatch(await joinWith(changed), /Unknown join token/);
    const bound = await site.createToken("--node", "other");
    assertMatch(await joinWith(bound), /bound to node other, not edge-1/);
    const [version, , ...rest] = token.split(".");
    const foreign = [version, "A".repeat(43), ...rest].join(".");
    assertMatch(await joinWith(foreign), /certificate authority is not the one the token names/);
  });

  await t.step("a token that was used", async () => {
    const token = await site.createToken();
    const args = site.joinArgs(token, join(site.dir, "second"));
    const named = args.map((word) => word === site.nodeName ? "edge-2" : word);
    assertEquals((await site.join(named)).code, 0);
    assertMatch(await joinWith(token), /was already used/);
  });

  await t.step("a token that ran out", async () => {
    const made = JSON.parse(await site.createToken("--ttl", "1s", "-o", "json"));
    const clock = new SystemClock();
    await until(() => clock.nowMs() > Date.parse(made.expiresAt) + 1_000, { what: "its end" });
    assertMatch(await joinWith(made.token), /expired at 20/);
  });

  await t.step("a refused join leaves nothing behind, and nothing else stopped", async () => {
    const left = await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
    assertEquals(left.map(({ name }) => name), []);
    assertEquals(identityOf(await site.cloud.pod("bystander")), bystander);
    assertEquals(await site.edge.linkState(), "live");
  });
});

siteTest("a runtime that is not there is said, and used once it is", async ({ site, t }) => {
  await t.step("readyz, the node's condition and the log name the socket", async () => {
    await until(async () => {
      const answer = await site.edge.fetch("/readyz");
      return /\[-\]runtime.*\/runtime\.sock/.test(await answer.text()) && answer.status === 503;
    }, { what: "readyz naming the socket" });
    const node = await site.nodeIs("False");
    assertStringIncludes(conditionOf(node, "Ready")?.message ?? "", "runtime.sock");
    const lines = (await Deno.readTextFile(site.edgeProcess.logFile)).split("\n")
      .filter((line) => line.includes("runtime.sock"));
    assertEquals(lines.length, 1, lines.join("\n"));
  });

  await t.step("a pod waits meanwhile, and the edge answers", async () => {
    await site.kubectl.apply(podManifest("patient"));
    await site.podIs("patient", "at the edge", () => true);
    assertEquals(await site.edge.text("/healthz"), "ok");
    const { status } = await site.cloud.pod("patient");
    assertEquals(status?.phase, "Pending");
  });

  await t.step("the socket appears", async () => {
    await site.startContainerd();
    await Deno.symlink(site.containerd.socket, join(site.dir, "runtime.sock"));
    await site.nodeIs("True");
    await site.podRuns("patient");
    assertEquals(await (await site.edge.fetch("/readyz")).text(), "ok");
  });

  await t.step("the runtime dies and comes back; containers go on", async () => {
    const before = identityOf(await site.cloud.pod("patient"));
    await site.containerd.crash();
    await site.nodeIs("False");
    await site.containerd.start();
    await site.nodeIs("True");
    assertEquals(identityOf(await site.cloud.pod("patient")), before);
  });
}, { runtimeEndpoint: (dir) => `unix://${dir}/runtime.sock` });

siteTest("a damaged store is reported and costs no container", async ({ site, t }) => {
  await site.kubectl.apply(podManifest("survivor"));
  const before = identityOf(await site.podRuns("survivor"));
  const tasks = await site.containerd.tasks();

  await t.step("flipped bytes: the edge starts and says so, cut off as it is", async () => {
    await site.relay.cut();
    await site.killEdge();
    const damaged = await flipBytes(join(site.edgeDir, "store"));
    assert(damaged.length > 0);
    await site.startEdge();
    const status = await site.edge.get<{ store: { damage: string[] } }>("/v1/status");
    assertMatch(status.store.damage.join(), /in (journal|snapshot)-/);
    const log = await Deno.readTextFile(site.edgeProcess.logFile);
    assertMatch(log, /\[warning\].*(journal|snapshot)-/);
    assertEquals(await site.containerd.tasks(), tasks);
  });

  await t.step("link up again: what was lost is sent anew, the container is the same", async () => {
    site.relay.heal();
    await until(async () => await site.edge.linkState() === "live", {
      what: "the link to be live",
      timeoutMs: 60_000,
    });
    const pod = await until(async () => {
      const local = await site.edge.fetch("/api/v1/namespaces/default/pods/survivor");
      const text = await local.text();
      return local.ok && identityOf(JSON.parse(text)).startedAt !== "" && JSON.parse(text);
    }, { what: "the pod at the edge" });
    assertEquals(identityOf(pod), before);
    assertEquals(await site.containerd.tasks(), tasks);
    await site.kubectl.apply(podManifest("next"));
    await site.podRuns("next");
    assertEquals(identityOf(await site.cloud.pod("survivor")), before);
  });
});

siteTest("a config that cannot be used is refused by path, or the last good one serves", async ({
  site,
  t,
}) => {
  await site.kubectl.apply(podManifest("steady"));
  const before = identityOf(await site.podRuns("steady"));
  const file = join(site.edgeDir, "edge.yaml");
  const text = await Deno.readTextFile(file);
  const broken = text.replace("runtime:\n", "runtime:\n  colour: red\n");

  await t.step("never run with a good one: exit 1 and one line with the path", async () => {
    const folder = join(site.dir, "fresh");
    await Deno.mkdir(folder);
    await Deno.writeTextFile(join(folder, "edge.yaml"), broken);
    const result = await run(site.programs.edge, ["run", "--data-dir", folder]);
    assertMatch(refusal(result), /runtime\.colour/);
    assertStringIncludes(result.stderr, join(folder, "edge.yaml"));
  });

  await t.step("after a good one: the last good config serves, and readyz says so", async () => {
    await site.killEdge();
    await Deno.writeTextFile(file, broken);
    await site.startEdge();
    await until(async () => (await site.edge.text("/readyz?verbose")).includes("runtime.colour"), {
      what: "readyz naming the key",
    });
    const status = await site.edge.get<{ config: { ok: boolean } }>("/v1/status");
    assertEquals(status.config.ok, false);
    await until(async () => await site.edge.linkState() === "live", { what: "the link" });
    assertEquals(identityOf(await site.edge.pod("steady")), before);
  });

  await t.step("mended: ready again", async () => {
    await site.killEdge();
    await Deno.writeTextFile(file, text);
    await site.startEdge();
    await until(async () => await site.edge.text("/readyz") === "ok", { what: "readyz" });
    await site.nodeIs("True");
    assertEquals(identityOf(await site.cloud.pod("steady")), before);
  });
});
