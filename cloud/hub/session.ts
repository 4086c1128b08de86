/**
 * One session of one node, from its hello to its end: desired state down, reports up, heartbeats.
 * It ends when the node's stream ends, when nothing was heard for two heartbeats, when a newer one
 * takes its place, when the node breaks the protocol, or when the hub stops; always once, and with
 * a GoAway where someone may still read it.
 *
 *     live --(stream end | end())--> ending --(tasks joined)--> over
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { KeyedMutex } from "../../shared/async/keyed_mutex.ts";
import { TaskScope, untilAborted } from "../../shared/async/task_scope.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import {
  GoAwayReason,
  type Heartbeat,
  type Hello,
  type SessionRequest,
  type SessionResponse,
  SessionResponseSchema,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import { Outgoing } from "../../shared/wire/outgoing.ts";
import { breachOf } from "../../shared/wire/rpc_errors.ts";
import type { TrafficCounters } from "../../shared/wire/traffic.ts";
import { Downstream } from "./downstream.ts";
import type { SessionClaim } from "./judge_session.ts";
import type { Peer } from "./peer.ts";
import type { DesiredSource, ReportSink, SessionInfo, TunnelEnd } from "./port.ts";
import { REPORT_BYTES_MAX, REPORT_ITEMS_MAX, Upstream } from "./upstream.ts";

/** The one version there is. */
export const PROTOCOL_VERSION = 1;
/** Acknowledgements and heartbeats that may wait for a peer that reads slowly. */
const URGENT_MAX = 1024;
/** How long the peer may take to read a GoAway and end its side. */
const FAREWELL_MS = 1_000;
const GENERATION_MAX = BigInt(Number.MAX_SAFE_INTEGER) >> 1n;
/** A tunnel nobody has used for so long is closed: it costs both sides memory. */
const TUNNEL_IDLE_MS = 120_000;

const log = roomLogger("cloud", "hub");

export interface SessionOptions {
  node: string;
  keyHash: string;
  peer: Peer;
  hello: Hello;
  heartbeatMs: number;
  source: DesiredSource;
  sink: ReportSink;
  /** Of reports of one key, over all sessions. */
  order?: KeyedMutex;
  /** Of all sessions. */
  traffic: TrafficCounters;
  clock: Clock;
  random: Random;
}

export class NodeSession implements SessionClaim {
  readonly outgoing: Outgoing<SessionResponse>;
  readonly #options: SessionOptions;
  readonly #downstream: Downstream;
  readonly #upstream: Upstream;
  readonly #ended = new AbortController();
  readonly #sinceMs: number;
  readonly #heard = new Wakeup();
  #tunnel: TunnelEnd | undefined;
  #tunnelWaiters = new Set<() => void>();
  #tunnelUsedMs = 0;
  #lastHeardMs: number;
  #lastHeartbeatMs: number;
  #messages = 0;
  #probes = 0n;

  constructor(options: SessionOptions) {
    this.#options = options;
    const { node, hello, source, sink, clock, random } = options;
    const { traffic } = options;
    const outgoing = new Outgoing<SessionResponse>({
      urgentMax: URGENT_MAX,
      onTaken: (sent) => traffic.down(sent),
    });
    this.outgoing = outgoing;
    this.#downstream = new Downstream({ node, hello, source, outgoing, clock, random });
    const { order } = options;
    const common = { node, sink, outgoing, clock, random };
    const ackRanges = hello.readsAckRanges;
    this.#upstream = new Upstream({ ...common, ackRanges, ...order ? { order } : {} });
    this.#sinceMs = clock.nowMs();
    this.#lastHeartbeatMs = this.#sinceMs;
    this.#lastHeardMs = clock.monotonicMs();
  }

  get node(): string {
    return this.#options.node;
  }

  get keyHash(): string {
    return this.#options.keyHash;
  }

  get instanceId(): string {
    return this.#options.hello.instanceId;
  }

  get sessionNumber(): bigint {
    return this.#options.hello.sessionNumber;
  }

  get tunnel(): TunnelEnd | undefined {
    return this.#tunnel;
  }

  info(): SessionInfo {
    return {
      node: this.node,
      sinceMs: this.#sinceMs,
      lastHeartbeatMs: this.#lastHeartbeatMs,
      ackedGeneration: this.#downstream.ackedGeneration,
      remoteAddress: this.#options.peer.address,
    };
  }

  /** Welcomes the node and serves it until the session is over. Never throws. */
  async run(requests: AsyncIterable<SessionRequest>): Promise<void> {
    const { heartbeatMs, source, node, peer, clock } = this.#options;
    log.info("Session begins", { node, address: peer.address });
    this.#send({
      case: "welcome",
      value: {
        protocolVersion: PROTOCOL_VERSION,
        cloudId: source.cloudId,
        heartbeatIntervalMs: heartbeatMs,
        needInventory: this.#downstream.needsInventory,
        reportItemsMax: REPORT_ITEMS_MAX,
        reportBytesMax: REPORT_BYTES_MAX,
        serverTimeMs: BigInt(Math.trunc(clock.nowMs())),
        tunnelOnDemand: true,
      },
    });
    const scope = new TaskScope(this.#ended.signal);
    scope.spawn("downstream", (signal) => this.#downstream.run(signal));
    scope.spawn("upstream", (signal) => this.#upstream.run(signal));
    scope.spawn("watchdog", (signal) => this.#watch(signal));
    const whenScopeFails = () => this.end(GoAwayReason.SHUTDOWN, "Internal error");
    scope.signal.addEventListener("abort", whenScopeFails, { once: true });
    const readDone = new AbortController();
    const farewell = this.#farewell(readDone.signal);
    await this.#read(requests);
    readDone.abort();
    this.#close("Stream ended");
    try {
      await scope.join();
    } catch (error) {
      log.error("Session failed", { node, error: errorChain(error) });
    }
    await farewell;
    log.info("Session over", { node, reason: errorChain(this.#ended.signal.reason) });
  }

  /** Ends the session with a GoAway; the first reason stays. */
  end(reason: GoAwayReason, message: string): void {
    if (this.#ended.signal.aborted) return;
    this.#send({ case: "goAway", value: { reason, message } });
    this.#close(message);
  }

  /** True when the node answers within `timeoutMs`. */
  async probe(timeoutMs: number): Promise<boolean> {
    const counter = ++this.#probes;
    const before = this.#messages;
    this.#send({ case: "heartbeat", value: { counter, reply: false, generation: 0n } });
    const late = new AbortController();
    const timer = this.#options.clock.sleep(timeoutMs, late.signal).then(
      () => late.abort(),
      () => {}, // stopped below: the answer came first
    );
    const stop = AbortSignal.any([late.signal, this.#ended.signal]);
    try {
      while (this.#messages === before) await this.#heard.wait(stop);
      return !this.#ended.signal.aborted;
    } catch {
      return false; // too late, or the session ended meanwhile
    } finally {
      late.abort();
      await timer;
    }
  }

  /** Makes `tunnel` this session's; the one before, if any, is closed. */
  attachTunnel(tunnel: TunnelEnd): void {
    this.#tunnel?.close(new AppError("unavailable", "A newer tunnel took over"));
    this.#tunnel = tunnel;
    this.#tunnelUsedMs = this.#options.clock.monotonicMs();
    if (this.#ended.signal.aborted) tunnel.close(new AppError("unavailable", "Session ended"));
    for (const wake of [...this.#tunnelWaiters]) wake();
  }

  detachTunnel(tunnel: TunnelEnd): void {
    if (this.#tunnel === tunnel) this.#tunnel = undefined;
  }

  /** The tunnel, asked for and waited for while `signal` allows. */
  async whenTunnel(signal: AbortSignal): Promise<TunnelEnd> {
    const stop = AbortSignal.any([signal, this.#ended.signal]);
    if (!this.#tunnel) this.#send({ case: "openTunnel", value: {} });
    while (!this.#tunnel) {
      if (stop.aborted) {
        throw new AppError("unavailable", `Cannot reach node ${this.node}: it opens no tunnel`);
      }
      await new Promise<void>((resolve) => {
        const done = () => {
          this.#tunnelWaiters.delete(done);
          stop.removeEventListener("abort", done);
          resolve();
        };
        this.#tunnelWaiters.add(done);
        stop.addEventListener("abort", done, { once: true });
      });
    }
    return this.#tunnel;
  }

  async #read(requests: AsyncIterable<SessionRequest>): Promise<void> {
    try {
      for await (const request of requests) {
        this.#lastHeardMs = this.#options.clock.monotonicMs();
        this.#messages++;
        this.#options.traffic.up(request);
        this.#heard.wake();
        this.#receive(request);
      }
    } catch (error) {
      const breach = breachOf(error);
      if (breach) this.end(GoAwayReason.PROTOCOL, breach.message);
      else this.#close(errorChain(error)); // a broken stream: the node dials again
    }
  }

  #receive({ message }: SessionRequest): void {
    switch (message.case) {
      case "desiredAck":
        checkGeneration(message.value.generation);
        return this.#downstream.acknowledge(message.value);
      case "desiredReject":
        return this.#downstream.reject(message.value);
      case "inventory":
        checkGeneration(message.value.generation);
        return this.#downstream.inventory(message.value);
      case "reportBatch":
        return this.#upstream.offer(message.value.items);
      case "heartbeat":
        return this.#answer(message.value);
      case "hello":
        throw new AppError("invalid", "Cannot accept a second hello");
      default:
        // of a newer node: what it means it may not count on
        return;
    }
  }

  #answer({ counter, reply }: Heartbeat): void {
    this.#lastHeartbeatMs = this.#options.clock.nowMs();
    this.#closeIdleTunnel();
    this.#downstream.reconcileIfDue();
    if (!reply) this.#send({ case: "heartbeat", value: { counter, reply: true, generation: 0n } });
  }

  #closeIdleTunnel(): void {
    const tunnel = this.#tunnel;
    if (!tunnel) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (tunnel.streams > 0) this.#tunnelUsedMs = nowMs;
    if (nowMs - this.#tunnelUsedMs < TUNNEL_IDLE_MS) return;
    this.#tunnel = undefined; // first: a request that comes now asks for a new one
    tunnel.close(new AppError("unavailable", "Nobody uses the tunnel"));
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { clock, heartbeatMs } = this.#options;
    const silentMs = silenceMs(heartbeatMs);
    for (;;) {
      const dueMs = this.#lastHeardMs + silentMs - clock.monotonicMs();
      if (dueMs <= 0) {
        return this.end(GoAwayReason.SILENT, "Nothing heard for two heartbeat intervals");
      }
      await clock.sleep(dueMs, signal);
    }
  }

  /** After the end, cuts off a peer that does not end its side. */
  async #farewell(readDone: AbortSignal): Promise<void> {
    await untilAborted(AbortSignal.any([readDone, this.#ended.signal]));
    try {
      await this.#options.clock.sleep(FAREWELL_MS, readDone);
    } catch {
      return; // it did
    }
    this.#options.peer.reset();
  }

  #close(reason: string): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort(new AppError("canceled", reason));
    this.outgoing.end();
    this.#tunnel?.close(new AppError("unavailable", `Node's session ended: ${reason}`));
  }

  #send(message: NonNullable<MessageInitShape<typeof SessionResponseSchema>["message"]>): void {
    this.outgoing.send(create(SessionResponseSchema, { message }));
  }
}

/** Throws for one that could not be counted on from: kept, it would be the node's last. */
export function checkGeneration(generation: bigint): void {
  if (generation <= GENERATION_MAX) return;
  throw new AppError("invalid", `Cannot accept generation ${generation}: it is none`);
}

/** Two missed heartbeats, and some room for a slow line. */
export function silenceMs(heartbeatMs: number): number {
  return 2 * heartbeatMs + Math.min(heartbeatMs / 2, 2_000);
}
