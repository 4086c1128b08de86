/**
 * Moves pre-pull jobs on (`plan_prepull.ts`) and writes what nodes tell of them. Writes carry the
 * resourceVersion they were decided on and are decided again on conflict, so that the controller
 * and the reports never overwrite one another. Idle without jobs that are not over.
 */
import { Wakeup } from "../../shared/async/wakeup.ts";
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { ImagePrePullJob, PrePullResult, PrePullStatus } from "../../shared/k8s/prepull.ts";
import type { Node } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { ReportOutcome } from "../hub/port.ts";
import type { KubeClient } from "../kube/port.ts";
import { isPrePullOver, planPrePull, withResult } from "./plan_prepull.ts";
import type { ObjectCache } from "./port.ts";

const CONFLICT_TRIES = 8;
/** The longest sleep; a job that could not be written is tried again sooner. */
const IDLE_MS = 3_600_000;
const RETRY_MS = 1_000;

export interface PrePullJobsOptions {
  kube: KubeClient;
  jobs: ObjectCache<ImagePrePullJob>;
  nodes: ObjectCache<Node>;
  clock: Clock;
}

export class PrePullJobs {
  readonly #options: PrePullJobsOptions;
  readonly #log = roomLogger("cloud", "controllers", "prepull");
  readonly #wakeup = new Wakeup();

  constructor(options: PrePullJobsOptions) {
    this.#options = options;
    options.jobs.subscribe(({ after }) => {
      if (after && !isPrePullOver(after)) this.#wakeup.wake();
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { jobs, nodes, clock } = this.#options;
    await Promise.all([jobs.ready(signal), nodes.ready(signal)]);
    while (true) {
      let delayMs = IDLE_MS;
      for (const job of [...jobs.list()]) {
        if (isPrePullOver(job)) continue;
        delayMs = Math.min(delayMs, await this.#moveOn(job, signal));
      }
      await waitAtMost(this.#wakeup, clock, Math.max(delayMs, 1), signal);
    }
  }

  /** What a node tells of a job it is at work on. */
  async apply(
    node: string,
    report: { job: { name: string; uid: string }; result: PrePullResult },
    signal: AbortSignal,
  ): Promise<ReportOutcome> {
    const { name, uid } = report.job;
    for (let attempt = 0; attempt < CONFLICT_TRIES; attempt++) {
      const job = await this.#read(name, signal);
      if (job.metadata.uid !== uid) return dropped("job was recreated under another uid");
      const next = withResult(job, node, report.result, this.#options.clock.nowMs());
      if ("refusal" in next) return dropped(next.refusal);
      if (await this.#write(job, next.status, signal)) return { kind: "applied" };
    }
    throw new AppError("unavailable", `Cannot write job ${name}: too many conflicting writers`);
  }

  /** Says how long nothing will have to be done for it. */
  async #moveOn(job: ImagePrePullJob, signal: AbortSignal): Promise<number> {
    const { nodes, clock } = this.#options;
    const named = {
      get: (name: string) => nodes.get(undefined, name),
      list: () => nodes.list(),
    };
    const { status, wakeAtMs } = planPrePull(job, named, clock.nowMs());
    if (!status) return (wakeAtMs ?? Infinity) - clock.nowMs();
    try {
      // On conflict the cache is about to learn what it was; its change wakes this up again.
      await this.#write(job, status, signal);
      return IDLE_MS;
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      if (isAppError(error, "not_found")) return IDLE_MS; // deleted meanwhile
      const { name } = job.metadata;
      this.#log.warn("Cannot move pre-pull job on", { job: name, error: errorChain(error) });
      return RETRY_MS;
    }
  }

  #read(name: string, signal: AbortSignal): Promise<ImagePrePullJob> {
    return this.#options.kube.get<ImagePrePullJob>(GVR.imagePrePullJobs, { name }, signal);
  }

  /** False when somebody else was first. */
  async #write(
    job: ImagePrePullJob,
    status: PrePullStatus,
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      await this.#options.kube.update<ImagePrePullJob>(
        GVR.imagePrePullJobs,
        { ...job, status },
        signal,
        { subresource: "status" },
      );
      return true;
    } catch (error) {
      if (!isAppError(error, "conflict")) throw error;
      return false;
    }
  }
}

function dropped(reason: string): ReportOutcome {
  return { kind: "dropped", reason };
}
