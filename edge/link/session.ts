/**
 * One session with the hub over one connection: hello and welcome, then desired state in, reports
 * out, heartbeats and the tunnel side by side, until the first of them ends it. A stream that ends
 * is seen at once; a link that is half-open, within two heartbeats.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { fullJitterMs } from "../../shared/async/backoff.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, isAppError } from "../../shared/errors.ts";
import {
  type Frame,
  type GoAway,
  GoAwayReason,
  type SessionRequest,
  SessionRequestSchema,
  type SessionResponse,
  TunnelRequestSchema,
  type TunnelResponse,
  type Welcome,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import { Outgoing } from "../../shared/wire/outgoing.ts";
import { fromConnectError } from "../../shared/wire/rpc_errors.ts";
import type { TrafficCounters } from "../../shared/wire/traffic.ts";
import type { Connection } from "./dial.ts";
import { Inbound } from "./inbound.ts";
import { Outbound } from "./outbound.ts";
import type { LinkLedger, LinkOutbox, TimeListener, TunnelHandler } from "./port.ts";
import type { LinkIdentity } from "./transport.ts";
import { Tunnel } from "./tunnel.ts";

const PROTOCOL_VERSION = 1;
/** Acknowledgements and heartbeats that may wait for a hub that reads slowly. */
const URGENT_MAX = 1024;
/** From dialling to the hub's welcome. */
const WELCOME_MS = 15_000;
/** A heartbeat more often would be the hub's mistake, more seldom would hide a dead link. */
const HEARTBEAT_MS_MIN = 100;
const HEARTBEAT_MS_MAX = 60_000;
/** The end of the year 9999: stamps have no room for more. */
const TIME_MS_MAX = 253_402_300_799_999n;
const TUNNEL_RETRY = { initialMs: 500, maxMs: 30_000 };
/**
 * A look at the certificate's age this often: timers do not count what a suspended machine slept.
 */
const RENEWAL_CHECK_MS = 6 * 3_600_000;
const RENEWAL_RETRY_MS = 10 * 60_000;

const log = roomLogger("edge", "link");

export interface LinkSessionOptions {
  connection: Connection;
  identity: LinkIdentity;
  instanceId: string;
  sessionNumber: bigint;
  softwareVersion: string;
  startedAtMs: number;
  ledger: LinkLedger;
  outbox: LinkOutbox;
  handler: TunnelHandler;
  counters: TrafficCounters;
  clock: Clock;
  random: Random;
  /** Called when the hub welcomed us. */
  onLive: () => void;
  /** Called at every message of the hub. */
  onHeard: () => void;
  /** See LinkOptions. */
  onTime: TimeListener | undefined;
}

/** Why the hub let us go. */
export class GoneAway extends Error {
  override readonly name = "GoneAway";
  readonly reason: GoAwayReason;

  constructor({ reason, message }: GoAway) {
    super(message || "The hub ended the session");
    this.reason = reason;
  }
}

export class LinkSession {
  readonly #options: LinkSessionOptions;
  readonly #outgoing: Outgoing<SessionRequest>;
  readonly #inbound: Inbound;
  readonly #tunnelWanted = new Wakeup();
  #outbound: Outbound | undefined;
  #lastHeardMs = 0;
  #helloAtMs = 0;
  #counter = 0n;

  constructor(options: LinkSessionOptions) {
    this.#options = options;
    const { counters } = options;
    this.#outgoing = new Outgoing({ urgentMax: URGENT_MAX, onTaken: (sent) => counters.up(sent) });
    this.#inbound = new Inbound({ ledger: options.ledger, outgoing: this.#outgoing });
  }

  /**
   * Runs the session to its end and throws why it ended: AppError, GoneAway, or the signal's
   * reason.
   */
  async run(signal: AbortSignal): Promise<never> {
    const scope = new TaskScope(signal);
    // a transport that takes nothing any more must not hold a sender, and with it the session
    scope.signal.addEventListener("abort", () => this.#outgoing.end(), { once: true });
    const welcomed = new AbortController();
    scope.spawn("welcome", (s) => this.#limitWelcome(AbortSignal.any([s, welcomed.signal])));
    scope.spawn("read", (s) => this.#read(scope, welcomed, s));
    try {
      await scope.join();
    } catch (error) {
      signal.throwIfAborted();
      // TaskScope wraps what its task threw
      throw error instanceof Error && error.cause ? error.cause : error;
    } finally {
      this.#outgoing.end();
      this.#options.connection.close();
    }
    signal.throwIfAborted();
    throw new AppError("unavailable", "The hub ended the session");
  }

  async #read(scope: TaskScope, welcomed: AbortController, signal: AbortSignal): Promise<void> {
    const { connection, clock, counters, onHeard } = this.#options;
    this.#hello();
    try {
      const responses = connection.hub.session(this.#outgoing, { signal });
      for await (const response of responses) {
        this.#lastHeardMs = clock.monotonicMs();
        counters.down(response);
        onHeard();
        const { message } = response;
        if (message.case === "welcome") {
          welcomed.abort();
          await this.#tellTime(message.value);
          this.#begin(message.value, scope);
        } else this.#receive(message);
      }
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof GoneAway ? error : fromConnectError(error);
    }
    throw new AppError("unavailable", "The hub ended the session");
  }

  /** Before anything is sent: stamps that were wrong are put right first. */
  async #tellTime({ serverTimeMs }: Welcome): Promise<void> {
    if (serverTimeMs <= 0n) return; // a cloud that does not say
    if (serverTimeMs > TIME_MS_MAX) return log.warn("The hub's time is none", { serverTimeMs });
    try {
      await this.#options.onTime?.(Number(serverTimeMs), this.#helloAtMs);
    } catch (error) {
      if (!isAppError(error)) throw error;
      log.warn("Stamps not corrected", { error: errorChain(error) });
    }
  }

  #hello(): void {
    this.#helloAtMs = this.#options.clock.monotonicMs();
    const { instanceId, sessionNumber, softwareVersion, startedAtMs, ledger } = this.#options;
    const { cloudId, generation, digest } = ledger.head;
    this.#send({
      case: "hello",
      value: {
        protocolVersion: PROTOCOL_VERSION,
        instanceId,
        sessionNumber,
        softwareVersion,
        startedAtMs: BigInt(Math.trunc(startedAtMs)),
        cloudId,
        generation: BigInt(generation),
        digest,
        readsAckRanges: true,
      },
    });
  }

  #begin(welcome: Welcome, scope: TaskScope): void {
    if (this.#outbound) throw new AppError("invalid", "Cannot accept a second welcome");
    const { outbox, onLive } = this.#options;
    const window = { itemsMax: welcome.reportItemsMax, bytesMax: welcome.reportBytesMax };
    const outbound = new Outbound({ outbox, outgoing: this.#outgoing, window });
    this.#outbound = outbound;
    const heartbeatMs = Math.min(
      HEARTBEAT_MS_MAX,
      Math.max(HEARTBEAT_MS_MIN, welcome.heartbeatIntervalMs),
    );
    if (welcome.needInventory) this.#inbound.requestInventory();
    scope.spawn("inbound", (signal) => this.#inbound.run(signal));
    scope.spawn("outbound", (signal) => outbound.run(signal));
    scope.spawn("acknowledgements", (signal) => outbound.runAcknowledgements(signal));
    scope.spawn("heartbeats", (signal) => this.#beat(heartbeatMs, signal));
    scope.spawn("tunnel", (signal) => this.#keepTunnel(welcome.tunnelOnDemand, signal));
    scope.spawn("renewal", (signal) => this.#keepRenewed(signal));
    onLive();
  }

  #receive(message: SessionResponse["message"]): void {
    if (message.case === "goAway") throw new GoneAway(message.value);
    if (!this.#outbound) throw new AppError("invalid", "The hub's first message must be a welcome");
    switch (message.case) {
      case "desiredBatch":
        return this.#inbound.receive(message.value);
      case "inventoryRequest":
        return this.#inbound.requestInventory();
      case "reportAck":
        return this.#outbound.acknowledge(message.value);
      case "openTunnel":
        return this.#tunnelWanted.wake();
      case "heartbeat":
        if (!message.value.reply) this.#heartbeat(message.value.counter, true);
        return;
      default:
        // of a newer hub: what it means it may not count on
        return;
    }
  }

  async #limitWelcome(signal: AbortSignal): Promise<void> {
    try {
      await this.#options.clock.sleep(WELCOME_MS, signal);
    } catch {
      return; // welcomed, or the session is over
    }
    throw new AppError("unavailable", `No welcome from the hub within ${WELCOME_MS / 1000} s`);
  }

  async #beat(heartbeatMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const silentMs = 2 * heartbeatMs + Math.min(heartbeatMs / 2, 2_000);
    let beatAtMs = clock.monotonicMs() + heartbeatMs;
    for (;;) {
      const lostAtMs = this.#lastHeardMs + silentMs;
      await clock.sleep(Math.min(beatAtMs, lostAtMs) - clock.monotonicMs(), signal);
      const nowMs = clock.monotonicMs();
      if (nowMs >= this.#lastHeardMs + silentMs) {
        throw new AppError("unavailable", "Nothing heard from the hub for two heartbeat intervals");
      }
      if (nowMs < beatAtMs) continue;
      beatAtMs = nowMs + heartbeatMs;
      this.#heartbeat(++this.#counter, false);
    }
  }

  #heartbeat(counter: bigint, reply: boolean): void {
    const generation = BigInt(this.#options.ledger.head.generation);
    this.#send({ case: "heartbeat", value: { counter, reply, generation } });
  }

  /** A tunnel that fails is opened again; it never ends the session. */
  async #keepTunnel(onDemand: boolean, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    for (let attempt = 0;; attempt++) {
      // the hub asks again for a tunnel that failed, for as long as somebody waits for it
      if (onDemand) await this.#tunnelWanted.wait(signal);
      const beganMs = clock.monotonicMs();
      try {
        await this.#runTunnel(signal);
      } catch (error) {
        signal.throwIfAborted();
        log.debug("Tunnel failed", { error: errorChain(error) });
      }
      if (onDemand) continue;
      if (clock.monotonicMs() - beganMs > TUNNEL_RETRY.maxMs) attempt = 0;
      await clock.sleep(fullJitterMs(TUNNEL_RETRY, attempt, random), signal);
    }
  }

  async #runTunnel(signal: AbortSignal): Promise<void> {
    const { connection, counters, handler, instanceId, sessionNumber } = this.#options;
    const tunnel = new Tunnel(handler);
    tunnel.hello(instanceId, sessionNumber);
    async function* up() {
      for await (const frame of tunnel.frames) {
        counters.tunnel("up", frame);
        yield create(TunnelRequestSchema, { frame });
      }
    }
    async function* down(responses: AsyncIterable<TunnelResponse>): AsyncGenerator<Frame> {
      for await (const { frame } of responses) {
        if (!frame) continue;
        counters.tunnel("down", frame);
        yield frame;
      }
    }
    await tunnel.run(down(connection.tunnel.tunnel(up(), { signal })));
  }

  async #keepRenewed(signal: AbortSignal): Promise<void> {
    const { connection, identity, clock } = this.#options;
    for (;;) {
      const dueMs = identity.renewAtMs - clock.nowMs();
      if (dueMs > 0) {
        await clock.sleep(Math.min(dueMs, RENEWAL_CHECK_MS), signal);
        continue;
      }
      try {
        await identity.renew(connection, signal);
      } catch (error) {
        signal.throwIfAborted();
        log.warn("Certificate not renewed", { error: errorChain(error) });
      }
      // also after success: a clock that is far ahead must not renew in a loop
      await clock.sleep(RENEWAL_RETRY_MS, signal);
    }
  }

  #send(message: NonNullable<MessageInitShape<typeof SessionRequestSchema>["message"]>): void {
    this.#outgoing.send(create(SessionRequestSchema, { message }));
  }
}
