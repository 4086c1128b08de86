/**
 * The devices of this node whose protocol is spoken here: follows the twins, begins a device when
 * it comes, ends it when it goes or when a mapper of its own registers for its protocol, and begins
 * it anew when what it is made of has changed.
 */
import { type PaceOptions, Pacer } from "../../shared/async/pacer.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { type Changes, Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { canonicalJson } from "../../shared/json/json.ts";
import type { Random } from "../../shared/random.ts";
import type { DeviceDefinition, DeviceName, TwinChange, Twins } from "../twins/port.ts";
import { Connections } from "./connections.ts";
import { MappedDevice } from "./mapped_device.ts";
import type {
  DeviceEventLog,
  Driver,
  MappedStatus,
  MapperCounts,
  Mappers,
  MessageBus,
} from "./port.ts";
import { type Protocol, protocolOf } from "./protocols.ts";
import { Scheduler } from "./scheduler.ts";

export interface ExternalMappers {
  /** A mapper outside this program has registered for the protocol. */
  has(protocol: string): boolean;
  /** Notified when that may have changed. */
  changes?: Changes;
}

export interface MapperRoomOptions {
  twins: Twins;
  clock: Clock;
  random: Random;
  external?: ExternalMappers;
  bus?: MessageBus;
  events?: DeviceEventLog;
  /** As drivers have them. */
  dataDir?: string;
  nodeName?: string;
  /** Who speaks a protocol, by its name in manifests. */
  protocols?: (name: string) => Protocol | undefined;
  connectionsMax?: number;
  /** Told how late each cycle began, for those who measure. */
  onCycle?: (lateMs: number) => void;
}

/** Events of all devices: a switch that fails must not push those of pods out of the log. */
const NODE_BUDGET: PaceOptions = { burst: 100, perSecond: 1 };

interface Mapped {
  device: MappedDevice;
  digest: string;
}

export class MapperRoom implements Mappers {
  readonly #options: MapperRoomOptions;
  readonly #scheduler: Scheduler;
  readonly #connections: Connections;
  readonly #nodeBudget: Pacer;
  readonly #protocols: (name: string) => Protocol | undefined;
  readonly #mapped = new Map<string, Mapped>();
  readonly #drivers = new Map<string, Promise<Driver>>();

  constructor(options: MapperRoomOptions) {
    this.#options = options;
    this.#scheduler = new Scheduler(options.clock, options.onCycle);
    this.#connections = new Connections(options.connectionsMax);
    this.#nodeBudget = new Pacer(NODE_BUDGET, options.clock.monotonicMs());
    this.#protocols = options.protocols ?? protocolOf;
  }

  status(): MappedStatus[] {
    return [...this.#mapped.values()].map(({ device }) => device.status);
  }

  statusOf(device: DeviceName): MappedStatus | undefined {
    return this.#mapped.get(keyOf(device))?.device.status;
  }

  counts(): MapperCounts {
    const { open, reads, writes, skipped, failures } = this.#connections;
    const { meanMs: lateMsMean, maxMs: lateMsMax } = this.#scheduler.late;
    const devices = this.#mapped.size;
    return { devices, connections: open, reads, writes, skipped, failures, lateMsMean, lateMsMax };
  }

  async run(signal: AbortSignal): Promise<void> {
    const scope = new TaskScope(signal);
    try {
      scope.spawn("mapper cycles", (s) => this.#scheduler.run(s));
      scope.spawn("mapped devices", (s) => this.#follow(s));
      scope.spawn("external mappers", (s) => this.#watchExternal(s));
      await scope.join();
    } finally {
      scope.abort();
      await Promise.all([...this.#mapped.values()].map(({ device }) => device.close()));
      this.#mapped.clear();
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const feed = this.#options.twins.subscribe({
      kinds: ["added", "removed", "updated", "desired"],
    });
    try {
      for (;;) {
        const item = await feed.next(signal);
        if (item.kind === "resync") await this.#resync();
        else for (const change of item.changes) await this.#apply(change);
      }
    } finally {
      feed.close();
    }
  }

  async #watchExternal(signal: AbortSignal): Promise<void> {
    const { external } = this.#options;
    const wakeup = new Wakeup();
    const unsubscribe = external?.changes?.subscribe(() => wakeup.wake());
    try {
      for (;;) {
        await wakeup.wait(signal);
        await this.#resync();
      }
    } finally {
      unsubscribe?.();
    }
  }

  async #resync(): Promise<void> {
    const { twins } = this.#options;
    const names = twins.list();
    const here = new Set(names.map(keyOf));
    for (const [key, mapped] of [...this.#mapped]) {
      if (!here.has(key)) await this.#end(key, mapped);
    }
    for (const name of names) {
      const before = this.#mapped.get(keyOf(name));
      await this.#define(name);
      const after = this.#mapped.get(keyOf(name));
      // what was desired in between was not told; a device that begins asks by itself
      if (before && after === before) {
        for (const { property, pending } of twins.twins(name)) {
          if (pending) after.device.desire(property);
        }
      }
    }
  }

  async #apply(change: TwinChange): Promise<void> {
    if (change.kind === "desired") {
      this.#mapped.get(keyOf(change.device))?.device.desire(change.property);
    } else {
      await this.#define(change.device);
    }
  }

  /** What is mapped here is what should be. */
  async #define(name: DeviceName): Promise<void> {
    const { twins, external, clock, random, events } = this.#options;
    const key = keyOf(name);
    const definition = twins.definition(name);
    const protocol = definition && !external?.has(definition.protocol.name)
      ? this.#protocols(definition.protocol.name)
      : undefined;
    const before = this.#mapped.get(key);
    const digest = definition ? digestOf(definition) : "";
    if (before && protocol && before.digest === digest) return;
    if (before) await this.#end(key, before);
    if (!definition || !protocol) return;
    const device = new MappedDevice({
      definition,
      driver: () => this.#driver(protocol),
      twins,
      scheduler: this.#scheduler,
      connections: this.#connections,
      clock,
      random,
      nodeBudget: this.#nodeBudget,
      told: before?.device.told,
      ...(events && { events }),
    });
    this.#mapped.set(key, { device, digest });
  }

  async #end(key: string, { device }: Mapped): Promise<void> {
    this.#mapped.delete(key);
    await device.close();
  }

  #driver({ driver, load }: Protocol): Promise<Driver> {
    const known = this.#drivers.get(driver);
    if (known) return known;
    const { clock, random, bus, dataDir, nodeName } = this.#options;
    const made = load().then((create) =>
      create({
        clock,
        random,
        ...(bus && { bus }),
        ...(dataDir !== undefined && { dataDir }),
        ...(nodeName !== undefined && { nodeName }),
      })
    );
    this.#drivers.set(driver, made);
    // a library that cannot be loaded now may be later
    void made.catch(() => this.#drivers.delete(driver));
    return made;
  }
}

function keyOf({ namespace, name }: DeviceName): string {
  return `${namespace}/${name}`;
}

/** Equal for definitions of which the same would be made: what is desired is not in it. */
function digestOf({ uid, protocol, properties }: DeviceDefinition): string {
  return canonicalJson({
    uid,
    protocol,
    properties: properties.map(({ desired: _, ...property }) => property),
  });
}
