/**
 * The network between edges and the hub. A connection carries calls as TCP would: bytes of one
 * direction arrive in order or not at all, a break is noticed at once, late, or never, and what was
 * under way when a side gave up may still arrive. Messages travel encoded. Both ends are the real
 * ones: the edge's LinkSession above `dial`, the hub's services below.
 */
import { Code, ConnectError, createContextValues, type HandlerContext } from "@connectrpc/connect";
import type { ConnectRouter } from "@connectrpc/connect";
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { Hub } from "../../cloud/hub/hub.ts";
import { PEER, type Peer } from "../../cloud/hub/peer.ts";
import type { Connection } from "../../edge/link/dial.ts";
import {
  RenewRequestSchema,
  RenewResponseSchema,
  SessionRequestSchema,
  SessionResponseSchema,
  TunnelRequestSchema,
  TunnelResponseSchema,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import type { Random } from "../../shared/random.ts";
import type { VirtualTime } from "../../shared/testing/virtual_time.ts";
import type { Life } from "./life.ts";
import { Pipe } from "./pipe.ts";

/** After so long without an answer to what it sent, a kernel ends a connection by itself. */
const KERNEL_GIVES_UP_MS = 15 * 60_000;

export type Direction = "up" | "down";

/** The weather on one node's line, changed by the faults. */
export interface Line {
  latencyMs: number;
  /** Nothing arrives, and nobody is told. */
  silent: Record<Direction, boolean>;
}

export type Handlers = Map<string, (requests: unknown, context: HandlerContext) => unknown>;

/** Where the hub can be reached, while it can. */
export interface HubEnd {
  hub: Hub;
  life: Life;
}

/** The services' handlers, as they give them to a router. */
export function handlersOf(hub: Hub): Handlers {
  const handlers: Handlers = new Map();
  const router = {
    service: (_: unknown, implementation: Record<string, unknown>) => {
      for (const [name, handler] of Object.entries(implementation)) {
        handlers.set(name, handler as (requests: unknown, context: HandlerContext) => unknown);
      }
    },
  };
  hub.register(router as unknown as ConnectRouter); // it calls nothing else
  return handlers;
}

export interface NetworkOptions {
  time: VirtualTime;
  random: Random;
  hub: () => HubEnd | undefined;
  onMessage: (node: string, direction: Direction, message: unknown, bytes: number) => void;
}

interface Dialled {
  node: string;
  /** The edge's process. */
  life: Life;
  certificate: string;
}

export class SimNetwork {
  readonly options: NetworkOptions;
  readonly #lines = new Map<string, Line>();
  readonly #connections = new Set<SimConnection>();

  constructor(options: NetworkOptions) {
    this.options = options;
  }

  line(node: string): Line {
    let line = this.#lines.get(node);
    if (!line) {
      line = { latencyMs: 5, silent: { up: false, down: false } };
      this.#lines.set(node, line);
    }
    return line;
  }

  connections(node?: string): SimConnection[] {
    return [...this.#connections].filter((each) => node === undefined || each.node === node);
  }

  dial(dialled: Dialled): Connection {
    const connection = new SimConnection(this, dialled, () => this.#connections.delete(connection));
    this.#connections.add(connection);
    return connection.face();
  }
}

/** One direction of a connection: arrivals in the order of departures. */
class Way {
  readonly #network: SimNetwork;
  readonly #node: string;
  readonly #direction: Direction;
  #lastAtMs = 0;
  #held: (() => void)[] = [];
  #isCut = false;

  constructor(network: SimNetwork, node: string, direction: Direction) {
    this.#network = network;
    this.#node = node;
    this.#direction = direction;
  }

  send(arrive: () => void): void {
    const { time, random } = this.#network.options;
    const { latencyMs } = this.#network.line(this.#node);
    const atMs = Math.max(this.#lastAtMs, time.nowMs + latencyMs * (0.5 + random.float()));
    this.#lastAtMs = atMs;
    time.schedule("network", atMs - time.nowMs, () => this.#arrive(arrive));
  }

  /** What a silence that is over held back arrives soon, and until then all else waits for it. */
  resume(): void {
    if (this.#held.length === 0) return;
    const { time, random } = this.#network.options;
    const { latencyMs, silent } = this.#network.line(this.#node);
    time.schedule("network", latencyMs * (0.5 + random.float()), () => {
      if (silent[this.#direction]) return; // again
      const held = this.#held;
      this.#held = [];
      for (const arrive of held) arrive();
    });
  }

  /** Nothing arrives any more. */
  cut(): void {
    this.#isCut = true;
    this.#held = [];
  }

  #arrive(arrive: () => void): void {
    if (this.#isCut) return;
    if (this.#network.line(this.#node).silent[this.#direction]) this.#held.push(arrive);
    else if (this.#held.length > 0) this.#held.push(arrive);
    else arrive();
  }
}

export class SimConnection {
  readonly node: string;
  readonly #network: SimNetwork;
  readonly #dialled: Dialled;
  readonly #ways: Record<Direction, Way>;
  readonly #calls = new Set<Call>();
  readonly #onOver: () => void;
  #server: { end: HubEnd; handlers: Handlers } | undefined;
  #isOpen: Record<"edge" | "hub", boolean> = { edge: true, hub: true };
  /** Something of it has come to the hub; before that the hub knows of no connection. */
  #isEstablished = false;

  constructor(network: SimNetwork, dialled: Dialled, onOver: () => void) {
    this.node = dialled.node;
    this.#network = network;
    this.#dialled = dialled;
    this.#onOver = onOver;
    this.#ways = {
      up: new Way(network, dialled.node, "up"),
      down: new Way(network, dialled.node, "down"),
    };
  }

  get openCalls(): number {
    return this.#calls.size;
  }

  /** What the edge holds of it. */
  face(): Connection {
    const hub = {
      session: (requests: AsyncIterable<unknown>, options: { signal: AbortSignal }) =>
        this.#stream("session", SessionRequestSchema, SessionResponseSchema, requests, options),
      renew: (request: { certificateRequest: string }, options: { signal: AbortSignal }) =>
        this.#renew(request, options.signal),
    };
    const tunnel = {
      tunnel: (requests: AsyncIterable<unknown>, options: { signal: AbortSignal }) =>
        this.#stream("tunnel", TunnelRequestSchema, TunnelResponseSchema, requests, options),
    };
    // the link enrols through no connection of its own, and calls nothing else
    return {
      address: "hub:1",
      hub,
      tunnel,
      close: () => this.closeEdge(),
    } as unknown as Connection;
  }

  /** The line lives again: what was on its way goes on. */
  resume(): void {
    this.#ways.up.resume();
    this.#ways.down.resume();
  }

  /**
   * Breaks. The edge notices at once. The hub notices too, or only after it has read what was on
   * its way, or (`isSilent`) never.
   */
  break(options: { isSilent: boolean; lateMs: number }): void {
    this.#failEdge("Connection reset");
    if (!this.#isEstablished || options.isSilent) return this.#tellHub("Connection reset", true);
    const { time } = this.#network.options;
    const { lateMs } = options;
    if (lateMs === 0) return this.#failHub("Connection reset");
    time.schedule("network", lateMs, () => this.#failHub("Connection reset"));
  }

  /** The edge's process closes it. */
  closeEdge(): void {
    if (!this.#isOpen.edge) return;
    this.#failEdge("Connection closed");
    this.#tellHub("Connection closed", false);
  }

  /** The edge's process is gone; `isSilent`: with its machine. */
  abandonEdge(isSilent: boolean): void {
    if (!this.#isOpen.edge) return;
    this.#isOpen.edge = false;
    this.#ways.down.cut();
    for (const call of [...this.#calls]) call.abandon("edge");
    this.#tellHub("Connection reset by peer", isSilent);
    this.#over();
  }

  /** The cloud's process closes it. */
  closeHub(): void {
    if (!this.#isOpen.hub) return;
    this.#failHub("Connection closed");
    this.#ways.down.send(() => this.#failEdge("Connection reset by peer"));
  }

  /** The cloud's process is gone; `isSilent`: with its machine. */
  abandonHub(isSilent: boolean): void {
    if (!this.#isOpen.hub) return;
    this.#isOpen.hub = false;
    this.#ways.up.cut();
    for (const call of [...this.#calls]) call.abandon("hub");
    const reset = () => this.#failEdge("Connection reset by peer");
    if (!isSilent) this.#ways.down.send(reset);
    else this.#network.options.time.schedule("network", KERNEL_GIVES_UP_MS, reset);
    this.#over();
  }

  #failEdge(message: string): void {
    if (!this.#isOpen.edge) return;
    this.#isOpen.edge = false;
    this.#ways.down.cut();
    for (const call of [...this.#calls]) call.failEdge(new Error(message));
    this.#over();
  }

  /** The edge is gone: the hub hears it behind what is on its way, or from its own kernel. */
  #tellHub(message: string, isSilent: boolean): void {
    if (!this.#isEstablished) return this.#failHub(message);
    const fail = () => this.#failHub(message);
    if (!isSilent) this.#ways.up.send(fail);
    this.#network.options.time.schedule("network", KERNEL_GIVES_UP_MS, fail);
  }

  #failHub(message: string): void {
    if (!this.#isOpen.hub) return;
    this.#isOpen.hub = false;
    this.#ways.up.cut();
    for (const call of [...this.#calls]) call.failHub(new ConnectError(message, Code.Canceled));
    this.#over();
  }

  #over(): void {
    if (!this.#isOpen.edge && !this.#isOpen.hub) this.#onOver();
  }

  #context(reset: () => void): HandlerContext {
    const peer: Peer = {
      certificate: new TextEncoder().encode(this.#dialled.certificate),
      address: `${this.node}:1`,
      reset,
    };
    const values = createContextValues().set(PEER, peer);
    return { values } as unknown as HandlerContext; // the handlers look at nothing else
  }

  #reach(): { end: HubEnd; handlers: Handlers } {
    this.#isEstablished = true;
    const end = this.#network.options.hub();
    if (!end?.life.isAlive) throw new Error("Connection refused");
    if (!this.#server) this.#server = { end, handlers: handlersOf(end.hub) };
    if (this.#server.end !== end) throw new Error("Connection reset by peer");
    return this.#server;
  }

  #stream<I extends DescMessage, O extends DescMessage>(
    name: string,
    input: I,
    output: O,
    requests: AsyncIterable<unknown>,
    { signal }: { signal: AbortSignal },
  ): AsyncIterable<MessageShape<O>> {
    const { onMessage } = this.#network.options;
    const { node } = this;
    const call = new Call({
      ways: this.#ways,
      signal,
      edgeLife: this.#dialled.life,
      encode: (message) => {
        const bytes = toBinary(input, message as MessageShape<I>); // the session sends no other
        onMessage(node, "up", message, bytes.length);
        return bytes;
      },
      answer: (up) => {
        const { handlers } = this.#reach();
        const decoded = up.map((bytes) => fromBinary(input, bytes));
        const context = this.#context(() => call.failHub(new ConnectError("Reset", Code.Canceled)));
        const answers = handlers.get(name)!(decoded, context); // the services have registered it
        return mapped(answers as AsyncIterable<MessageShape<O>>, (message) => {
          const bytes = toBinary(output, message);
          onMessage(node, "down", message, bytes.length);
          return bytes;
        });
      },
      hubLife: () => this.#server?.end.life,
      onOver: () => this.#calls.delete(call),
    });
    this.#calls.add(call);
    if (!this.#isOpen.edge) call.failEdge(new Error("Connection closed"));
    call.begin(requests);
    return call.down.map((bytes) => fromBinary(output, bytes));
  }

  /** One request, one answer: a stream of one each way. */
  async #renew(request: { certificateRequest: string }, signal: AbortSignal): Promise<unknown> {
    const { onMessage } = this.#network.options;
    const call = new Call({
      ways: this.#ways,
      signal,
      edgeLife: this.#dialled.life,
      encode: (message) => {
        onMessage(this.node, "up", { message: { case: "renew" } }, 0);
        return toBinary(RenewRequestSchema, message as MessageShape<typeof RenewRequestSchema>);
      },
      answer: (up) => this.#answerRenewal(up),
      hubLife: () => this.#server?.end.life,
      onOver: () => this.#calls.delete(call),
    });
    this.#calls.add(call);
    const message = { $typeName: RenewRequestSchema.typeName, ...request };
    call.begin(once(message));
    for await (const bytes of call.down.map((each) => each)) {
      return fromBinary(RenewResponseSchema, bytes);
    }
    throw new ConnectError("No answer", Code.Unavailable);
  }

  async *#answerRenewal(up: Pipe): AsyncGenerator<Uint8Array> {
    const { handlers } = this.#reach();
    for await (const bytes of up.map((each) => each)) {
      const request = fromBinary(RenewRequestSchema, bytes);
      const answer = await handlers.get("renew")!(request, this.#context(() => {}));
      yield toBinary(RenewResponseSchema, {
        $typeName: RenewResponseSchema.typeName,
        ...answer as { certificate: string; caCertificate: string },
      });
      return;
    }
  }
}

interface CallOptions {
  ways: Record<Direction, Way>;
  signal: AbortSignal;
  edgeLife: Life;
  hubLife: () => Life | undefined;
  encode: (message: unknown) => Uint8Array;
  /** The hub's answer; throws when there is no hub. */
  answer: (up: Pipe) => AsyncIterable<Uint8Array>;
  onOver: () => void;
}

/** One call on a connection: a stream each way, and who of the two still listens. */
class Call {
  readonly up = new Pipe();
  readonly down = new Pipe();
  readonly #options: CallOptions;
  readonly #onAbort: () => void;
  #open = { edge: true, hub: true };

  constructor(options: CallOptions) {
    this.#options = options;
    this.#onAbort = () => this.#cancel();
    options.signal.addEventListener("abort", this.#onAbort, { once: true });
    this.down.onReturn = () => this.#endEdge(undefined);
  }

  begin(requests: AsyncIterable<unknown>): void {
    const { ways } = this.#options;
    ways.up.send(() => this.#serve());
    void this.#pumpUp(requests); // never rejects
  }

  failEdge(error: Error): void {
    this.down.fail(error);
    this.#leave("edge");
  }

  failHub(error: Error): void {
    this.up.fail(error);
    this.#leave("hub");
  }

  /** The process of one side is gone: whatever it held of the call stays as it is. */
  abandon(side: "edge" | "hub"): void {
    this.#leave(side);
  }

  async #pumpUp(requests: AsyncIterable<unknown>): Promise<void> {
    const { ways, encode, edgeLife } = this.#options;
    const iterator = requests[Symbol.asyncIterator]();
    this.down.onEnd = () => void Promise.try(() => iterator.return?.()).catch(() => {}); // it ends
    try {
      for (;;) {
        const next = await iterator.next();
        if (!this.#open.edge || !edgeLife.isAlive) break;
        if (next.done) {
          ways.up.send(() => this.up.end());
          break;
        }
        const bytes = encode(next.value);
        ways.up.send(() => this.up.push(bytes));
        await this.up.room();
      }
    } catch (error) {
      this.failEdge(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #serve(): void {
    if (!this.#open.hub) return;
    const { answer, ways } = this.#options;
    let answers: AsyncIterable<Uint8Array>;
    try {
      answers = answer(this.up);
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      ways.down.send(() => this.failEdge(failure));
      return this.#leave("hub");
    }
    void this.#pumpDown(answers); // never rejects
  }

  async #pumpDown(answers: AsyncIterable<Uint8Array>): Promise<void> {
    const { ways, hubLife } = this.#options;
    const iterator = answers[Symbol.asyncIterator]();
    this.up.onEnd = () => void Promise.try(() => iterator.return?.()).catch(() => {}); // it ends
    try {
      for (;;) {
        const next = await iterator.next();
        if (!this.#open.hub || !hubLife()?.isAlive) return;
        if (next.done) {
          ways.down.send(() => this.#endEdge(undefined));
          return;
        }
        const bytes = next.value;
        ways.down.send(() => this.down.push(bytes));
        await this.down.room();
      }
    } catch (error) {
      const failure = travelling(error);
      ways.down.send(() => this.#endEdge(failure));
    }
  }

  /** The answer has ended: the edge's side of the call ends with it, and then the hub's. */
  #endEdge(error: Error | undefined): void {
    if (!this.#open.edge) return;
    if (error) this.down.fail(error);
    else this.down.end();
    this.#leave("edge");
    this.#options.ways.up.send(() => {
      this.up.end();
      this.#leave("hub");
    });
  }

  /** The edge's caller gave up: its stream breaks, and the hub hears of it. */
  #cancel(): void {
    if (!this.#open.edge) return;
    this.failEdge(new ConnectError("Canceled", Code.Canceled));
    this.#options.ways.up.send(() => this.failHub(new ConnectError("Canceled", Code.Canceled)));
  }

  #leave(side: "edge" | "hub"): void {
    if (!this.#open[side]) return;
    this.#open[side] = false;
    if (side === "edge") this.#options.signal.removeEventListener("abort", this.#onAbort);
    if (!this.#open.edge && !this.#open.hub) this.#options.onOver();
  }
}

/** As it arrives at the other side: code and message, no cause. */
function travelling(error: unknown): Error {
  if (error instanceof ConnectError) return new ConnectError(error.rawMessage, error.code);
  return new Error(String(error));
}

async function* once<T>(value: T): AsyncGenerator<T> {
  await Promise.resolve();
  yield value;
}

async function* mapped<A, B>(items: AsyncIterable<A>, map: (item: A) => B): AsyncGenerator<B> {
  for await (const item of items) yield map(item);
}
