/**
 * Work of devices: of one device strictly in order, of different devices side by side. What gathers
 * while a device's commit is on its way goes into its next one, together; the store lets commits of
 * different devices share one sync. Bounded per device and overall: beyond it callers get
 * "exhausted".
 */
import { AppError } from "../../shared/errors.ts";

/** Waiting work of one device: half a second of a very talkative one. */
export const WAITING_PER_DEVICE_MAX = 1_000;
/** Waiting work of all: about 20 MB of ordinary commands. */
export const WAITING_MAX = 20_000;
/** Work in one commit: bounds its size, and how long others wait for the processor. */
const TOGETHER_MAX = 128;

interface Waiting<W> {
  work: W;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class Mailboxes<W> {
  readonly #perform: (key: string, works: readonly W[]) => Promise<void>;
  readonly #boxes = new Map<string, Waiting<W>[]>();
  #waiting = 0;

  /** `perform` carries out work of one device; what it throws goes to all who asked. */
  constructor(perform: (key: string, works: readonly W[]) => Promise<void>) {
    this.#perform = perform;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Resolves when the work is done. `urgent` work is our own, and is not refused. */
  post(key: string, work: W, urgent = false): Promise<void> {
    const box = this.#boxes.get(key);
    if (!urgent && (box?.length ?? 0) >= WAITING_PER_DEVICE_MAX) {
      return Promise.reject(full(`of device ${key}`, WAITING_PER_DEVICE_MAX));
    }
    if (!urgent && this.#waiting >= WAITING_MAX) {
      return Promise.reject(full("of all devices", WAITING_MAX));
    }
    this.#waiting++;
    return new Promise((resolve, reject) => {
      const waiting = { work, resolve, reject };
      if (box) return void box.push(waiting);
      const opened = [waiting];
      this.#boxes.set(key, opened);
      // it hands every failure to those who wait
      void this.#run(key, opened);
    });
  }

  async #run(key: string, box: Waiting<W>[]): Promise<void> {
    await undefined; // what is posted in this very turn goes along
    while (box.length > 0) {
      const together = box.splice(0, TOGETHER_MAX);
      try {
        await this.#perform(key, together.map(({ work }) => work));
        for (const { resolve } of together) resolve();
      } catch (error) {
        for (const { reject } of together) reject(error);
      }
      this.#waiting -= together.length;
    }
    this.#boxes.delete(key);
  }
}

function full(whose: string, max: number): AppError {
  return new AppError(
    "exhausted",
    `Cannot take the command: waiting commands ${whose} must be ` +
      `<= ${max}`,
    { rule: "busy" },
  );
}
