/**
 * The listeners of the embedded broker. An address that is taken is said and tried again: pods and
 * devices of other protocols do not wait for it. The library is loaded when it is first needed.
 *
 *     starting -> up | down (said why) -> (back-off) up ...
 */
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { fullJitterMs } from "../../shared/async/backoff.ts";
import { untilAborted } from "../../shared/async/task_scope.ts";
import type { Clock } from "../../shared/clock.ts";
import { formatAddress, parseAddress } from "../../shared/config.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { MqttConfig } from "../config.ts";
import type { Broker, BrokerOptions } from "./broker.ts";
import { Users } from "./passwords.ts";
import type { AppMessage, BrokerState, MqttKept } from "./port.ts";

type OfBroker = "take" | "onForbidden" | "store" | "sparing" | "counters";

export interface EmbeddedOptions extends Pick<BrokerOptions, OfBroker> {
  config: MqttConfig;
  clock: Clock;
  random: Random;
  onChange: () => void;
}

interface Listener {
  server: Server;
  address: string;
}

const RETRY = { initialMs: 1_000, maxMs: 30_000 };
/** Below it a retry is no rest. */
const RETRY_MS_MIN = 250;
/** One look at the file's stamp; only where there is one. */
const USERS_LOOK_MS = 3_000;

export class EmbeddedBroker {
  readonly #options: EmbeddedOptions;
  readonly #log = roomLogger("edge", "mqtt");
  #broker: Broker | undefined;
  #state: BrokerState = { state: "starting" };
  #tlsAddress: string | undefined;

  constructor(options: EmbeddedOptions) {
    this.#options = options;
  }

  get state(): BrokerState {
    return this.#state;
  }

  get tlsAddress(): string | undefined {
    return this.#tlsAddress;
  }

  get clients(): number {
    return this.#broker?.clients ?? 0;
  }

  get kept(): MqttKept | undefined {
    return this.#broker?.kept;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { config, clock, random } = this.#options;
    for (let attempt = 0;; attempt++) {
      try {
        await this.#serve(signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        const problem = errorChain(error);
        this.#set({ state: "down", address: config.listen, problem });
        this.#log.error("MQTT broker cannot listen; it is tried again", { error: problem });
        await clock.sleep(RETRY_MS_MIN + fullJitterMs(RETRY, attempt, random), signal);
      }
    }
  }

  /** Nothing while the broker is down. */
  retained(filter: string): Iterable<AppMessage> {
    return this.#broker?.retained(filter) ?? [];
  }

  /** When the broker is down nobody is there to miss it. */
  async publish(topic: string, payload: string | Uint8Array, isKept = false): Promise<void> {
    await this.#broker?.publish(topic, payload, isKept);
  }

  async #serve(signal: AbortSignal): Promise<void> {
    const broker = await this.#open();
    const listeners: Listener[] = [];
    const accept = (socket: Socket) => broker.accept(socket);
    try {
      const { listen, tls } = this.#options.config;
      const plain = await startListener(createServer(accept), listen);
      listeners.push(plain);
      if (tls.listen !== "") {
        const server = createTlsServer(
          await readTls(tls),
          (socket) => broker.accept(socket, tls.clientCAFile === "" ? "" : nameOf(socket)),
        );
        // a client that does not finish its handshake is an error of its own
        server.on("tlsClientError", () => this.#options.counters.drop("protocol"));
        const listener = await startListener(server, tls.listen);
        listeners.push(listener);
        this.#tlsAddress = listener.address;
      }
      this.#broker = broker;
      this.#set({ state: "up", address: plain.address });
      this.#log.info("MQTT broker listens", { address: plain.address });
      this.#warnIfOpen(plain.address);
      await this.#lookAtUsers(broker, signal);
    } finally {
      this.#broker = undefined;
      const closed = listeners.map(({ server }) => closeServer(server));
      await broker.close();
      await Promise.all(closed);
    }
  }

  /** Until `signal` aborts. */
  async #lookAtUsers(broker: Broker, signal: AbortSignal): Promise<void> {
    if (this.#options.config.usersFile === "") return await untilAborted(signal);
    while (!signal.aborted) {
      await this.#options.clock.sleep(USERS_LOOK_MS, signal).catch(() => {}); // it ends
      if (!signal.aborted) await broker.lookAtUsers();
    }
  }

  async #open(): Promise<Broker> {
    const { Broker } = await import("./broker.ts");
    const { usersFile } = this.#options.config;
    const users = usersFile === "" ? undefined : new Users(usersFile);
    await users?.load();
    return await Broker.open(users ? { ...this.#options, users } : this.#options);
  }

  #warnIfOpen(address: string): void {
    const { usersFile } = this.#options.config;
    const { hostname } = parseAddress(address);
    if (usersFile !== "" || hostname.startsWith("127.") || hostname === "::1") return;
    this.#log.warn("MQTT broker lets everybody in from other machines: set mqtt.usersFile", {
      address,
    });
  }

  #set(state: BrokerState): void {
    this.#state = state;
    this.#options.onChange();
  }
}

/** Whom the client's certificate names; it was checked against the CA. */
function nameOf(socket: TLSSocket): string {
  const name: unknown = socket.getPeerCertificate()?.subject?.CN; // may be several
  return typeof name === "string" ? name : "";
}

async function readTls(tls: MqttConfig["tls"]) {
  const { certFile, keyFile, clientCAFile } = tls;
  const [cert, key] = [await readPem(certFile), await readPem(keyFile)];
  if (clientCAFile === "") return { cert, key };
  return {
    cert,
    key,
    ca: await readPem(clientCAFile),
    requestCert: true,
    rejectUnauthorized: true,
  };
}

export async function readPem(file: string): Promise<string> {
  try {
    return await Deno.readTextFile(file);
  } catch (cause) {
    throw new AppError("unavailable", `Cannot read ${file}`, {}, { cause });
  }
}

/** AppError "unavailable" names the address. */
function startListener(server: Server, listen: string): Promise<Listener> {
  const { hostname, port } = parseAddress(listen);
  return new Promise((resolve, reject) => {
    const failed = (cause: Error) =>
      reject(new AppError("unavailable", `Cannot listen on ${listen} for MQTT`, {}, { cause }));
    server.once("error", failed);
    server.listen({ host: hostname, port }, () => {
      server.off("error", failed);
      server.on("error", () => {}); // of a connection that came to nothing
      const bound = server.address();
      const real = typeof bound === "object" && bound ? bound.port : port;
      resolve({ server, address: formatAddress({ hostname, port: real }) });
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
