/** What connected nodes cost a cloud in memory: a real cloud, and a process full of real links. */
import { fromFileUrl, join } from "@std/path";
import { memoryOf } from "../../../scripts/bench/memory.ts";
import { SystemClock } from "../../../shared/clock.ts";
import { must, startChild } from "../process.ts";
import { findPrograms } from "../programs.ts";
import { until } from "../until.ts";

const CONFIG = fromFileUrl(new URL("../../../deno.json", import.meta.url));
const FLEET_PROGRAM = fromFileUrl(new URL("./fleet_program.ts", import.meta.url));
/** Long enough for what enrolment left behind to be collected. */
const SETTLE_MS = 30_000;

export interface FleetMemory {
  emptyMb: number;
  fullMb: number;
}

/** PSS of a fresh cloud, and of the same one with `nodes` live sessions. */
export async function fleetMemory(
  workDir: string,
  nodes: number,
  signal: AbortSignal,
): Promise<FleetMemory> {
  const clock = new SystemClock();
  const programs = findPrograms();
  const dataDir = join(workDir, "cloud");
  const listen = ["api", "hub", "admin"].flatMap((name) => [`--${name}-listen`, "127.0.0.1:0"]);
  const cloud = await startChild({
    name: "cloud",
    command: programs.cloud,
    args: ["run", "--data-dir", dataDir, ...listen],
    logDir: workDir,
  });
  try {
    const addresses = Object(await cloud.waitForJson(join(dataDir, "addresses.json"), 60_000));
    const words = ["token", "create", "--data-dir", dataDir, "--uses", String(nodes)];
    const token = (await must(programs.cloud, words)).trim();
    await clock.sleep(SETTLE_MS / 2, signal);
    const emptyMb = (await memoryOf(cloud.pid)).pssMb;
    const liveFile = join(workDir, "fleet.json");
    const fleet = await startChild({
      name: "fleet",
      command: Deno.execPath(),
      args: ["run", "--quiet", "--frozen", "--config", CONFIG, "-A", FLEET_PROGRAM].concat(
        [String(addresses.hub), token, String(nodes), liveFile],
      ),
      logDir: workDir,
    });
    try {
      await fleet.waitForJson(liveFile, 600_000);
      await clock.sleep(SETTLE_MS, signal);
      await until(async () => {
        const admin = String(addresses.admin);
        const sessions = await (await fetch(`${admin}/v1/sessions`)).json();
        return Object(sessions).items.length === nodes;
      }, { what: `${nodes} sessions` });
      return { emptyMb, fullMb: (await memoryOf(cloud.pid)).pssMb };
    } finally {
      await fleet.stop();
    }
  } finally {
    await cloud.stop();
  }
}
