/**
 * Many nodes in one process, for measuring a cloud: each enrols, keeps a real link and reports its
 * node object; the store behind each is memory. Arguments: hub HOST:PORT, join token, how many, and
 * the file that is written when all are live.
 */
import { enroll } from "../../../edge/link/enroll.ts";
import { Link } from "../../../edge/link/link.ts";
import { TLS_TRANSPORT } from "../../../edge/link/transport.ts";
import { SystemClock, toTime } from "../../../shared/clock.ts";
import { SystemRandom } from "../../../shared/random.ts";
import type { Report } from "../../../shared/wire/report.ts";
import { MapLedger, MapOutbox } from "./doubles.ts";

/** Below what the hub takes at once. */
const AT_ONCE = 8;

const clock = new SystemClock();
const random = new SystemRandom();

function nodeReport(name: string): Report {
  const at = toTime(clock.nowMs());
  const condition = (type: string, status: "True" | "False") => ({
    type,
    status,
    reason: "KubeletReady",
    message: "the agent is posting ready status",
    lastHeartbeatTime: at,
    lastTransitionTime: at,
  });
  const labels = { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" };
  return {
    kind: "node",
    node: {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels, annotations: { "skerry.dev/agent": "edge" } },
      status: {
        capacity: { cpu: "4", memory: "4Gi", pods: "110" },
        allocatable: { cpu: "4", memory: "4Gi", pods: "110" },
        conditions: [
          condition("Ready", "True"),
          ...["MemoryPressure", "DiskPressure", "PIDPressure"].map((t) => condition(t, "False")),
        ],
        addresses: [{ type: "InternalIP", address: "10.0.0.1" }],
      },
    },
  };
}

async function join(address: string, token: string, nodeName: string): Promise<Link> {
  const identity = await enroll({ address, token, nodeName }, AbortSignal.timeout(60_000));
  const outbox = new MapOutbox();
  outbox.put("control", "node", nodeReport(nodeName));
  return new Link({
    addresses: [address],
    identity,
    onRenewed: () => Promise.resolve(),
    transport: TLS_TRANSPORT,
    softwareVersion: "bench",
    ledger: new MapLedger(),
    outbox,
    handler: () => Promise.resolve(new Response()),
    clock,
    random,
  });
}

function whenLive(link: Link): Promise<void> {
  return new Promise((resolve) => {
    link.changes.subscribe(() => link.status().state === "live" && resolve());
  });
}

if (import.meta.main) {
  const [address = "", token = "", count = "1", file = ""] = Deno.args;
  const signal = new AbortController().signal;
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < Number(count); i = next++) {
      const link = await join(address, token, `fleet-${i}`);
      const live = whenLive(link);
      void link.run(signal); // ends with the process
      await live;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await Deno.writeTextFile(file, JSON.stringify({ live: Number(count) }));
}
