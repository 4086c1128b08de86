/**
 * A cloud that dies and a standby that takes over on a copy of its data folder, under another
 * address: the node goes on where it was, and only what changed meanwhile travels. Real cloud
 * processes, a real link; what the node stores is in memory.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { enroll } from "../../edge/link/enroll.ts";
import { Link } from "../../edge/link/link.ts";
import { TLS_TRANSPORT } from "../../edge/link/transport.ts";
import { SystemClock } from "../../shared/clock.ts";
import type { Pod } from "../../shared/k8s/types.ts";
import { SystemRandom } from "../../shared/random.ts";
import { MapLedger, MapOutbox } from "../support/link/doubles.ts";
import { type Child, must, startChild } from "../support/process.ts";
import { findPrograms } from "../support/programs.ts";
import { testWith } from "../support/requirements.ts";
import { CloudClient } from "../support/site_clients.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";

const NODE = "edge-1";
const PODS = 30;
const programs = findPrograms();

interface Cloud {
  child: Child;
  client: CloudClient;
}

async function startCloud(dir: string, hubPort: number): Promise<Cloud> {
  const file = join(dir, "addresses.json");
  await Deno.remove(file).catch(() => {}); // of the one that was copied
  const child = await startChild({
    name: "cloud",
    command: programs.cloud,
    args: [
      ["run", "--data-dir", dir, "--hub-listen", `127.0.0.1:${hubPort}`],
      ["--api-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
    ].flat(),
    logDir: dir,
  });
  const addresses = await child.waitForJson(file, 60_000);
  return { child, client: await CloudClient.open(addresses, join(dir, "admin.kubeconfig")) };
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr; // TCP
  listener.close();
  return port;
}

async function apply(client: CloudClient, name: string): Promise<void> {
  const manifest = podManifest(name, { spec: { nodeName: NODE } });
  const response = await client.fetch("/api/v1/namespaces/default/pods", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(manifest),
  });
  assertEquals(response.status, 201, await response.text());
}

async function forceDelete(client: CloudClient, name: string): Promise<void> {
  const path = `${CloudClient.podPath(name)}?gracePeriodSeconds=0`;
  const response = await client.fetch(path, { method: "DELETE" });
  assertEquals(response.status, 200, await response.text());
}

async function uidOf(client: CloudClient, name: string): Promise<string> {
  return (await client.get<Pod>(CloudClient.podPath(name))).metadata.uid ?? "";
}

/** A node joined by its own command, with no container runtime: its link is what counts here. */
async function startEdge(dir: string, hubs: readonly string[], token: string) {
  const dataDir = join(dir, "edge");
  await must(
    programs.edge,
    [
      ["join", "--cloud", hubs.join(), "--token", token, "--node-name", NODE, "--no-systemd"],
      ["--data-dir", dataDir, "--pod-logs-dir", join(dir, "logs")],
      ["--api-listen", "127.0.0.1:0", "--api-tls-listen", "127.0.0.1:0"],
      ["--runtime-endpoint", `unix://${join(dir, "no-runtime.sock")}`],
    ].flat(),
  );
  const args = ["run", "--data-dir", dataDir];
  const child = await startChild({ name: "edge", command: programs.edge, args, logDir: dir });
  const { api } = Object(await child.waitForJson(join(dataDir, "addresses.json"), 60_000));
  return { child, link: async () => Object(await (await fetch(`${api}/v1/status`)).json()).link };
}

function count(ledger: MapLedger, prefix: string): number {
  return [...ledger.items.keys()].filter((key) => key.startsWith(prefix)).length;
}

Deno.test("a standby takes the session over, nothing is sent again", async (t) => {
  const dir = await Deno.makeTempDir({ prefix: "skerry-standby-" });
  const [main, standby] = [join(dir, "main"), join(dir, "standby")];
  const ports = [freePort(), freePort()] as const;
  let stop = new AbortController();
  let done: Promise<void> | undefined;
  let cloud = await startCloud(main, ports[0]);
  try {
    for (let i = 0; i < PODS; i++) await apply(cloud.client, `pod-${i}`);
    const addresses = ports.map((port) => `127.0.0.1:${port}`);
    const words = ["token", "create", "--data-dir", main];
    const token = (await must(programs.cloud, words)).trim();
    const address = addresses[0]!;
    const identity = await enroll(
      { address, token, nodeName: NODE },
      AbortSignal.timeout(20_000),
    );
    const ledger = new MapLedger();
    const link = new Link({
      addresses,
      identity,
      onRenewed: () => Promise.resolve(),
      transport: TLS_TRANSPORT,
      softwareVersion: "test",
      ledger,
      outbox: new MapOutbox(),
      handler: () => Promise.resolve(new Response()),
      clock: new SystemClock(),
      random: new SystemRandom(),
    });
    done = link.run(stop.signal);
    const live = (at: string) =>
      until(() => link.status().state === "live" && link.status().address === at, {
        what: `the link to be live at ${at}`,
        timeoutMs: 60_000,
      });
    const acknowledged = async () => {
      const text = await (await fetch(`http://${cloud.client.listen.admin}/v1/sessions`)).text();
      return text.includes(`"ackedGeneration":${ledger.head.generation}`);
    };
    await live(address);
    // a pod's tokens and its namespace's authority come as soon as its account is there
    const isComplete = () =>
      count(ledger, "pods/") === PODS && count(ledger, "podtokens.") === PODS &&
      ledger.items.has("configmaps/default/kube-root-ca.crt");
    await until(isComplete, { what: "the pods, and what goes with them" });
    await until(acknowledged, { what: "the acknowledgement" });

    await t.step("the main cloud dies; the standby is live and sends nothing", async () => {
      cloud.client.close();
      cloud.child.kill("SIGKILL");
      await cloud.child.stop();
      const before = structuredClone(link.traffic);
      const steps = ledger.steps.length;
      await must("cp", ["-a", main, standby]);
      cloud = await startCloud(standby, ports[1]);
      await live(addresses[1]!);
      await until(acknowledged, { what: "the standby to know what is held" });
      const { desired, control } = link.traffic;
      assertEquals(desired.down.messages - before.desired.down.messages, 0);
      assertEquals(ledger.steps.length, steps);
      // hello and welcome, for as many tries as it took
      const bytes = control.down.bytes - before.control.down.bytes;
      assert(bytes < 300, `${bytes} bytes came down`);
    });

    await t.step("what changes while the node is away arrives once, exactly", async () => {
      stop.abort();
      await done;
      const steps = ledger.steps.length;
      await forceDelete(cloud.client, "pod-1");
      await forceDelete(cloud.client, "pod-2");
      await apply(cloud.client, "pod-2"); // another pod under the old name
      stop = new AbortController();
      done = link.run(stop.signal);
      await live(addresses[1]!);
      const reborn = `pods/default/pod-2 ${await uidOf(cloud.client, "pod-2")}`;
      const news = () => ledger.steps.slice(steps);
      const pods = (keys: string[]) => keys.filter((key) => key.startsWith("pods/"));
      const deletes = () => pods(news().flatMap((step) => step.deletes));
      const upserts = () => pods(news().flatMap((step) => step.upserts));
      await until(() => deletes().length > 0 && upserts().length > 0, { what: "the changes" });
      await until(acknowledged, { what: "the acknowledgement" });
      // beside what travels with a pod, its tokens
      assertEquals(upserts(), [reborn]);
      // a slow machine may come to project the moment in which there was no pod-2
      const [first, ...rest] = deletes().sort();
      assertEquals(first, "pods/default/pod-1");
      assert(rest.length === 0 || rest.join() === "pods/default/pod-2", rest.join());
    });
  } finally {
    stop.abort();
    await done;
    cloud.client.close();
    await cloud.child.stop();
    await Deno.remove(dir, { recursive: true });
  }
});

testWith(["root", "cni"], "a node of two hubs lives at the one that answers", async (t) => {
  const dir = await Deno.makeTempDir({ prefix: "skerry-failover-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const [main, standby] = [join(dir, "main"), join(dir, "standby")];
  const ports = [freePort(), freePort()] as const;
  const hubs = ports.map((port) => `127.0.0.1:${port}`);
  const start = async (dataDir: string, port: number) => {
    const cloud = await startCloud(dataDir, port);
    stack.defer(async () => {
      cloud.client.close();
      await cloud.child.stop();
    });
    return cloud;
  };
  // the first hub is down from the start, also while the node joins
  const cloud = await start(main, ports[1]);
  const token = (await must(programs.cloud, ["token", "create", "--data-dir", main])).trim();
  const edge = await startEdge(dir, hubs, token);
  stack.defer(async () => void await edge.child.stop());
  const liveAt = async (hub: string | undefined) => {
    await until(async () => {
      const { state, address } = await edge.link();
      return state === "live" && address === hub;
    }, { what: `the link to be live at ${hub}`, timeoutMs: 90_000 });
  };

  await t.step("the first is dead: it joins and lives at the second", () => liveAt(hubs[1]));

  await t.step("the second dies, a standby takes over at the first", async () => {
    await until(() => cloud.client.node(NODE), { what: "the node object" });
    cloud.child.kill("SIGKILL");
    await cloud.child.stop();
    await until(async () => (await edge.link()).state !== "live", { what: "the edge to notice" });
    await must("cp", ["-a", main, standby]);
    const next = await start(standby, ports[0]);
    await liveAt(hubs[0]);
    assertEquals((await next.client.node(NODE))?.metadata.name, NODE);
  });
});
