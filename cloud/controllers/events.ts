/**
 * Events the cloud itself writes, for people. They never hold up or fail the work they tell about:
 * what cannot be written is logged and forgotten.
 */
import { type Clock, toTime } from "../../shared/clock.ts";
import { errorChain, isAbort } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Event, KubeObject } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { KubeClient } from "../kube/port.ts";

const MESSAGE_MAX = 1_024;

export interface EventNote {
  type: "Normal" | "Warning";
  reason: string;
  message: string;
}

export class EventRecorder {
  readonly #kube: KubeClient;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #component: string;
  readonly #log = roomLogger("cloud", "controllers", "events");

  constructor(kube: KubeClient, clock: Clock, random: Random, component: string) {
    this.#kube = kube;
    this.#clock = clock;
    this.#random = random;
    this.#component = component;
  }

  async record(about: KubeObject, note: EventNote, signal: AbortSignal): Promise<void> {
    try {
      await this.#kube.create<Event>(GVR.events, this.#event(about, note), signal);
    } catch (error) {
      if (isAbort(error, signal)) throw error;
      this.#log.info("Event not written", { reason: note.reason, error: errorChain(error) });
    }
  }

  #event(about: KubeObject, note: EventNote): Event {
    const { name = "", namespace, uid, resourceVersion } = about.metadata;
    const time = toTime(this.#clock.nowMs());
    const home = namespace ?? "default"; // where events about cluster-scoped objects live
    const stamp = BigInt(Math.trunc(this.#clock.nowMs())) * 1_000_000n +
      BigInt(Math.floor(this.#random.float() * 1_000_000));
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${name}.${stamp.toString(16)}`, namespace: home },
      involvedObject: {
        apiVersion: about.apiVersion ?? "v1",
        kind: about.kind ?? "",
        name,
        ...(namespace ? { namespace } : {}),
        ...(uid ? { uid } : {}),
        ...(resourceVersion ? { resourceVersion } : {}),
      },
      reason: note.reason,
      message: note.message.slice(0, MESSAGE_MAX),
      type: note.type,
      source: { component: this.#component },
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
      reportingComponent: this.#component,
      reportingInstance: "",
    };
  }
}
