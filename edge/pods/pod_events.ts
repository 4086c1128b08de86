/** Events about pods, in kubelet's words. An event that cannot be kept stops nothing. */
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { PodRef } from "../../shared/wire/report.ts";
import type { EventLog } from "../meta/port.ts";
import type { ContainerRole } from "./pod_containers.ts";

/** kubelet's own bound for the message of an event. */
const MESSAGE_CHARS_MAX = 1024;

export interface PodEvent {
  type: "Normal" | "Warning";
  reason: string;
  message: string;
  /** Set when the event is about one container. */
  container?: { name: string; role: ContainerRole };
}

const LISTS: Record<ContainerRole, string> = {
  init: "spec.initContainers",
  main: "spec.containers",
  ephemeral: "spec.ephemeralContainers",
};

export class PodEvents {
  readonly #events: EventLog;
  readonly #log = roomLogger("edge", "pods");

  constructor(events: EventLog) {
    this.#events = events;
  }

  async emit(pod: PodRef, event: PodEvent): Promise<void> {
    const list = LISTS[event.container?.role ?? "main"];
    try {
      await this.#events.record({
        involvedObject: {
          apiVersion: "v1",
          kind: "Pod",
          namespace: pod.namespace,
          name: pod.name,
          uid: pod.uid,
          ...(event.container ? { fieldPath: `${list}{${event.container.name}}` } : {}),
        },
        type: event.type,
        reason: event.reason,
        message: event.message.slice(0, MESSAGE_CHARS_MAX),
      });
    } catch (error) {
      this.#log.warn("Cannot record event", { reason: event.reason, error: errorChain(error) });
    }
  }
}
