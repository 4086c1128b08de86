/**
 * What changes, as clients that follow hear it: documents, deltas, membership. One reader of the
 * engine's feed for each broker; it waits for its own, and the feed keeps the latest meanwhile.
 * After "resync" every delta that is due is published again: a device that missed one gets it.
 */
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Changes } from "../../shared/async/wakeup.ts";
import { type Clock, nextTurn } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { Random } from "../../shared/random.ts";
import type { DeviceName, TwinChange, Twins } from "../twins/port.ts";
import {
  deviceUpdated,
  type Member,
  MEMBERS_MAX,
  membershipUpdated,
  type Stamp,
  twinDelta,
  twinDocument,
  type TwinStep,
} from "./answers.ts";
import type { DeviceNames } from "./device_names.ts";
import { type DeviceTopic, deviceTopic, membershipTopic } from "./topics.ts";

export interface FollowerOptions {
  nodeName: string;
  twins: () => Twins | undefined;
  /** Notified when `twins` is there. */
  twinsChanges: Changes;
  names: DeviceNames;
  /** Resolves when it may have more. */
  publish: (topic: string, payload: string, signal: AbortSignal) => Promise<void>;
  clock: Clock;
  random: Random;
}

/** Ends a wait for the feed, which loses nothing of it. */
const REPLAY = new AppError("canceled", "A broker came back");

interface OfDevice {
  device: DeviceName;
  changes: TwinChange[];
}

/** Devices looked at before others get a turn. */
const SLICE = 100;

export class Follower {
  readonly #options: FollowerOptions;
  /** Devices that desire nothing, by what was seen since anything but a report changed them. */
  readonly #desireless = new Set<string>();
  #round = new AbortController();

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** A broker is there that may have missed something. */
  replay(): void {
    this.#round.abort(REPLAY);
  }

  async run(signal: AbortSignal): Promise<void> {
    const twins = await this.#engine(signal);
    const feed = twins.subscribe();
    try {
      for (;;) {
        this.#round = new AbortController();
        const either = AbortSignal.any([signal, this.#round.signal]);
        try {
          for (;;) {
            const item = await feed.next(either);
            if (item.kind === "resync") await this.#publishAll(twins, signal);
            else await this.#publishChanges(twins, item.changes, signal);
          }
        } catch (error) {
          if (error !== REPLAY) throw error;
        }
        await this.#publishAll(twins, signal);
      }
    } finally {
      feed.close();
    }
  }

  async #engine(signal: AbortSignal): Promise<Twins> {
    const { twinsChanges, twins } = this.#options;
    const wakeup = new Wakeup();
    const unsubscribe = twinsChanges.subscribe(() => wakeup.wake());
    try {
      for (;;) {
        const engine = twins();
        if (engine) return engine;
        await wakeup.wait(signal);
      }
    } finally {
      unsubscribe();
    }
  }

  async #publishAll(twins: Twins, signal: AbortSignal): Promise<void> {
    this.#options.names.forget();
    this.#desireless.clear();
    for (const [index, device] of twins.list({ limit: MEMBERS_MAX }).entries()) {
      if (index % SLICE === SLICE - 1) await nextTurn();
      await this.#delta(twins, device, signal);
    }
  }

  async #publishChanges(
    twins: Twins,
    changes: readonly TwinChange[],
    signal: AbortSignal,
  ): Promise<void> {
    for (const { kind, device } of changes) {
      if (kind !== "reported") this.#desireless.delete(keyOf(device));
    }
    await this.#membership(twins, changes, signal);
    for (const { device, changes: own } of byDevice(changes)) {
      if (!twins.get(device)) continue;
      if (own.some(({ kind }) => kind === "updated")) await this.#updated(twins, device, signal);
      const steps = toSteps(twins, own);
      if (steps.length === 0) continue;
      await this.#toDevice(
        device,
        "twin/update/document",
        twinDocument(this.#stamp(), steps),
        signal,
      );
      await this.#delta(twins, device, signal);
    }
  }

  async #membership(
    twins: Twins,
    changes: readonly TwinChange[],
    signal: AbortSignal,
  ): Promise<void> {
    const { nodeName, publish, names } = this.#options;
    const moved = changes.filter(({ kind }) => kind === "added" || kind === "removed");
    if (moved.length === 0) return;
    names.forget();
    const added: Member[] = [];
    const removed: string[] = [];
    // by what is so now: one that came and went is gone
    for (const { device } of byDevice(moved)) {
      const summary = twins.get(device);
      if (summary) added.push({ summary, labels: twins.definition(device)?.labels ?? {} });
      else removed.push(`${device.namespace}/${device.name}`);
    }
    const topic = membershipTopic(nodeName, "updated");
    await publish(topic, membershipUpdated(this.#stamp(), { added, removed }), signal);
    for (const { summary } of added) await this.#delta(twins, summary, signal);
  }

  async #updated(twins: Twins, device: DeviceName, signal: AbortSignal): Promise<void> {
    const summary = twins.get(device);
    if (!summary) return;
    const labels = twins.definition(device)?.labels ?? {};
    await this.#toDevice(
      device,
      "updated",
      deviceUpdated(this.#stamp(), { summary, labels }),
      signal,
    );
  }

  async #delta(twins: Twins, device: DeviceName, signal: AbortSignal): Promise<void> {
    const key = keyOf(device);
    if (this.#desireless.has(key)) return;
    // most devices desire nothing: that is seen without a look at their definition
    if (!twins.status(device).some(({ observedDesired }) => observedDesired)) {
      if (this.#desireless.size < MEMBERS_MAX) this.#desireless.add(key);
      return;
    }
    const delta = twinDelta(this.#stamp(), twins.twins(device));
    if (delta !== undefined) await this.#toDevice(device, "twin/update/delta", delta, signal);
  }

  async #toDevice(
    device: DeviceName,
    topic: DeviceTopic,
    payload: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { names, publish } = this.#options;
    for (const id of names.idsOf(device)) await publish(deviceTopic(id, topic), payload, signal);
  }

  #stamp(): Stamp {
    const { clock, random } = this.#options;
    return { eventId: random.uuid(), nowMs: clock.nowMs() };
  }
}

function keyOf({ namespace, name }: DeviceName): string {
  return `${namespace}/${name}`;
}

function byDevice(changes: readonly TwinChange[]): OfDevice[] {
  const found = new Map<string, OfDevice>();
  for (const change of changes) {
    const { device } = change;
    const key = keyOf(device);
    const own = found.get(key);
    if (own) own.changes.push(change);
    else found.set(key, { device, changes: [change] });
  }
  return [...found.values()];
}

/** Both kinds of change of one property as one step. */
function toSteps(twins: Twins, changes: readonly TwinChange[]): TwinStep[] {
  const steps = new Map<string, TwinStep>();
  for (const change of changes) {
    if (change.kind !== "desired" && change.kind !== "reported") continue;
    const { device, property, before, after } = change;
    const earlier = steps.get(property);
    if (earlier) {
      steps.set(property, { ...earlier, after: later(earlier.after, after) });
      continue;
    }
    const view = twins.twin(device, property);
    if (view) steps.set(property, { property, type: view.type, before, after });
  }
  return [...steps.values()];
}

type Side = TwinStep["after"];

function later(a: Side, b: Side): Side {
  const isLater = b.desiredVersion > a.desiredVersion ||
    (b.reported?.version ?? 0) > (a.reported?.version ?? 0);
  return isLater ? b : a;
}
