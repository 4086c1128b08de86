/**
 * Pulls images for the pre-pull jobs the ledger holds, and tells the cloud what came of each. A job
 * is in the ledger as long as the cloud counts on this node: one that leaves it is given up. What
 * was told is not done again, also not by the next life of the agent while the report still waits
 * to be sent. Pulls share the pods' queue, and come behind them.
 *
 *     ledger holds it -> checks -> pulls (each tried 1 + retryTimes times) -> told as done
 */
import { TaskScope } from "../../../shared/async/task_scope.ts";
import { Wakeup } from "../../../shared/async/wakeup.ts";
import type { Clock } from "../../../shared/clock.ts";
import { AppError, errorChain, isAppError } from "../../../shared/errors.ts";
import { GVR } from "../../../shared/k8s/gvr.ts";
import {
  type ImagePrePullJob,
  PREPULL_DEFAULTS,
  PREPULL_REASON_MAX,
  type PrePullImage,
  type PrePullResult,
} from "../../../shared/k8s/prepull.ts";
import type { Secret } from "../../../shared/k8s/types.ts";
import { roomLogger } from "../../../shared/log.ts";
import { objectKey, qualifiedResource } from "../../../shared/wire/keys.ts";
import type { Ledger } from "../../meta/port.ts";
import { type ImageName, parseImageName } from "../image_name.ts";
import type { PrePullReports } from "../port.ts";
import type { NodeUse } from "./node_use.ts";

/** Above this a node that is asked to look pulls nothing; KubeEdge's. */
const USE_PERCENT_MAX = 80;
const RETRY_MS = 1_000;
const RETRY_MS_MAX = 30_000;
const RESOURCE = qualifiedResource(GVR.imagePrePullJobs);
/** A runtime that is away, a disk that is full: looked after again. */
const AGAIN_MS = 5_000;
/** Jobs at work at once; more wait in the ledger. */
const JOBS_MAX = 16;
/** Uids remembered as done; they leave the ledger soon after. */
const DONE_MAX = 1_000;

export interface PrePullerOptions {
  ledger: Pick<Ledger, "list" | "get" | "changes">;
  images: {
    prePull(name: ImageName, secrets: readonly Secret[], signal: AbortSignal): Promise<string>;
  };
  reports: PrePullReports;
  use: NodeUse;
  /** Called with the reference of what was pulled. */
  onPulled: (reference: string) => void;
  clock: Clock;
}

export class PrePuller {
  readonly #options: PrePullerOptions;
  readonly #wakeup = new Wakeup();
  readonly #running = new Map<string, AbortController>();
  readonly #done = new Set<string>();
  readonly #log = roomLogger("edge", "pods", "prepull");

  constructor(options: PrePullerOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.#options.ledger.changes.subscribe(() => this.#wakeup.wake());
    const scope = new TaskScope(signal);
    try {
      while (!signal.aborted) {
        this.#look(scope);
        await this.#wakeup.wait(signal);
      }
    } finally {
      unsubscribe();
      scope.abort();
      await scope.join();
    }
  }

  #look(scope: TaskScope): void {
    const jobs = this.#options.ledger.list<ImagePrePullJob>(RESOURCE);
    const held = new Set(jobs.map(uidOf));
    for (const [uid, work] of this.#running) {
      if (!held.has(uid)) work.abort(new AppError("canceled", "The job was withdrawn"));
    }
    for (const job of jobs) {
      const uid = uidOf(job);
      const isKnown = this.#running.has(uid) || this.#done.has(uid) ||
        this.#options.reports.holds(uid);
      if (isKnown || this.#running.size >= JOBS_MAX) continue;
      const work = new AbortController();
      this.#running.set(uid, work);
      scope.spawn(`pre-pull job ${job.metadata.name}`, async (signal) => {
        await this.#guard(job, AbortSignal.any([signal, work.signal]));
        this.#running.delete(uid);
        this.#wakeup.wake();
      });
    }
  }

  /** A job that fails in a way nobody thought of is told as failed, and harms nothing else. */
  async #guard(job: ImagePrePullJob, signal: AbortSignal): Promise<void> {
    try {
      const result = await this.#do(job, signal);
      await this.#tell(job, result);
      this.#remember(uidOf(job));
    } catch (error) {
      if (signal.aborted) return;
      const { name } = job.metadata;
      this.#log.warn("Pre-pull job failed", { job: name, error: errorChain(error) });
      // Not remembered as done: it is tried again, until the cloud says that it is too late.
      await this.#options.clock.sleep(AGAIN_MS, signal).catch(() => undefined);
    }
  }

  async #do(job: ImagePrePullJob, signal: AbortSignal): Promise<PrePullResult> {
    const template = job.spec.imagePrePullTemplate ?? {};
    const names = template.images ?? [];
    const refusal = await this.#refusal(template.checkItems ?? [], signal);
    if (refusal !== undefined) return { refusal, images: [] };
    const { clock } = this.#options;
    const late = new AbortController();
    const over = AbortSignal.any([signal, late.signal]);
    const timeoutMs = (template.timeoutSeconds || PREPULL_DEFAULTS.timeoutSeconds) * 1_000;
    const timer = clock.sleep(timeoutMs, over)
      .then(() => late.abort(new AppError("canceled", "the job's time is over")))
      .catch(() => undefined); // ended by the job being done or given up: nothing to say
    try {
      const images = await Promise.all(names.map((image) => this.#pull(image, job, over)));
      signal.throwIfAborted();
      return { images };
    } finally {
      late.abort();
      await timer;
    }
  }

  async #refusal(items: readonly ("cpu" | "mem" | "disk")[], signal: AbortSignal) {
    for (const item of items) {
      const percent = await this.#options.use(item, signal);
      if (percent <= USE_PERCENT_MAX) continue;
      return `${item} is used to ${Math.round(percent)} %, more than ${USE_PERCENT_MAX} %`;
    }
    return undefined;
  }

  async #pull(image: string, job: ImagePrePullJob, signal: AbortSignal): Promise<PrePullImage> {
    const { images, clock, onPulled } = this.#options;
    const name = parseImageName(image);
    if (!name) return failed(image, "invalid reference format");
    const triesMax = 1 + (job.spec.imagePrePullTemplate?.retryTimes ?? 0);
    let cause = "";
    for (let tried = 1; tried <= triesMax; tried++) {
      try {
        await images.prePull(name, this.#secrets(job), signal);
        onPulled(name.reference);
        this.#log.info("Image pre-pulled", { image });
        return { image, status: "True" };
      } catch (error) {
        if (signal.aborted) return failed(image, errorChain(signal.reason));
        if (isAppError(error, "unavailable")) throw error; // the runtime is away: no try at all
        cause = errorChain(error);
        if (tried === triesMax) break;
        const delayMs = Math.min(RETRY_MS * 2 ** (tried - 1), RETRY_MS_MAX);
        await clock.sleep(delayMs, signal).catch(() => undefined); // looked at just below
        if (signal.aborted) return failed(image, errorChain(signal.reason));
      }
    }
    this.#log.warn("Cannot pre-pull image", { image, error: cause });
    return failed(image, cause);
  }

  /** Read anew at each try: it may come late. */
  #secrets(job: ImagePrePullJob): Secret[] {
    const [namespace, name] = job.spec.imagePrePullTemplate?.imageSecrets?.split("/") ?? [];
    if (!namespace || !name) return [];
    const secret = this.#options.ledger.get<Secret>(objectKey(GVR.secrets, namespace, name));
    return secret ? [secret] : [];
  }

  async #tell(job: ImagePrePullJob, result: PrePullResult): Promise<void> {
    await this.#options.reports.put({ name: job.metadata.name ?? "", uid: uidOf(job) }, result);
  }

  #remember(uid: string): void {
    this.#done.add(uid);
    if (this.#done.size <= DONE_MAX) return;
    for (const oldest of this.#done) {
      this.#done.delete(oldest);
      break;
    }
  }
}

function uidOf(job: ImagePrePullJob): string {
  return job.metadata.uid ?? "";
}

function failed(image: string, reason: string): PrePullImage {
  return { image, status: "False", reason: reason.slice(0, PREPULL_REASON_MAX) || "unknown" };
}
