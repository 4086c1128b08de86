/**
 * The data pipeline of a node: what its devices' properties say goes to the servers their
 * `pushMethod` names, besides the cloud. Made when the first device asks for it, or when an earlier
 * day left something undelivered (`edge/push_room.ts` decides).
 */
import { KeyedMutex } from "../../shared/async/keyed_mutex.ts";
import { TaskScope, untilAborted } from "../../shared/async/task_scope.ts";
import type { Clock } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { Store } from "../../shared/store/port.ts";
import { Courier } from "./courier.ts";
import type { Destination, PushStatus, PushTwins, Sender } from "./port.ts";
import { type PushQueue, PushQueues, type QueueLimits } from "./queues.ts";
import { RouteTable } from "./route_table.ts";
import { destinationKey } from "./routes.ts";
import { Sampler } from "./sampler.ts";

const log = roomLogger("edge", "push");
/** Problems that are told once, before they are told again. */
const TOLD_MAX = 1_000;

export interface PushOptions {
  twins: PushTwins;
  store: Store;
  clock: Clock;
  random: Random;
  open: (destination: Destination) => Promise<Sender>;
  limits?: QueueLimits;
  /** True for protocols whose mapper pushes by itself: asked at each sample. */
  isMappers?: ((protocol: string) => boolean) | undefined;
}

export class Push {
  readonly #options: PushOptions;
  readonly #queues: PushQueues;
  readonly #table: RouteTable;
  readonly #sampler: Sampler;
  readonly #couriers = new Map<string, { courier: Courier; stop: AbortController }>();
  readonly #told = new Set<string>();
  readonly #releases = new KeyedMutex();
  /** Destinations that routes lead to; unknown before all devices were looked at. */
  #used: ReadonlySet<string> | undefined;
  #scope: TaskScope | undefined;

  constructor(options: PushOptions) {
    this.#options = options;
    const { twins, store, clock, isMappers } = options;
    this.#queues = new PushQueues(store, clock, options.limits);
    this.#table = new RouteTable(twins, (device, problem) => this.#tell(device, problem));
    this.#sampler = new Sampler({
      twins,
      store,
      clock,
      table: this.#table,
      queues: this.#queues,
      isMappers,
      onRoutes: () => {
        this.#used = this.#table.destinations();
        this.#tidyUp();
      },
    });
    this.#queues.onTaken = () => this.#employ();
  }

  status(): PushStatus {
    return {
      destinations: [...this.#couriers.values()].map(({ courier }) => courier.status()),
      coalesced: this.#sampler.coalesced,
      unplaced: this.#sampler.unplaced,
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const scope = new TaskScope(signal);
    this.#scope = scope;
    try {
      this.#employ();
      scope.spawn("push samples", (s) => this.#sampler.follow(s));
      scope.spawn("push cycles", (s) => this.#sampler.tick(s));
      await untilAborted(scope.signal);
    } finally {
      scope.abort();
      await scope.join();
    }
  }

  /** One courier a queue. */
  #employ(): void {
    const scope = this.#scope;
    if (!scope || scope.signal.aborted) return;
    for (const queue of this.#queues.list()) {
      if (this.#couriers.get(queue.slot)?.courier.queue === queue) continue;
      const { open, clock, random } = this.#options;
      const stop = new AbortController();
      const onDrained = () => {
        if (!this.#isUsed(queue)) this.#tidyUp();
      };
      const courier = new Courier({ queue, open, clock, random, onDrained });
      this.#couriers.set(queue.slot, { courier, stop });
      scope.spawn(`push ${queue.slot}`, (signal) => this.#work(courier, stop, signal));
    }
  }

  async #work(courier: Courier, stop: AbortController, signal: AbortSignal): Promise<void> {
    try {
      await courier.run(AbortSignal.any([signal, stop.signal]));
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
  }

  #isUsed({ destination }: PushQueue): boolean {
    return this.#used?.has(destinationKey(destination)) ?? true;
  }

  /** Queues of which nothing is left, and to which nothing comes, are given back. */
  #tidyUp(): void {
    const scope = this.#scope;
    if (!scope || scope.signal.aborted) return;
    scope.spawn("push tidy up", () => this.#releases.run("", () => this.#release()));
  }

  async #release(): Promise<void> {
    for (const [slot, { courier, stop }] of [...this.#couriers]) {
      if (this.#isUsed(courier.queue)) continue;
      try {
        if (!await this.#queues.release(courier.queue)) continue;
        stop.abort();
        // the slot may have been taken anew meanwhile
        if (this.#couriers.get(slot)?.courier === courier) this.#couriers.delete(slot);
      } catch (error) {
        log.warning("Place of a destination not given back", { error: errorChain(error) });
      }
    }
  }

  #tell(device: string, problem: string): void {
    const text = `${device} ${problem}`;
    if (this.#told.has(text)) return;
    if (this.#told.size >= TOLD_MAX) this.#told.clear();
    this.#told.add(text);
    log.warning("Values are not pushed", { device, problem });
  }
}
