/**
 * Follows what the runtime tells of containers, and knows how far that can be relied on. Events
 * only hurry what listing would find: a runtime without them, one that has them switched off (CRI-O
 * by default ends the stream at once) and one that loses some are listed as often as ever.
 *
 * containerd 1.x has one queue for all who listen: another listener takes part of the events, and
 * so does the forgotten stream of an agent that was killed. They are heeded, but not relied on.
 */
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { errorChain, isAppError } from "../../shared/errors.ts";
import {
  type ContainerEventResponse,
  ContainerEventType,
} from "../../shared/gen/runtime/v1/api_pb.ts";
import { roomLogger } from "../../shared/log.ts";
import type { ContainerRuntime } from "../cri/port.ts";
import { LABEL } from "./marks.ts";

export interface PlegOptions {
  runtime: Pick<ContainerRuntime, "containerEvents">;
  clock: Clock;
  /** What the runtime calls itself, as far as it is known yet. */
  runtimeName: () => { name?: string; version?: string };
  /** A container of the pod `uid` ("": of none) has ended or is gone; undefined: not said whose. */
  onEnd: (uid: string | undefined) => void;
  /** Events that were relied on no longer come. */
  onBreak: () => void;
}

const RETRY_MS_INITIAL = 5_000;
const RETRY_MS_MAX = 300_000;

export class Pleg {
  readonly #options: PlegOptions;
  readonly #log = roomLogger("edge", "pods");
  readonly #again = new Wakeup();
  #isTelling = false;
  #retryMs = RETRY_MS_INITIAL;

  constructor(options: PlegOptions) {
    this.#options = options;
  }

  /** True while events tell of every end, so that listing may be rare. */
  get isReliable(): boolean {
    return this.#isTelling && !sharesEvents(this.#options.runtimeName());
  }

  /** The runtime is there again, another one maybe: it is asked for its events at once. */
  retryNow(): void {
    this.#retryMs = RETRY_MS_INITIAL;
    if (!this.#isTelling) this.#again.wake();
  }

  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const hasEvents = await this.#followOne(signal);
      const wasReliable = this.isReliable;
      this.#isTelling = false;
      if (wasReliable) this.#options.onBreak();
      if (!hasEvents) {
        await this.#again.wait(signal);
        continue;
      }
      await waitAtMost(this.#again, this.#options.clock, this.#retryMs, signal);
      this.#retryMs = Math.min(RETRY_MS_MAX, this.#retryMs * 2);
    }
  }

  /** To the end of one stream; false when the runtime knows no such call. */
  async #followOne(signal: AbortSignal): Promise<boolean> {
    try {
      for await (const event of this.#options.runtime.containerEvents(signal)) {
        if (!this.#isTelling) this.#log.info("Following the runtime's events");
        this.#isTelling = true;
        this.#retryMs = RETRY_MS_INITIAL;
        this.#heed(event);
      }
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (isAppError(error, "unimplemented")) return false;
      this.#log.debug("The runtime's events broke off", { error: errorChain(error) });
      return true;
    }
  }

  /** Ends count; what was created or started was so by us. */
  #heed({ containerEventType: type, podSandboxStatus }: ContainerEventResponse): void {
    const isEnd = type === ContainerEventType.CONTAINER_STOPPED_EVENT ||
      type === ContainerEventType.CONTAINER_DELETED_EVENT;
    if (!isEnd) return;
    // A sandbox that is gone by the time of the event has no status to tell whose it was.
    this.#options.onEnd(podSandboxStatus && (podSandboxStatus.labels[LABEL.podUid] ?? ""));
  }
}

function sharesEvents({ name, version = "" }: { name?: string; version?: string }): boolean {
  return name === "containerd" && /^v?[01]\./.test(version);
}
