/**
 * Ends pods because the machine goes down. They are held stopped, and run again when the machine is
 * back; or, where the operator wants what kubelet does, they are Failed as Terminated for good.
 */
import type { Pod } from "../../shared/k8s/types.ts";
import type { EndablePods, PodClass } from "../node/port.ts";
import { isCritical } from "./eviction/rank.ts";
import type { Hold, PodVerdict } from "./plan_deadline.ts";

export interface PodShutdownOptions {
  pods: () => readonly Pod[];
  /** Pods that were ended stay so: Failed. */
  isFinal: boolean;
  /** Look at this pod. */
  onVerdict: (uid: string) => void;
}

/** kubelet's words. */
const MESSAGE = "Pod was terminated in response to imminent node shutdown.";
const REASON = "Terminated";
const REFUSAL = {
  reason: "NodeShutdown",
  message: "Pod was rejected as the node is shutting down.",
} as const;

export class PodShutdown implements EndablePods {
  readonly #options: PodShutdownOptions;
  readonly #graces = new Map<PodClass, number>();

  constructor(options: PodShutdownOptions) {
    this.#options = options;
  }

  end(which: PodClass, graceSeconds: number): void {
    this.#graces.set(which, graceSeconds);
    this.#touchAll();
  }

  haveEnded(which: PodClass): boolean {
    return this.#options.pods().every((pod) =>
      classOf(pod) !== which ||
      !pod.status?.containerStatuses?.some(({ state }) => state?.running)
    );
  }

  resume(): void {
    this.#graces.clear();
    this.#touchAll();
  }

  /** No pod is taken any more, once the first have been ended. */
  refusal(): { reason: string; message: string } | undefined {
    return this.#graces.size > 0 ? REFUSAL : undefined;
  }

  verdict(pod: Pod): PodVerdict | undefined {
    const graceSeconds = this.#graces.get(classOf(pod));
    if (graceSeconds === undefined || !this.#options.isFinal) return undefined;
    return {
      type: "Normal",
      reason: REASON,
      message: MESSAGE,
      graceSeconds,
      isDisruption: true,
    };
  }

  /** Why the containers of a pod are stopped and wait, and with how much grace. */
  hold(pod: Pod): Hold | undefined {
    const graceSeconds = this.#graces.get(classOf(pod));
    if (graceSeconds === undefined || this.#options.isFinal) return undefined;
    return { reason: REASON, message: MESSAGE, graceSeconds };
  }

  #touchAll(): void {
    for (const { metadata } of this.#options.pods()) this.#options.onVerdict(metadata.uid ?? "");
  }
}

function classOf(pod: Pod): PodClass {
  return isCritical(pod) ? "critical" : "ordinary";
}
