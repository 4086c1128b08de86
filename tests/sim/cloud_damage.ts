/**
 * The last trial of a run: bits flip on the cloud's disk while it is off. What may have been lost
 * is not deleted (ADR 0011): no node may lose a pod by it, nor restart a container, whatever the
 * cloud still knows; and the cloud must come up and say what it found.
 */
import { LABEL } from "../../edge/pods/marks.ts";
import type { SeededRandom } from "../../shared/random.ts";
import type { SimEdge } from "./sim_edge.ts";
import type { World } from "./world.ts";

const TRIALS = 3;
const OFF_MS = 10_000;
const WATCH_MS = 5 * 60_000;

export async function damageCloud(world: World, random: SeededRandom): Promise<void> {
  const { cloud, edges, time, trace } = world;
  cloud.isDamaged = true;
  for (let i = 0; i < TRIALS; i++) {
    const before = edges.map(lookAt);
    cloud.kill();
    flip(world, random);
    await time.advance(OFF_MS);
    void cloud.start();
    const serves = await time.until(() => cloud.kube !== undefined, WATCH_MS);
    if (!serves) return trace.violate("a damaged cloud comes up", `trial ${i + 1}`);
    const { recovery } = cloud.cloud!.store; // it serves
    const isTold = recovery.damage.length > 0 || recovery.tornBytes > 0;
    trace.count(isTold ? "cloud damage reported" : "flipped bits that changed nothing");
    if (recovery.lostCommits) trace.count("cloud came up with less than it had");
    await time.advance(WATCH_MS);
    for (const [n, edge] of edges.entries()) compare(world, edge, before[n]!); // as many
  }
}

interface Seen {
  pods: ReadonlySet<string>;
  /** Of the containers that run, by id: the pod's uid. */
  running: ReadonlyMap<string, string>;
}

function lookAt({ edge, world }: SimEdge): Seen {
  const pods = edge?.memory.ledger.list("pods") ?? [];
  const lasting = [...world.containers.values()].filter(({ state, config }) =>
    state.kind === "running" && (config.command ?? []).join(" ").endsWith("sleep infinity")
  );
  return {
    pods: new Set(pods.map(({ metadata }) => metadata.uid ?? "")),
    running: new Map(lasting.map(({ id, config }) => [id, config.labels[LABEL.podUid] ?? ""])),
  };
}

function compare({ trace }: World, machine: SimEdge, before: Seen): void {
  const after = lookAt(machine);
  for (const uid of before.pods) {
    if (after.pods.has(uid)) continue;
    trace.violate("what may have been lost is not deleted", `${machine.name} lost pod ${uid}`);
  }
  for (const [id, uid] of before.running) {
    if (after.running.has(id)) continue;
    const detail = `${machine.name}: container ${id.slice(0, 8)} of ${uid} ended`;
    trace.violate("damage stops no container", detail);
  }
}

function flip({ cloud: { disk }, trace }: World, random: SeededRandom): void {
  const files = disk.files().filter((file) => !file.endsWith("/lock"));
  const file = files[Math.floor(random.float() * files.length)];
  if (!file || disk.size(file) === 0) return;
  disk.flipBit(file, Math.floor(random.float() * 8 * disk.size(file)));
  trace.count("fault: cloud bit flipped");
  trace.add("fault", `cloud bit flipped ${file}`);
}
