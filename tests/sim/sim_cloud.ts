/** The cloud's machine of the world, and the one process on it, which is the real cloud. */
import { SYSTEM } from "../../cloud/apiserver/authorize.ts";
import { assembleCloud, type Cloud } from "../../cloud/assemble.ts";
import { cloudConfigSchema } from "../../cloud/config.ts";
import { Hub } from "../../cloud/hub/hub.ts";
import type { ReportSink } from "../../cloud/hub/port.ts";
import { inProcessKube } from "../../cloud/kube/in_process.ts";
import type { KubeClient } from "../../cloud/kube/port.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { errorChain } from "../../shared/errors.ts";
import { SeededRandom } from "../../shared/random.ts";
import { SimDisk } from "../../shared/store/sim_disk.ts";
import { GuardedDisk } from "./guarded_disk.ts";
import { Life } from "./life.ts";
import { simIdentities } from "./sim_papers.ts";
import type { WorldParts } from "./world_parts.ts";

/** Between the end of a process that failed and its next start. */
const SUPERVISOR_MS = 5_000;
/** How long open connections may take to end when the hub stops. */
const CLOSE_MS = 3_000;

interface Process {
  life: Life;
  cloud: Cloud<Hub> | undefined;
  kube: KubeClient | undefined;
  isServing: boolean;
  scope: TaskScope | undefined;
  stack: AsyncDisposableStack;
}

export class SimCloud {
  disk = new SimDisk();
  readonly trouble = { slowMs: 0 };
  /** Bits were flipped on its disk: what was lost there is reported, not missed. */
  isDamaged = false;
  starts = 0;
  /** Told of each cloud that lets users and nodes in. */
  onServing: ((cloud: Cloud<Hub>) => void) | undefined;
  /** Put around what applies the nodes' reports. */
  wrapSink: (sink: ReportSink) => ReportSink = (sink) => sink;
  readonly #parts: WorldParts;
  readonly #random: SeededRandom;
  #process: Process | undefined;
  #isStopping = false;
  #end: { hub: Hub; life: Life } | undefined;

  constructor(parts: WorldParts, seed: number) {
    this.#parts = parts;
    this.#random = new SeededRandom(seed);
  }

  get cloud(): Cloud<Hub> | undefined {
    return this.#process?.cloud;
  }

  get life(): Life | undefined {
    return this.#process?.life;
  }

  /** The API as a user has it, while it is served. */
  get kube(): KubeClient | undefined {
    return this.#process?.isServing ? this.#process.kube : undefined;
  }

  /** What edges reach, while sessions are let in. */
  get hubEnd(): { hub: Hub; life: Life } | undefined {
    return this.#end;
  }

  get isUp(): boolean {
    return this.#process !== undefined;
  }

  /** Starts it; what fails to start is started again, as a supervisor would. */
  async start(): Promise<void> {
    if (this.#process) return;
    const { time, trace } = this.#parts;
    const life = new Life(`cloud #${++this.starts}`, time);
    const process: Process = {
      life,
      cloud: undefined,
      kube: undefined,
      isServing: false,
      scope: undefined,
      stack: new AsyncDisposableStack(),
    };
    this.#process = process;
    trace.add("start", life.name);
    try {
      const cloud = await this.#assemble(life, process.stack);
      process.cloud = cloud;
      process.kube = inProcessKube(cloud.api.fetchAs(SYSTEM));
      process.scope = new TaskScope();
      await cloud.start(process.scope);
      process.isServing = true;
      this.#end = { hub: cloud.hub, life };
      trace.add("serve", life.name);
      this.onServing?.(cloud);
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
    else trace.violate("cloud runs on", `#${this.starts}: ${errorChain(error)}`);
    this.kill();
    time.schedule("supervisor", SUPERVISOR_MS, () => void this.start());
  }

  /** Ends as on SIGTERM, and reports what it left behind. */
  async stop(): Promise<void> {
    const process = this.#process;
    if (!process) return;
    const { life } = process;
    this.#isStopping = true;
    this.#end = undefined;
    process.isServing = false;
    process.cloud?.hub.endSessions();
    await this.#farewell(process);
    try {
      await process.scope?.[Symbol.asyncDispose]();
    } catch (error) {
      if (life.isAlive) {
        this.#parts.trace.violate("cloud stops cleanly", `${life.name}: ${errorChain(error)}`);
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

  /** As the listener does it: whoever has not gone by then is cut off. */
  async #farewell({ life, cloud }: Process): Promise<void> {
    if (!cloud) return;
    const joined = cloud.hub.joined();
    const late = new AbortController();
    const deadline = life.clock.sleep(CLOSE_MS, late.signal).catch(() => {}); // in time
    await Promise.race([joined, deadline]);
    late.abort();
    for (const each of this.#parts.network.connections()) each.closeHub();
    await joined;
  }

  kill(): void {
    this.#replaceDisk(this.disk.copy());
    this.#abandon(false);
  }

  powerCut(): void {
    this.#replaceDisk(this.disk.crash(this.#random));
    this.#abandon(true);
  }

  #replaceDisk(disk: SimDisk): void {
    disk.capacityBytes = this.disk.capacityBytes;
    this.disk = disk;
  }

  #abandon(isSilent: boolean): void {
    const process = this.#process;
    if (!process) return;
    this.#process = undefined;
    this.#end = undefined;
    process.life.end();
    for (const each of this.#parts.network.connections()) each.abandonHub(isSilent);
    process.cloud?.store.abandon();
  }

  #assemble(life: Life, stack: AsyncDisposableStack): Promise<Cloud<Hub>> {
    const { trace } = this.#parts;
    const config = cloudConfigSchema({ dataDir: "/cloud" }, "");
    return assembleCloud(config, {
      clock: life.clock,
      random: this.#fork(),
      disk: new GuardedDisk({
        disk: this.disk,
        life,
        random: this.#fork(),
        trouble: this.trouble,
        onAct: (act, path) => trace.add("disk", `${life.name} ${act} ${path}`),
      }),
      authenticator: { authenticate: () => Promise.resolve(undefined) },
      identities: simIdentities(life.clock),
      openHub: (options) => new Hub({ ...options, sink: this.wrapSink(options.sink) }),
    }, stack);
  }

  #fork(): SeededRandom {
    return new SeededRandom(Math.floor(this.#random.float() * 2 ** 32));
  }
}
