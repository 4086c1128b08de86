/**
 * The node's link to its cloud. It dials, lives, and after a failure waits with full jitter (at
 * most a minute) and dials again, address after address, for as long as the process lives. No
 * failure of the link ever leaves `run`: work at the edge does not depend on it.
 *
 *     idle -> dialing -> live -> backoff -> dialing -> ...
 *                 \________________/^
 */
import { fullJitterMs } from "../../shared/async/backoff.ts";
import { Changes, Wakeup } from "../../shared/async/wakeup.ts";
import { type Clock, toTime } from "../../shared/clock.ts";
import { AppError, errorChain, invariant, isAppError } from "../../shared/errors.ts";
import { GoAwayReason } from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import { TrafficCounters, type TrafficTotals } from "../../shared/wire/traffic.ts";
import type { Connection } from "./dial.ts";
import type {
  IdentityFiles,
  LinkLedger,
  LinkOutbox,
  LinkStatus,
  TimeListener,
  TunnelHandler,
} from "./port.ts";
import { GoneAway, LinkSession } from "./session.ts";
import { type LinkIdentity, type LinkTransport, TLS_TRANSPORT } from "./transport.ts";

/**
 * The first try comes within a second; a fleet that lost one hub spreads over it. The bound doubles
 * with every second try: a cloud that merely restarts is back in a few seconds, and should be
 * found.
 */
const RETRY = { initialMs: 1_000, maxMs: 60_000 };
const TRIES_PER_DOUBLING = 2;
/** A session must live this long before a failure after it counts as the first again. */
const STABLE_MS = 10_000;
/** Attempts skipped at once when the hub said that this node should not come back soon. */
const UNWELCOME_ATTEMPTS = 10;

const log = roomLogger("edge", "link");

type State =
  | { kind: "idle" }
  | { kind: "dialing"; address: string; attempt: number }
  | { kind: "live"; address: string }
  | { kind: "backoff"; address: string; attempt: number };

export interface LinkOptions {
  /** Hubs as HOST:PORT, best first; at least one. */
  addresses: readonly string[];
  /** PEMs from enrolment. */
  identity: IdentityFiles;
  /** Keeps a renewed certificate (PEM) in place of the former; resolves when it is on disk. */
  onRenewed: (certificate: string) => Promise<void>;
  /** TLS where it is not said. */
  transport?: LinkTransport;
  softwareVersion: string;
  ledger: LinkLedger;
  outbox: LinkOutbox;
  /** Answers the HTTP requests that come through the tunnel. */
  handler: TunnelHandler;
  onTime?: TimeListener;
  clock: Clock;
  random: Random;
}

export class Link {
  /** Notified whenever `status()` changes its state. */
  readonly changes = new Changes();
  readonly #options: LinkOptions;
  readonly #transport: LinkTransport;
  readonly #identity: LinkIdentity;
  readonly #counters = new TrafficCounters();
  readonly #hurry = new Wakeup();
  readonly #instanceId: string;
  readonly #startedAtMs: number;
  #state: State = { kind: "idle" };
  #sinceMs: number;
  #lastSyncMs: number | undefined;
  #lastError: string | undefined;
  #sessions = 0n;

  /** Throws "invalid" when the certificate cannot be read. */
  constructor(options: LinkOptions) {
    invariant(options.addresses.length > 0, "a link needs an address");
    this.#options = options;
    const { identity, onRenewed, random, clock } = options;
    this.#transport = options.transport ?? TLS_TRANSPORT;
    this.#identity = this.#transport.openIdentity(identity, onRenewed, random);
    this.#instanceId = random.uuid();
    this.#startedAtMs = clock.nowMs();
    this.#sinceMs = this.#startedAtMs;
  }

  status(): LinkStatus {
    const state = this.#state;
    return {
      state: state.kind,
      since: toTime(this.#sinceMs),
      ...(state.kind === "idle" ? {} : { address: state.address }),
      ...("attempt" in state ? { attempt: state.attempt } : {}),
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
      ...(this.#lastSyncMs === undefined ? {} : { lastSync: toTime(this.#lastSyncMs) }),
    };
  }

  /** When the node's certificate ends, ms since 1970. */
  get certificateNotAfterMs(): number {
    return this.#identity.dates.notAfterMs;
  }

  /** Messages and bytes since the process began. */
  get traffic(): TrafficTotals {
    return this.#counters.totals;
  }

  /** Cuts a waiting back-off short: the network just came back, or someone asks. */
  reconnectNow(): void {
    this.#hurry.wake();
  }

  /** Keeps the link until `signal` aborts; resolves then, and never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { addresses, clock } = this.#options;
    let attempt = 0;
    for (let i = 0; !signal.aborted; i++) {
      const address = addresses[i % addresses.length]!; // there is at least one
      const beganMs = clock.monotonicMs();
      const error = await this.#once(address, attempt, signal);
      if (signal.aborted) break;
      const stable = this.#state.kind === "live" && clock.monotonicMs() - beganMs >= STABLE_MS;
      if (stable) attempt = 0;
      // the next address is tried at once; waiting begins when all were tried
      const roundOver = stable || (i + 1) % addresses.length === 0;
      this.#lastError = errorChain(error);
      log.warn("Link lost", { address, error: this.#lastError });
      if (isUnwelcome(error)) attempt = Math.max(attempt, UNWELCOME_ATTEMPTS);
      this.#enter({ kind: "backoff", address, attempt });
      if (!roundOver) continue;
      await this.#wait(attempt, signal);
      attempt++;
    }
    this.#enter({ kind: "idle" });
  }

  /** One session, from dialling to its end; the reason is returned, never thrown. */
  async #once(address: string, attempt: number, signal: AbortSignal): Promise<unknown> {
    this.#enter({ kind: "dialing", address, attempt });
    const { ledger, outbox, handler, clock, random, softwareVersion, onTime } = this.#options;
    let connection: Connection | undefined;
    try {
      connection = this.#transport.dial(address, this.#identity.files);
      const session = new LinkSession({
        connection,
        identity: this.#identity,
        instanceId: this.#instanceId,
        sessionNumber: ++this.#sessions,
        softwareVersion,
        startedAtMs: this.#startedAtMs,
        ledger,
        outbox,
        handler,
        counters: this.#counters,
        clock,
        random,
        onLive: () => {
          this.#lastError = undefined;
          log.info("Link live", { address });
          this.#enter({ kind: "live", address });
        },
        onTime,
        onHeard: () => this.#lastSyncMs = clock.nowMs(),
      });
      return await session.run(signal);
    } catch (error) {
      if (isAppError(error, "unauthenticated") && !signal.aborted) {
        return await this.#renewLate(address, error, signal);
      }
      return error;
    } finally {
      connection?.close();
    }
  }

  /** The hub no longer takes our certificate: it may have run out while we were away. */
  async #renewLate(address: string, refusal: AppError, signal: AbortSignal): Promise<unknown> {
    const connection = this.#transport.dial(address, this.#identity.files);
    try {
      await this.#identity.renew(connection, signal);
      return new AppError("unavailable", "Certificate renewed, dialling again");
    } catch (cause) {
      return new AppError("unauthenticated", refusal.message, {}, { cause });
    } finally {
      connection.close();
    }
  }

  async #wait(attempt: number, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    const done = new AbortController();
    const stop = AbortSignal.any([signal, done.signal]);
    const doublings = Math.floor(attempt / TRIES_PER_DOUBLING);
    const sleep = clock.sleep(fullJitterMs(RETRY, doublings, random), stop);
    const hurry = this.#hurry.wait(stop);
    await Promise.race([sleep, hurry]).catch(() => {}); // aborted: the caller sees it
    done.abort();
    await Promise.allSettled([sleep, hurry]);
  }

  #enter(state: State): void {
    this.#state = state;
    this.#sinceMs = this.#options.clock.nowMs();
    this.changes.notify();
  }
}

function isUnwelcome(error: unknown): boolean {
  if (error instanceof GoneAway) {
    return error.reason === GoAwayReason.REPLACED || error.reason === GoAwayReason.REVOKED ||
      error.reason === GoAwayReason.PROTOCOL;
  }
  return isAppError(error, "unauthenticated", "forbidden", "conflict", "invalid");
}
