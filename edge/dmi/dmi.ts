/**
 * DMI on a node: the socket mappers call, and the mappers that are called. The socket listens from
 * the start; what answers on it is loaded with the first call, or where a mapper has registered in
 * an earlier run.
 */
import type http2 from "node:http2";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { Changes, Wakeup } from "../../shared/async/wakeup.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import { Gate } from "./gate.ts";
import { MAPPERS_BUCKET } from "./mapper_rows.ts";
import type { MapperRegistry, MapperRegistryOptions } from "./mappers.ts";
import type { DmiFacts, DmiSocketStatus, Mappers } from "./port.ts";
import { type DmiHandler, DmiSocket } from "./socket.ts";
import type * as Unary from "./unary.ts";
import type { UnaryMethods } from "./unary.ts";

/** Calls served at once; each may hold a message of 4 MiB. */
const SERVED_MAX = 64;
/** Those that wait cost a stream, not their bodies. */
const WAITING_MAX = 4_096;
const HELD_MS_MAX = 30_000;

const log = roomLogger("edge", "dmi");

export interface DmiOptions extends MapperRegistryOptions {
  /** Path of the socket. */
  socket: string;
  /** Number of the group that may connect to it. */
  group: () => Promise<number | undefined>;
}

export class Dmi {
  readonly #options: DmiOptions;
  readonly #socket: DmiSocket;
  readonly #gate: Gate;
  readonly #needed = new Wakeup();
  /** A mapper has registered, or those of an earlier run are known again. */
  readonly changes = new Changes();
  #registry: MapperRegistry | undefined;
  #methods: Promise<[typeof Unary, UnaryMethods]> | undefined;

  constructor(options: DmiOptions) {
    const { socket: path, group, clock } = options;
    this.#options = options;
    this.#gate = new Gate({
      servedMax: SERVED_MAX,
      waitingMax: WAITING_MAX,
      heldMsMax: HELD_MS_MAX,
      monotonicMs: () => clock.monotonicMs(),
    });
    const handler: DmiHandler = (stream, headers) => {
      void this.#serve(stream, headers).catch((error) => {
        // the stream is beyond saving; the caller sees it end
        log.error("Call of a mapper failed", { error: errorChain(error) });
        stream.close();
      });
    };
    this.#socket = new DmiSocket({ path, group, clock, handler });
  }

  get mappers(): Mappers {
    return this.#registry ?? NO_MAPPERS;
  }

  get socket(): DmiSocketStatus {
    return this.#socket.status;
  }

  get facts(): DmiFacts {
    const { mappers, socket: { problem } } = this;
    const counts = () => ({ ...this.#gate.counts, mappers: mappers.list().length });
    return { mappers, counts, problem };
  }

  /** Listens; a failure is in `socket.problem`, and tried again while it runs. */
  async open(): Promise<void> {
    await this.#socket.open();
  }

  async run(signal: AbortSignal): Promise<void> {
    const scope = new TaskScope(signal);
    scope.spawn("dmi socket", (inner) => this.#socket.run(inner));
    scope.spawn("mappers", (inner) => this.#runMappers(inner));
    await scope.join();
  }

  async #runMappers(signal: AbortSignal): Promise<void> {
    while (!this.#registry && this.#options.store.count(MAPPERS_BUCKET) === 0) {
      await this.#needed.wait(signal);
    }
    const registry = await this.#loadRegistry();
    await registry.run(signal);
  }

  async #loadRegistry(): Promise<MapperRegistry> {
    const { MapperRegistry } = await import("./mappers.ts");
    this.#registry ??= new MapperRegistry(this.#options);
    this.changes.notify();
    return this.#registry;
  }

  async #serve(
    stream: http2.ServerHttp2Stream,
    headers: http2.IncomingHttpHeaders,
  ): Promise<void> {
    stream.on("error", () => {}); // a stream that broke closes, and that is looked at
    let leave: () => void;
    try {
      leave = await this.#gate.enter(() => stream.close());
    } catch (error) {
      return (await import("./unary.ts")).refuseCall(stream, error);
    }
    if (stream.destroyed || stream.closed) return leave();
    stream.once("close", leave);
    const [{ answerCall }, methods] = await (this.#methods ??= this.#load());
    await answerCall(stream, headers, methods);
  }

  async #load(): Promise<[typeof Unary, UnaryMethods]> {
    const unary = await import("./unary.ts");
    const { DeviceManager } = await import("./service.ts");
    const service = new DeviceManager({
      twins: this.#options.twins,
      register: async (mapper, withData, timeoutMs) => {
        const registry = await this.#loadRegistry();
        this.#needed.wake();
        try {
          return await registry.register(mapper, withData, timeoutMs);
        } finally {
          this.changes.notify();
        }
      },
    });
    return [unary, service.methods()];
  }
}

const NO_MAPPERS: Mappers = {
  list: () => [],
  ofProtocol: () => undefined,
  refusal: () => undefined,
};
