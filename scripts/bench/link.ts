/**
 * The link: reports per second and bytes per report beside MQTT QoS 1 through mosquitto in the same
 * run (they take turns, the median counts), and what an idle node with 20 pods costs on the wire.
 * Arguments: [seconds of idling, default 120] [pods, default 20; 0 leaves the idle part out].
 * Needs root (packet counters), mosquitto, and what a whole site needs.
 */
import { AppError } from "../../shared/errors.ts";
import {
  enrollNode,
  linkRate,
  mqttRate,
  type Rate,
  startHub,
  startMosquitto,
} from "../../tests/support/link/throughput.ts";
import { fillWithPods, idleTraffic } from "../../tests/support/link/site_measures.ts";
import { startSite } from "../../tests/support/site.ts";
import { type BenchOptions, type BenchResult, median, type Metric } from "./result.ts";

const ROUNDS = 7;
const MESSAGES = 20_000;
const IDLE_SECONDS = 120;
const PODS = 20;

export async function run(options: BenchOptions): Promise<BenchResult> {
  if (Deno.uid() !== 0) {
    throw new AppError("forbidden", "Cannot count packets: this bench needs root");
  }
  const [seconds = IDLE_SECONDS, pods = PODS] = options.args.map(Number);
  const rates = await throughput(options);
  const idle = pods > 0 ? await idleMetrics(seconds, pods, options.signal) : [];
  return {
    bench: "link",
    metrics: [...rateMetrics(rates), ...idle],
    notes: { rounds: ROUNDS, messages: MESSAGES, idleSeconds: seconds, pods },
  };
}

async function throughput({ workDir, signal }: BenchOptions) {
  const hub = await startHub(workDir);
  try {
    const node = await enrollNode(hub.facts, "bench-1");
    const mosquitto = await startMosquitto(workDir, hub.facts);
    const rates: { link: Rate[]; mqtt: Rate[] } = { link: [], mqtt: [] };
    try {
      for (let round = 0; round < ROUNDS; round++) {
        signal.throwIfAborted();
        rates.link.push(await linkRate(hub.facts, node, MESSAGES));
        rates.mqtt.push(await mqttRate(mosquitto.port, node, MESSAGES));
      }
    } finally {
      await mosquitto.child.stop();
    }
    return rates;
  } finally {
    await hub.child.stop();
  }
}

function rateMetrics({ link, mqtt }: { link: Rate[]; mqtt: Rate[] }): Metric[] {
  const middle = (rates: Rate[], of: keyof Rate) => median(rates.map((rate) => rate[of]));
  return [
    {
      name: "reports, mTLS, acknowledged",
      value: middle(link, "perSecond"),
      unit: "1/s",
      better: "more",
      beside: `MQTT QoS 1, mosquitto ${Math.round(middle(mqtt, "perSecond"))}/s`,
    },
    {
      name: "bytes per report of 0.7 kB, both ways",
      value: middle(link, "bytesPerMessage"),
      unit: "B",
      beside: `MQTT QoS 1, mosquitto ${Math.round(middle(mqtt, "bytesPerMessage"))} B`,
    },
  ];
}

async function idleMetrics(seconds: number, pods: number, signal: AbortSignal): Promise<Metric[]> {
  await using site = await startSite();
  await fillWithPods(site, pods);
  const { up, down } = await idleTraffic(site, seconds, signal);
  const perSecond = (bytes: number) => bytes / seconds;
  return [
    {
      name: `idle link, ${pods} pods, both ways, IP headers counted`,
      value: perSecond(up.bytes + down.bytes),
      unit: "B/s",
      goal: 60,
      beside: "KubeEdge 289 B/s",
    },
    { name: "idle link, up", value: perSecond(up.bytes), unit: "B/s" },
    { name: "idle link, down", value: perSecond(down.bytes), unit: "B/s" },
    {
      name: "idle link, packets both ways",
      value: perSecond(up.packets + down.packets),
      unit: "1/s",
    },
  ];
}
