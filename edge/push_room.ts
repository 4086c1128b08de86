/**
 * The data pipeline of a node whose devices may push nothing: it is loaded when the first property
 * with a `pushMethod` comes, or when an earlier day left something undelivered. Until then there is
 * one follower of definitions, once the node has devices at all.
 */
import { Wakeup } from "../shared/async/wakeup.ts";
import { type Clock, nextTurn } from "../shared/clock.ts";
import type { Random } from "../shared/random.ts";
import type { Store } from "../shared/store/port.ts";
import type { DeviceRoom } from "./device_room.ts";
import type { PushConfig } from "./push_config.ts";
import { PUSH_BUCKET, type PushStatus } from "./push/port.ts";
import type { Push } from "./push/push.ts";
import type { DeviceName, Twins } from "./twins/port.ts";

/** Devices looked at before others may run. */
const SLICE_DEVICES = 200;

export interface PushRoomOptions {
  devices: Pick<DeviceRoom, "twins" | "changes">;
  store: Store;
  clock: Clock;
  random: Random;
  config: PushConfig;
  /** True for a protocol that a mapper outside this program speaks. */
  hasMapper: (protocol: string) => boolean;
}

export class PushRoom {
  readonly #options: PushRoomOptions;
  #push: Push | undefined;

  constructor(options: PushRoomOptions) {
    this.#options = options;
  }

  /** Undefined while nothing is pushed. */
  status(): PushStatus | undefined {
    return this.#push?.status();
  }

  async run(signal: AbortSignal): Promise<void> {
    const twins = await this.#twins(signal);
    if (this.#options.store.count(PUSH_BUCKET) === 0) await untilPushed(twins, signal);
    this.#push = await this.#open(twins);
    await this.#push.run(signal);
  }

  async #twins(signal: AbortSignal): Promise<Twins> {
    const { devices } = this.#options;
    const wakeup = new Wakeup();
    const unsubscribe = devices.changes.subscribe(() => wakeup.wake());
    try {
      for (;;) {
        if (devices.twins) return devices.twins;
        await wakeup.wait(signal);
      }
    } finally {
      unsubscribe();
    }
  }

  async #open(twins: Twins): Promise<Push> {
    const { store, clock, random, config, hasMapper } = this.#options;
    const { Push } = await import("./push/push.ts");
    const { openSender } = await import("./push/senders/open.ts");
    const { QUEUE_LIMITS } = await import("./push/queues.ts");
    const { credentialsFile, payload: style, queueMb, queueDays } = config;
    return new Push({
      twins,
      store,
      clock,
      random,
      isMappers: config.mappers === "mapper" ? hasMapper : undefined,
      open: (destination) => openSender(destination, { credentialsFile, style, clock }),
      limits: {
        ...QUEUE_LIMITS,
        bytesMax: queueMb * 1024 * 1024,
        ttlMs: queueDays * 24 * 60 * 60 * 1000,
      },
    });
  }
}

/** Resolves when some device has a property that is pushed. */
async function untilPushed(twins: Twins, signal: AbortSignal): Promise<void> {
  const feed = twins.subscribe({ kinds: ["added", "updated"] });
  try {
    for (;;) {
      const item = await feed.next(signal);
      const found = item.kind === "resync"
        ? await anyPushes(twins, signal)
        : item.changes.some(({ device }) => pushes(twins, device));
      if (found) return;
    }
  } finally {
    feed.close();
  }
}

async function anyPushes(twins: Twins, signal: AbortSignal): Promise<boolean> {
  let after: string | undefined;
  for (;;) {
    const slice = twins.list({ limit: SLICE_DEVICES, ...(after === undefined ? {} : { after }) });
    if (slice.some((device) => pushes(twins, device))) return true;
    const last = slice.at(-1);
    if (!last || slice.length < SLICE_DEVICES) return false;
    after = `${last.namespace}/${last.name}`;
    await nextTurn();
    signal.throwIfAborted();
  }
}

function pushes(twins: Twins, device: DeviceName): boolean {
  return twins.definition(device)?.properties.some(({ pushMethod }) => pushMethod) ?? false;
}
