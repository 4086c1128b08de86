/**
 * A simulated world: one cloud, some edges, the network between them, and one time for all. The
 * apps are the real ones; only machines are simulated. Everything in it follows from the seed.
 */
import { loadSqlite } from "../../shared/store/sqlite_wasm.ts";
import type { SessionRequest } from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { SeededRandom } from "../../shared/random.ts";
import { VirtualTime } from "../../shared/testing/virtual_time.ts";
import { replaceAmbient } from "./ambient.ts";
import { MemoryFiles } from "./memory_files.ts";
import { SimCloud } from "./sim_cloud.ts";
import { FILES_ROOT, SimEdge } from "./sim_edge.ts";
import { type Direction, SimNetwork } from "./sim_link.ts";
import { StaleTwins } from "./stale_twin.ts";
import { Trace } from "./trace.ts";
import type { WorldParts } from "./world_parts.ts";

/** Enough for every farewell and back-off of a program that was told to stop. */
const STOP_MS = 600_000;

export interface WorldOptions {
  seed: number;
  nodes: number;
}

export class World implements AsyncDisposable {
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly random: SeededRandom;
  readonly files: MemoryFiles;
  readonly network: SimNetwork;
  readonly cloud: SimCloud;
  readonly edges: SimEdge[];
  readonly twins = new StaleTwins();
  /** Told of each message as it is sent. */
  onMessage: ((node: string, direction: Direction, message: unknown) => void) | undefined;
  readonly #restoreAmbient: () => void;

  private constructor({ seed, nodes }: WorldOptions) {
    this.time = new VirtualTime();
    this.trace = new Trace(() => this.time.nowMs);
    this.random = new SeededRandom(seed);
    this.files = new MemoryFiles(FILES_ROOT);
    this.network = new SimNetwork({
      time: this.time,
      random: this.fork(),
      hub: () => this.cloud.hubEnd,
      onMessage: (node, direction, message, bytes) => {
        const { message: kind } = message as { message?: { case?: string } }; // session or tunnel
        this.trace.add("link", `${node} ${direction} ${kind?.case ?? "frame"} ${bytes}`);
        if (kind?.case === "welcome") this.twins.welcomed(node, this.cloud.starts);
        if (direction === "up") this.twins.remember(node, message as SessionRequest); // as above
        this.onMessage?.(node, direction, message);
      },
    });
    const parts: WorldParts = { time: this.time, network: this.network, trace: this.trace };
    this.cloud = new SimCloud(parts, this.#seed());
    this.edges = Array.from(
      { length: nodes },
      (_, i) => new SimEdge(`n${i + 1}`, parts, this.#seed()),
    );
    this.#restoreAmbient = replaceAmbient(this.files, this.time);
  }

  static async create(options: WorldOptions): Promise<World> {
    await loadSqlite(); // read from the disk once, before time is virtual
    return new World(options);
  }

  fork(): SeededRandom {
    return new SeededRandom(this.#seed());
  }

  /** Starts everything and waits until the cloud serves. */
  async start(): Promise<void> {
    void this.cloud.start();
    await this.time.until(() => this.cloud.kube !== undefined, 60_000);
    for (const edge of this.edges) void edge.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const running = new Set(["cloud", ...this.edges.map(({ name }) => name)]);
    const over = (name: string) => () => running.delete(name);
    void this.cloud.stop().then(over("cloud"));
    for (const edge of this.edges) void edge.dispose().then(over(edge.name));
    await this.time.until(() => running.size === 0, STOP_MS);
    if (running.size > 0) this.trace.violate("ends", `${[...running]} did not within 10 minutes`);
    this.#restoreAmbient();
  }

  #seed(): number {
    return Math.floor(this.random.float() * 2 ** 32);
  }
}
