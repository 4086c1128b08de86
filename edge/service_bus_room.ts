/**
 * The ServiceBus of a node that has it enabled: loaded then only, and listening for as long as the
 * program runs. A port that is taken is tried again, and stops nothing else.
 */
import { fullJitterMs } from "../shared/async/backoff.ts";
import { untilAborted } from "../shared/async/task_scope.ts";
import { Changes } from "../shared/async/wakeup.ts";
import type { Clock } from "../shared/clock.ts";
import { AppError, errorChain, isAppError } from "../shared/errors.ts";
import { openHttpListener } from "../shared/http_listener.ts";
import { roomLogger } from "../shared/log.ts";
import type { Random } from "../shared/random.ts";
import type { Store } from "../shared/store/port.ts";
import { ruleUrls } from "./rules/edge_rules.ts";
import type { Answers, RuleOutbox, ServiceBusStatus, TargetAnswer } from "./rules/port.ts";
import type { ServiceBus } from "./rules/service_bus.ts";
import { isLoopback, type ServiceBusConfig } from "./service_bus_config.ts";

const TOKEN_BYTES_MAX = 4_096;
const RETRY = { initialMs: 1_000, maxMs: 60_000 };

const log = roomLogger("edge", "rules");

export interface ServiceBusRoomOptions {
  config: ServiceBusConfig;
  store: Store;
  outbox: RuleOutbox;
  clock: Clock;
  random: Random;
}

export class ServiceBusRoom implements Answers {
  /** Notified when its address changes. */
  readonly changes = new Changes();
  readonly #options: ServiceBusRoomOptions;
  #bus: ServiceBus | undefined;
  #address: string | undefined;
  #problem: string | undefined;

  constructor(options: ServiceBusRoomOptions) {
    this.#options = options;
  }

  answered(id: string, answer: TargetAnswer): boolean {
    return this.#bus?.answered(id, answer) ?? false;
  }

  addresses(): { serviceBus?: string } {
    return this.#address === undefined ? {} : { serviceBus: `http://${this.#address}` };
  }

  /** Undefined where it is not enabled. */
  status(): ServiceBusStatus | undefined {
    if (!this.#bus) return undefined;
    return {
      ...(this.#address === undefined ? {} : { address: this.#address }),
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
      ...this.#bus.status(),
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { config, store, outbox, clock, random } = this.#options;
    if (!config.enable) return;
    const { ServiceBus } = await import("./rules/service_bus.ts");
    const bus = this.#bus = new ServiceBus({
      outbox,
      urls: () => ruleUrls(store),
      timeoutMs: config.timeoutSeconds * 1_000,
      token: () => readToken(config.tokenFile),
      isOpen: !isLoopback(config.listen),
      clock,
      random,
    });
    for (let attempt = 0;; attempt++) {
      try {
        return await this.#listen(bus, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isAppError(error, "unavailable")) throw error;
        this.#problem = errorChain(error);
        log.error("ServiceBus does not listen", { error: this.#problem });
      }
      await clock.sleep(fullJitterMs(RETRY, attempt, random), signal);
    }
  }

  async #listen(bus: ServiceBus, signal: AbortSignal): Promise<void> {
    const { config: { listen }, clock } = this.#options;
    const handler = (request: Request) => bus.fetch(request);
    const listener = openHttpListener({ listen, handler, clock });
    try {
      this.#address = listener.address;
      this.#problem = undefined;
      this.changes.notify();
      log.info("ServiceBus listens", { address: listener.address });
      await untilAborted(signal);
    } finally {
      this.#address = undefined;
      await listener.close();
    }
  }
}

/** Read at each request: a token can be changed without a restart. */
async function readToken(file: string): Promise<string | undefined> {
  if (file === "") return undefined;
  const { size } = await Deno.stat(file);
  const token = size > TOKEN_BYTES_MAX ? "" : (await Deno.readTextFile(file)).trim();
  if (/^\S+$/.test(token)) return token;
  throw new AppError("invalid", `${file} must hold one token, at most ${TOKEN_BYTES_MAX} bytes`);
}
