/**
 * One edge machine of the world: what survives its processes (disk, runtime, papers, wall clock)
 * and the one process that runs on it, which is the real edge.
 */
import { assembleEdge, type Edge } from "../../edge/assemble.ts";
import { edgeConfigSchema } from "../../edge/config.ts";
import { FakeRuntime } from "../../edge/cri/fake_runtime.ts";
import { FakeWorld } from "../../edge/cri/fake_world.ts";
import type { IdentityFiles } from "../../edge/link/port.ts";
import { MACHINE } from "../../edge/node/testing/samples.ts";
import { LABEL } from "../../edge/pods/marks.ts";
import { NoMounter } from "../../edge/pods/volumes/mounter.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { errorChain } from "../../shared/errors.ts";
import { SeededRandom } from "../../shared/random.ts";
import { SimDisk } from "../../shared/store/sim_disk.ts";
import { GuardedDisk } from "./guarded_disk.ts";
import { guardedRuntime } from "./guarded_runtime.ts";
import { Life } from "./life.ts";
import { issue, SimIdentity } from "./sim_papers.ts";
import type { WorldParts } from "./world_parts.ts";

export const IMAGES = ["docker.io/skerry/app:1", "docker.io/skerry/job:1"] as const;
/** Below it lie the small files of every machine. */
export const FILES_ROOT = "/sim";

/** What people at the site show. */
export const SITE_TOKEN = "token-of-the-site";

/** Between the end of a process that failed and its next start. */
const SUPERVISOR_MS = 5_000;

interface Process {
  life: Life;
  edge: Edge | undefined;
  scope: TaskScope | undefined;
  stack: AsyncDisposableStack;
}

export class SimEdge {
  readonly name: string;
  readonly world: FakeWorld;
  readonly wall = { offsetMs: 0 };
  readonly trouble = { slowMs: 0 };
  disk = new SimDisk();
  /** Bits were flipped on its disk: what was lost there is reported, not missed. */
  isDamaged = false;
  isDamageSeen = false;
  starts = 0;
  /** Told of each edge that has opened its store. */
  onAssembled: ((edge: Edge) => void) | undefined;
  /** Told of each container that is about to run. */
  onContainer: ((uid: string, container: string) => void) | undefined;
  readonly #parts: WorldParts;
  readonly #random: SeededRandom;
  readonly #files: IdentityFiles;
  #process: Process | undefined;
  #isStopping = false;

  constructor(name: string, parts: WorldParts, seed: number) {
    this.name = name;
    this.#parts = parts;
    this.#random = new SeededRandom(seed);
    const clock = parts.time.clockOf(`machine ${name}`, this.wall);
    this.world = new FakeWorld({
      clock,
      random: this.#fork(),
      writeLogs: true,
      program: ({ labels }) => {
        this.onContainer?.(labels[LABEL.podUid] ?? "", labels[LABEL.containerName] ?? "");
        return undefined;
      },
    });
    for (const name of IMAGES) this.world.images.setPull(name, { kind: "ok", afterMs: 2_000 });
    this.#files = {
      authority: "authority",
      privateKey: `key of ${name}`,
      certificate: issue(name, clock.nowMs()),
    };
  }

  /** The running edge; undefined while it is down or still opens its store. */
  get edge(): Edge | undefined {
    return this.#process?.edge;
  }

  get life(): Life | undefined {
    return this.#process?.life;
  }

  /** As it is on its disk. */
  get certificate(): string {
    return this.#files.certificate;
  }

  get isUp(): boolean {
    return this.#process !== undefined;
  }

  /** Starts it; what fails to start is started again, as a supervisor would. */
  async start(): Promise<void> {
    if (this.#process) return;
    const { time, trace } = this.#parts;
    const life = new Life(`edge ${this.name} #${++this.starts}`, time, this.wall);
    const stack = new AsyncDisposableStack();
    const process: Process = { life, edge: undefined, scope: undefined, stack };
    this.#process = process;
    trace.add("start", life.name);
    try {
      const edge = await this.#assemble(life, stack);
      process.edge = edge;
      this.onAssembled?.(edge);
      process.scope = new TaskScope();
      await edge.start(process.scope);
      await process.scope.join();
      if (life.isAlive && !this.#isStopping) throw new Error("ended by itself");
    } catch (error) {
      if (life.isAlive && !this.#isStopping) this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    const { time, trace } = this.#parts;
    const excused = this.disk.capacityBytes < Infinity;
    if (excused) trace.count("failed starts on a full disk");
    else trace.violate("edge runs on", `${this.name} #${this.starts}: ${errorChain(error)}`);
    this.kill();
    time.schedule("supervisor", SUPERVISOR_MS, () => void this.start());
  }

  /** Ends as on SIGTERM, and reports what it left behind. */
  async stop(): Promise<void> {
    const process = this.#process;
    if (!process) return;
    const { life } = process;
    this.#isStopping = true;
    try {
      await process.scope?.[Symbol.asyncDispose]();
    } catch (error) {
      if (life.isAlive) {
        this.#parts.trace.violate("edge stops cleanly", `${life.name}: ${errorChain(error)}`);
      }
    }
    await process.stack.disposeAsync();
    this.#isStopping = false;
    if (!life.isAlive) return; // killed meanwhile
    this.#process = undefined;
    if (life.timers > 0) {
      this.#parts.trace.violate("no leak", `${life.name} left ${life.timers} timers`);
    }
    life.end();
  }

  /** The process is killed; its unsynced writes are in the page cache and survive. */
  kill(): void {
    this.#replaceDisk(this.disk.copy());
    this.#abandon(false);
  }

  /** The machine loses power: of what was not synced anything may be left, and nothing runs. */
  async powerCut(): Promise<void> {
    this.#replaceDisk(this.disk.crash(this.#random));
    this.#abandon(true);
    for (const sandbox of [...this.world.sandboxes.values()]) {
      await this.world.stopSandbox(sandbox.id);
    }
  }

  #replaceDisk(disk: SimDisk): void {
    disk.capacityBytes = this.disk.capacityBytes;
    this.disk = disk;
  }

  async dispose(): Promise<void> {
    await this.stop();
    await this.world[Symbol.asyncDispose]();
  }

  #abandon(isSilent: boolean): void {
    const process = this.#process;
    if (!process) return;
    this.#process = undefined;
    process.life.end();
    for (const each of this.#parts.network.connections(this.name)) each.abandonEdge(isSilent);
    process.edge?.memory.store.abandon();
  }

  #assemble(life: Life, stack: AsyncDisposableStack): Promise<Edge> {
    const { network, trace } = this.#parts;
    const random = this.#fork();
    const dataDir = `${FILES_ROOT}/${this.name}`;
    const config = edgeConfigSchema({
      nodeName: this.name,
      dataDir,
      cloud: { addresses: ["hub:1"] },
      pods: { logsDir: `${dataDir}/logs` },
      runtime: { endpoint: "unix:///fake" },
    }, "");
    const runtime = new FakeRuntime(this.world);
    void life.ended.then(() => runtime.close());
    const call = (name: string) => trace.add("cri", `${life.name} ${name}`);
    return assembleEdge({ config }, {
      clock: life.clock,
      random,
      disk: new GuardedDisk({
        disk: this.disk,
        life,
        random: this.#fork(),
        trouble: this.trouble,
        onAct: (act, path) => trace.add("disk", `${life.name} ${act} ${path}`),
      }),
      runtime: guardedRuntime(runtime, life, call),
      mounter: new NoMounter(),
      host: HOST,
      cgroupDir: `${dataDir}/cgroup`,
      apiToken: SITE_TOKEN,
      readMachine: () => Promise.resolve(MACHINE),
      readIdentity: () => Promise.resolve({ ...this.#files }),
      keepCertificate: (certificate) =>
        life.call(() => {
          this.#files.certificate = certificate;
          return Promise.resolve();
        }),
      transport: {
        dial: (_, { certificate }) => network.dial({ node: this.name, life, certificate }),
        openIdentity: (files, onRenewed, random) => new SimIdentity(files, onRenewed, random),
      },
    }, stack);
  }

  #fork(): SeededRandom {
    return new SeededRandom(Math.floor(this.#random.float() * 2 ** 32));
  }
}

const HOST = {
  memoryBytes: MACHINE.memoryBytes,
  cgroupV2: true,
  swapLimits: false,
  maskedPaths: [],
  dns: { servers: ["192.0.2.1"], searches: [], options: [] },
  hostsFile: "127.0.0.1 localhost\n",
};
