/**
 * Tells of a device's troubles as events on the Device, where `kubectl describe` shows them: that
 * it is not reached and why, which properties are in trouble, and that it is well again. What is
 * told follows from what is so now, so nothing is lost by telling less often: one trouble once in
 * a while, one device little, and all devices of the node not more than a link bears.
 */
import { type PaceOptions, Pacer } from "../../shared/async/pacer.ts";
import type { Clock } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { DeviceDefinition } from "../twins/port.ts";
import type { DeviceEventLog } from "./port.ts";
import type { ProblemOf } from "./reporter.ts";

export interface Trouble {
  of: ProblemOf | "device";
  /** "" for the device as a whole. */
  property: string;
  text: string;
}

export interface DeviceEventsOptions {
  device: Pick<DeviceDefinition, "namespace" | "name" | "uid" | "protocol">;
  events: DeviceEventLog;
  clock: Clock;
  /** Of all devices of the node. */
  nodeBudget: Pacer;
  /** Of the device before it was begun anew. */
  told?: ReadonlyMap<string, Told> | undefined;
}

export interface Told {
  text: string;
  atMs: number;
}

/** A trouble whose words change is told again after so long. */
const CHANGED_MS = 10 * 60_000;
/** Kubernetes forgets events after an hour; a trouble that lasts is not forgotten. */
const LASTING_MS = 45 * 60_000;
const DEVICE_BUDGET: PaceOptions = { burst: 10, perSecond: 1 / 60 };

const REASONS: Readonly<Record<Trouble["of"], string>> = {
  device: "DeviceUnreachable",
  read: "PropertyNotRead",
  write: "DesiredNotTaken",
  report: "ValueRefused",
};

const log = roomLogger("mappers");

export class DeviceEvents {
  readonly #options: DeviceEventsOptions;
  readonly #told: Map<string, Told>;
  readonly #budget: Pacer;

  constructor(options: DeviceEventsOptions) {
    this.#options = options;
    this.#told = new Map(options.told);
    this.#budget = new Pacer(DEVICE_BUDGET, options.clock.monotonicMs());
  }

  get told(): ReadonlyMap<string, Told> {
    return this.#told;
  }

  /** What is in the way now. What cannot be told is told at the next call, if it still is so. */
  async tell(troubles: readonly Trouble[]): Promise<void> {
    if (troubles.length === 0 && this.#told.size === 0) return;
    const nowMs = this.#options.clock.monotonicMs();
    const wasAway = this.#told.has("device/");
    const isAway = troubles.some(({ of }) => of === "device");
    const now = new Map(troubles.map((trouble) => [`${trouble.of}/${trouble.property}`, trouble]));
    const ended = [...this.#told.keys()].filter((key) => !now.has(key));
    for (const [key, trouble] of now) {
      const { of, property, text } = trouble;
      const told = this.#told.get(key);
      if (told && nowMs - told.atMs < (told.text === text ? LASTING_MS : CHANGED_MS)) continue;
      const message = property === "" ? text : `${property}: ${text}`;
      if (!await this.#record("Warning", REASONS[of], message)) return;
      this.#told.set(key, { text, atMs: nowMs });
    }
    if (ended.length === 0) return;
    // of a device that is away nothing else is known
    const isBetter = !isAway && (wasAway || troubles.length === 0);
    if (isBetter && !await this.#record("Normal", "DeviceOnline", this.#wellAgain(wasAway))) return;
    for (const key of ended) this.#told.delete(key);
  }

  #wellAgain(wasAway: boolean): string {
    return wasAway
      ? `The built-in mapper for ${this.#options.device.protocol.name} reaches it again`
      : "All its properties are read and written again";
  }

  /** False when it was not told. */
  async #record(type: "Normal" | "Warning", reason: string, message: string): Promise<boolean> {
    const { device, events, clock, nodeBudget } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#budget.take(1, nowMs) === 0 || nodeBudget.take(1, nowMs) === 0) return false;
    const { namespace, name, uid } = device;
    try {
      await events.record({
        involvedObject: {
          apiVersion: "devices.kubeedge.io/v1beta1",
          kind: "Device",
          namespace,
          name,
          uid,
        },
        type,
        reason,
        message,
      });
      return true;
    } catch (error) {
      // a full disk, say: the device goes on
      log.debug("Cannot record event", { reason, error: errorChain(error) });
      return false;
    }
  }
}
