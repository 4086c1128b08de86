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
    await until(() => ledger.items.has(`pods/default/pod-${PODS - 1}`), { what: "the pods" });
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
      await until(() => !ledger.items.has("pods/default/pod-1"), { what: "the deletion" });
      await until(acknowledged, { what: "the acknowledgement" });
      const news = ledger.steps.slice(steps);
      // beside what travels with a pod, its tokens
      const pods = (keys: string[]) => keys.filter((key) => key.startsWith("pods/"));
      assertEquals(pods(news.flatMap((step) => step.deletes)), ["pods/default/pod-1"]);
      assertEquals(pods(news.flatMap((step) => step.upserts)), [
        `pods/default/pod-2 ${await uidOf(cloud.client, "pod-2")}`,
      ]);
    });
  } finally {
    stop.abort();
    await done;
    cloud.client.close();
    await cloud.child.stop();
    await Deno.remove(dir, { recursive: true });
  }
});
