/**
 * The mappers of a node that may have no device: their code is loaded when the first device comes,
 * and a protocol's when the first device of it does.
 */
import { Wakeup } from "../shared/async/wakeup.ts";
import type { Clock } from "../shared/clock.ts";
import type { Random } from "../shared/random.ts";
import type { DeviceRoom } from "./device_room.ts";
import type { DeviceEventLog, Mappers, MessageBus } from "./mappers/port.ts";
import type { ExternalMappers } from "./mappers/mapper_room.ts";

export interface DeviceMappersOptions {
  devices: Pick<DeviceRoom, "twins" | "changes">;
  clock: Clock;
  random: Random;
  /** Protocols that a mapper outside this program speaks; asked again at its changes. */
  external?: ExternalMappers;
  /** For devices that speak MQTT on the brokers of this node. */
  bus?: MessageBus;
  /** Where devices' troubles are told. */
  events?: DeviceEventLog;
  /** Where protocols keep what they have to, each in a folder of its own. */
  dataDir?: string;
  nodeName?: string;
}

export class DeviceMappers {
  readonly #options: DeviceMappersOptions;
  #mappers: Mappers | undefined;

  constructor(options: DeviceMappersOptions) {
    this.#options = options;
  }

  /** Undefined while the node has no device. */
  get mappers(): Mappers | undefined {
    return this.#mappers;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { devices, ...options } = this.#options;
    const wakeup = new Wakeup();
    const unsubscribe = devices.changes.subscribe(() => wakeup.wake());
    try {
      while (!devices.twins) await wakeup.wait(signal);
    } finally {
      unsubscribe();
    }
    const { MapperRoom } = await import("./mappers/mapper_room.ts");
    const room = new MapperRoom({ ...options, twins: devices.twins });
    this.#mappers = room;
    await room.run(signal);
  }
}
