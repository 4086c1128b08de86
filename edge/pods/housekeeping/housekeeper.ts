/**
 * What the node does now and then, whatever the pods do: logs are rotated each 10 s, log links kept
 * and emptyDir limits looked at each minute, images collected each 5 min. One task, one timer; each
 * duty looks after its own failures.
 */
import type { Clock } from "../../../shared/clock.ts";
import type { EmptyDirLimits } from "./empty_dir_limits.ts";
import type { ImageGc } from "./image_gc.ts";
import type { LinkedLog, LogLinks } from "./log_links.ts";
import type { LogRotation } from "./log_rotation.ts";

export interface HousekeeperOptions {
  clock: Clock;
  rotation: LogRotation;
  links: LogLinks;
  imageGc: ImageGc;
  emptyDirLimits: EmptyDirLimits;
  /** Logs of the containers that run, as last observed. */
  runningLogs: () => readonly LinkedLog[];
  /** False while the runtime is away: there is nothing to be done. */
  isRuntimeReady: () => boolean;
}

const LOGS_MS = 10_000;
const ROUNDS_PER_MINUTE = 6;
const ROUNDS_PER_IMAGES = 30;

export class Housekeeper {
  readonly #options: HousekeeperOptions;

  constructor(options: HousekeeperOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, rotation, links, imageGc, emptyDirLimits } = this.#options;
    const { runningLogs, isRuntimeReady } = this.#options;
    for (let round = 0; !signal.aborted; round++) {
      await clock.sleep(LOGS_MS, signal);
      if (!isRuntimeReady()) continue;
      const logs = runningLogs();
      await rotation.rotateAll(logs, signal);
      if (round % ROUNDS_PER_MINUTE === 0) {
        await links.sweep(logs);
        await emptyDirLimits.check(signal);
      }
      if (round % ROUNDS_PER_IMAGES === 0) await imageGc.collect(signal);
    }
  }
}
