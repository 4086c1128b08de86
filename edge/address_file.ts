/**
 * Keeps `addresses.json` as it should be. It is for those who look the edge up: a disk that takes
 * nothing stops neither the start nor anything that runs; the file comes when the disk is well.
 */
import { waitAtMost } from "../shared/async/wait_at_most.ts";
import { Wakeup } from "../shared/async/wakeup.ts";
import { type Addresses, removeAddresses, writeAddresses } from "../shared/addresses.ts";
import type { Clock } from "../shared/clock.ts";
import { errorChain } from "../shared/errors.ts";
import { roomLogger } from "../shared/log.ts";

const log = roomLogger("edge");
const RETRY_MS = 5_000;

export interface AddressFileOptions {
  dataDir: string;
  clock: Clock;
  /** What is listened on now. */
  addresses: () => Addresses;
}

export class AddressFile {
  readonly #options: AddressFileOptions;
  readonly #wakeup = new Wakeup();
  #written = "";
  #problem = "";

  constructor(options: AddressFileOptions) {
    this.#options = options;
  }

  /** The addresses have changed. */
  wake(): void {
    this.#wakeup.wake();
  }

  /** Writes what is new; false when the disk did not take it. */
  async write(): Promise<boolean> {
    const addresses = this.#options.addresses();
    const text = JSON.stringify(addresses);
    if (text === this.#written) return true;
    try {
      await writeAddresses(this.#options.dataDir, addresses);
      this.#written = text;
      this.#problem = "";
      return true;
    } catch (error) {
      const problem = errorChain(error);
      if (problem !== this.#problem) log.warn("Cannot write addresses.json", { error: problem });
      this.#problem = problem;
      return false;
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      if (await this.write()) await this.#wakeup.wait(signal);
      else await waitAtMost(this.#wakeup, this.#options.clock, RETRY_MS, signal);
    }
  }

  remove(): Promise<void> {
    return removeAddresses(this.#options.dataDir);
  }
}
