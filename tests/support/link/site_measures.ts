/** What a whole site (cloud, edge, containers) does on its link, measured from outside. */
import { SystemClock } from "../../../shared/clock.ts";
import { AppError } from "../../../shared/errors.ts";
import type { Node } from "../../../shared/k8s/types.ts";
import { BUSYBOX_IMAGE } from "../images.ts";
import type { Site } from "../site.ts";
import { conditionOf } from "../site_clients.ts";
import { until } from "../until.ts";
import { difference, PacketCounter, type Packets } from "./packets.ts";

const clock = new SystemClock();

/** Starts pods that only sleep, and waits until the cloud sees them all run. */
export async function fillWithPods(site: Site, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `pod-${i}` },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [{
          name: "main",
          image: BUSYBOX_IMAGE,
          command: ["sleep", "1000000"],
          resources: { requests: { cpu: "1m", memory: "1Mi" } },
        }],
      },
    };
    const response = await site.cloud.fetch("/api/v1/namespaces/default/pods", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(pod),
    });
    const text = await response.text();
    if (!response.ok) throw new AppError("internal", `Cannot make pod-${i}: ${text}`);
  }
  for (let i = 0; i < count; i++) await site.podRuns(`pod-${i}`, 180_000);
}

/** Traffic on the node's link over `seconds`, with nothing to do. */
export async function idleTraffic(
  site: Site,
  seconds: number,
  signal: AbortSignal,
): Promise<{ up: Packets; down: Packets }> {
  await using counter = await PacketCounter.open(site.relay.port);
  const before = await counter.read();
  await clock.sleep(seconds * 1_000, signal);
  const after = await counter.read();
  return { up: difference(after.up, before.up), down: difference(after.down, before.down) };
}

export interface Comeback {
  /** From the start of the new cloud to its API's first answer. */
  apiMs: number;
  /** ... to the node's session. */
  sessionMs: number;
  /** ... to the node Ready by a report of its own that is newer than the new cloud. */
  readyMs: number;
}

/** Kills the cloud, starts it again at once, and waits for the node's own word. */
export async function restartCloud(site: Site): Promise<Comeback> {
  const former = heardAt(await site.cloud.node(site.nodeName));
  await site.killCloud();
  const startMs = clock.monotonicMs();
  const since = () => clock.monotonicMs() - startMs;
  await site.startCloud();
  const apiMs = since();
  const everyMs = 10;
  await until(async () => {
    const response = await fetch(`http://${site.cloud.listen.admin}/v1/sessions`);
    return (await response.text()).includes(`"${site.nodeName}"`);
  }, { what: "the node's session", timeoutMs: 120_000, everyMs });
  const sessionMs = since();
  await until(async () => {
    const node = await site.cloud.node(site.nodeName);
    return conditionOf(node, "Ready")?.status === "True" && heardAt(node) !== former;
  }, { what: "the node's own report", timeoutMs: 120_000, everyMs });
  return { apiMs, sessionMs, readyMs: since() };
}

/** When the node itself last said how it is; stamps have whole seconds. */
function heardAt(node: Node): string | undefined {
  return conditionOf(node, "Ready")?.lastHeartbeatTime;
}
