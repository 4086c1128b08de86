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
  #handler: Promise<DmiHandler> | undefined;

  constructor(options: DmiOptions) {
    const { socket: path, group, clock } = options;
    this.#options = options;
    this.#gate = new Gate({
      servedMax: SERVED_MAX,
      waitingMax: WAITING_MAX,
      heldMsMax: HELD_MS_MAX,
      monotonicMs: () => clock.monotonicMs(),
    });
    const handler: DmiHandler = (request, response) => {
      void this.#serve(request, response).catch((error) => {
        // the stream is beyond saving; the caller sees it end
        log.error("Call of a mapper failed", { error: errorChain(error) });
        response.stream?.close();
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
    request: http2.Http2ServerRequest,
    response: http2.Http2ServerResponse,
  ): Promise<void> {
    let leave: () => void;
    try {
      leave = await this.#gate.enter(() => request.stream.close());
    } catch (error) {
      return refuse(response, errorChain(error));
    }
    if (request.stream.destroyed) return leave();
    response.once("close", leave);
    const handler = await (this.#handler ??= this.#load());
    // gRPC's C core (Python, C++) says the socket's path there, which makes no URL
    Object.defineProperty(request, "authority", { value: "localhost" });
    handler(request, response);
  }

  async #load(): Promise<DmiHandler> {
    const { DeviceManager } = await import("./service.ts");
    return new DeviceManager({
      twins: this.#options.twins,
      register: async (mapper, withData) => {
        const registry = await this.#loadRegistry();
        this.#needed.wake();
        try {
          return await registry.register(mapper, withData);
        } finally {
          this.changes.notify();
        }
      },
    }).handler();
  }
}

const NO_MAPPERS: Mappers = {
  list: () => [],
  ofProtocol: () => undefined,
  refusal: () => undefined,
};

/** RESOURCE_EXHAUSTED without a look at the request. */
function refuse(response: http2.Http2ServerResponse, message: string): void {
  response.writeHead(200, {
    "content-type": "application/grpc",
    "grpc-status": "8",
    "grpc-message": encodeURIComponent(message),
  });
  response.end();
}
