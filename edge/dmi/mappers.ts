/**
 * The mappers that have registered, one per protocol, and what goes out to them. Follows the twin
 * engine only while there is a mapper; a node without mappers or without devices has no index and
 * no feed.
 */
import { TaskScope } from "../../shared/async/task_scope.ts";
import { type Changes, Wakeup } from "../../shared/async/wakeup.ts";
import { type Clock, nextTurn } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { Store } from "../../shared/store/port.ts";
import type { FeedItem, TwinFeed, Twins } from "../twins/port.ts";
import { Delivery } from "./delivery.ts";
import { deviceKeyOf, DeviceWorld, HOLD } from "./device_world.ts";
import { GrpcMapperClient } from "./mapper_client.ts";
import { readMappers, Told } from "./mapper_rows.ts";
import type { DmiObjects, MapperRefusal, Mappers, MapperStatus } from "./port.ts";
import type { MapperRecord } from "./reports.ts";
import { type Snapshot, SnapshotBuilder } from "./snapshot.ts";

/** Protocols on one node; each costs a connection and an index of what it was told. */
const MAPPERS_MAX = 64;
/** Messages made before others get a turn. */
const SLICE = 50;
/** Of the time a mapper waits; the rest is for the commit, the bytes, and the mapper's reading. */
const COLLECT_SHARE = 0.4;
/** How long a registration may wait for the index. */
const READY_MS = 30_000;

const log = roomLogger("edge", "dmi");

export interface MapperRegistryOptions {
  store: Store;
  objects: DmiObjects;
  /** Undefined while the node has no device. */
  twins: () => Twins | undefined;
  /** When there are twins, and when devices come or go. */
  deviceChanges: Changes;
  clock: Clock;
  random: Random;
}

export class MapperRegistry implements Mappers {
  readonly #options: MapperRegistryOptions;
  readonly #world: DeviceWorld;
  readonly #deliveries = new Map<string, Delivery>();
  readonly #wakeup = new Wakeup();
  #scope: TaskScope | undefined;
  /** Whose devices the index holds; "none" for those of no engine. */
  #indexed: Twins | "none" | undefined;
  #waiters: (() => void)[] = [];

  constructor(options: MapperRegistryOptions) {
    this.#options = options;
    this.#world = new DeviceWorld(options.objects);
    for (const record of readMappers(options.store)) this.#add(record);
  }

  list(): MapperStatus[] {
    return [...this.#deliveries.values()].map((delivery) => delivery.status());
  }

  ofProtocol(protocol: string): MapperStatus | undefined {
    return this.#deliveries.get(protocol)?.status();
  }

  refusal(
    protocol: string,
    device: { namespace: string; name: string },
  ): MapperRefusal | undefined {
    return this.#deliveries.get(protocol)?.refusal(deviceKeyOf(device));
  }

  async run(signal: AbortSignal): Promise<void> {
    const scope = this.#scope = new TaskScope(signal);
    const unsubscribe = this.#options.deviceChanges.subscribe(() => {
      // after that the feed tells; to be woken for each device would be for nothing
      if (this.#indexed !== this.#options.twins()) this.#wakeup.wake();
    });
    try {
      for (const delivery of this.#deliveries.values()) this.#spawn(delivery);
      scope.spawn("devices for mappers", (inner) => this.#follow(inner));
      await scope.join();
    } finally {
      unsubscribe();
      this.#scope = undefined;
      scope.abort();
      await scope.join();
    }
  }

  /**
   * Resolves when the registration is on disk, with what the mapper is given: as much as can be put
   * together in part of the time it waits (KubeEdge's framework waits a second, and then ends).
   */
  async register(
    record: MapperRecord,
    withData: boolean,
    timeoutMs = Infinity,
  ): Promise<Snapshot> {
    const untilMs = this.#options.clock.monotonicMs() + timeoutMs * COLLECT_SHARE;
    const { protocol, name, address } = record;
    const known = this.#deliveries.get(protocol);
    if (!known && this.#deliveries.size >= MAPPERS_MAX) {
      const limit = `protocols with a mapper must be <= ${MAPPERS_MAX}`;
      throw new AppError("exhausted", `Cannot register the mapper: ${limit}`);
    }
    const delivery = known ?? this.#add(record);
    const builder = new SnapshotBuilder();
    await delivery.registered(record, async () => {
      if (!known) this.#spawn(delivery);
      await this.#ready();
      if (withData) await this.#collect(protocol, builder, untilMs);
      return builder.told;
    });
    delivery.lookAtAll(this.#world.keysOf(protocol));
    log.info("Mapper registered", { protocol, mapper: name, address, told: builder.told.size });
    return builder.answer;
  }

  /** Devices that are left out are told as new ones afterwards. */
  async #collect(protocol: string, builder: SnapshotBuilder, untilMs: number): Promise<void> {
    const { clock } = this.#options;
    let count = 0;
    const models = new Set<string>();
    for (const key of [...this.#world.keysOf(protocol)]) {
      const wanted = this.#world.wanted(protocol, key, models);
      if (!wanted || wanted === HOLD) continue;
      if (wanted.kind === "model") models.add(key);
      if (!builder.add(key, wanted)) return;
      if (clock.monotonicMs() > untilMs) return;
      if (++count % SLICE === 0) await nextTurn();
    }
  }

  #add(record: MapperRecord): Delivery {
    const { store, clock, random } = this.#options;
    const { protocol } = record;
    const delivery = new Delivery({
      record,
      told: new Told(store, protocol),
      wanted: (key) => this.#world.wanted(protocol, key),
      connect: (address, onLost) => new GrpcMapperClient(address, onLost),
      clock,
      random,
    });
    this.#deliveries.set(protocol, delivery);
    this.#wakeup.wake();
    return delivery;
  }

  #spawn(delivery: Delivery): void {
    this.#scope?.spawn("mapper", (signal) => delivery.run(signal));
  }

  /** Waits until the index is that of the engine there is. */
  async #ready(): Promise<void> {
    const late = AbortSignal.timeout(READY_MS);
    while (this.#indexed !== (this.#options.twins() ?? "none")) {
      this.#wakeup.wake();
      await new Promise<void>((resolve, reject) => {
        this.#waiters.push(resolve);
        late.addEventListener("abort", () => {
          reject(new AppError("unavailable", "The devices of this node are not read yet"));
        }, { once: true });
      });
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const twins = this.#options.twins();
      if (this.#deliveries.size === 0 || (!twins && this.#indexed === "none")) {
        await this.#wakeup.wait(signal);
      } else if (twins) {
        await this.#followTwins(twins, signal);
      } else {
        await this.#index(undefined, signal);
      }
    }
  }

  async #followTwins(twins: Twins, signal: AbortSignal): Promise<void> {
    const feed: TwinFeed = twins.subscribe({ kinds: ["added", "removed", "updated", "desired"] });
    try {
      for (;;) {
        const item = await feed.next(signal);
        if (item.kind === "resync") await this.#index(twins, signal);
        else this.#passOn(item);
      }
    } finally {
      feed.close();
    }
  }

  async #index(twins: Twins | undefined, signal: AbortSignal): Promise<void> {
    await this.#world.build(twins, signal);
    this.#indexed = twins ?? "none";
    for (const [protocol, delivery] of this.#deliveries) {
      delivery.lookAtAll(this.#world.keysOf(protocol));
    }
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }

  #passOn({ changes }: Extract<FeedItem, { kind: "changes" }>): void {
    for (const { kind, device } of changes) {
      if (kind === "desired") {
        const protocol = this.#world.protocolOf(device) ?? "";
        this.#deliveries.get(protocol)?.look([deviceKeyOf(device)]);
        continue;
      }
      const { protocols, keys } = this.#world.update(device);
      for (const protocol of protocols) this.#deliveries.get(protocol)?.look(keys);
    }
  }
}
