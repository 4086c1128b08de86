/**
 * A line with Modbus devices on it, and the client of modbus-serial that speaks on it. TCP devices
 * have a line each; a serial line, and a gateway that carries RTU over TCP, is shared by all
 * devices behind it, which take turns.
 */
import { Socket } from "node:net";
import modbusSerial from "modbus-serial";
import { KeyedMutex } from "../../../../shared/async/keyed_mutex.ts";
import { AppError } from "../../../../shared/errors.ts";
import { type Line, lineKey } from "./address.ts";
import { RtuPort } from "./rtu_port.ts";
import { openTty } from "./tty.ts";

const ModbusRTU = modbusSerial.default;

export type Client = InstanceType<typeof ModbusRTU>;

type SocketLine = Exclude<Line, { kind: "serial" }>;

export interface Bus {
  readonly lost: AbortSignal;
  /** One request at a time; `work` has the client to itself. */
  run<T>(unit: number, signal: AbortSignal, work: (client: Client) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Shares those lines that can only be open once. */
export class Buses {
  readonly #shared = new Map<string, { bus: Promise<Bus>; users: number }>();

  async open(line: Line, signal: AbortSignal): Promise<Bus> {
    if (line.kind === "tcp") return await openTcp(line, signal);
    const key = lineKey(line);
    for (;;) {
      const known = this.#shared.get(key);
      const held = known ?? { bus: openLine(line, signal), users: 0 };
      if (!known) this.#shared.set(key, held);
      held.users++;
      try {
        const bus = await held.bus;
        if (!bus.lost.aborted) return this.#share(key, held, bus);
        await this.#release(key, held);
      } catch (error) {
        await this.#release(key, held);
        // another device opened it, and it was that one that gave up
        if (!known || signal.aborted) throw error;
      }
    }
  }

  #share(key: string, held: { bus: Promise<Bus>; users: number }, bus: Bus): Bus {
    let closed = false;
    return {
      lost: bus.lost,
      run: (unit, signal, work) => bus.run(unit, signal, work),
      close: async () => {
        if (closed) return;
        closed = true;
        await this.#release(key, held);
      },
    };
  }

  async #release(key: string, held: { bus: Promise<Bus>; users: number }): Promise<void> {
    if (--held.users > 0) return;
    if (this.#shared.get(key) === held) this.#shared.delete(key);
    const bus = await held.bus.catch(() => undefined); // it never opened
    await bus?.close();
  }
}

async function openTcp(line: SocketLine, signal: AbortSignal): Promise<Bus> {
  const { socket, lost } = await connect(line, signal);
  const client = new ModbusRTU();
  await client.connectTCP(line.host, { port: line.port, socket });
  return makeBus(client, lost, () => destroy(socket));
}

async function openLine(line: Line, signal: AbortSignal): Promise<Bus> {
  if (line.kind === "serial") {
    const tty = await openTty(line, signal);
    const port = new RtuPort(tty);
    return makeBus(await clientOn(port), tty.lost, () => port.end());
  }
  const { socket, lost } = await connect(line, signal);
  const port = new RtuPort({
    write: (bytes) => void socket.write(bytes),
    poll: () => {}, // it comes by itself
    end: () => destroy(socket),
  });
  socket.on("data", (data: Uint8Array) => port.push(data));
  return makeBus(await clientOn(port), lost, () => port.end());
}

async function clientOn(port: RtuPort): Promise<Client> {
  const client = new ModbusRTU(port);
  await new Promise<void>((resolve, reject) => {
    client.open((error?: unknown) => error ? reject(error) : resolve());
  });
  return client;
}

interface Connected {
  socket: Socket;
  lost: AbortSignal;
}

function connect({ host, port }: SocketLine, signal: AbortSignal) {
  const { promise, resolve, reject } = Promise.withResolvers<Connected>();
  const lost = new AbortController();
  const socket = new Socket();
  const fail = (cause?: unknown) => {
    const why = new AppError("unavailable", `Connection to ${host}:${port} ended`, {}, { cause });
    lost.abort(why);
    reject(why);
  };
  const onAbort = () => {
    reject(signal.reason);
    socket.destroy();
  };
  socket.setNoDelay(true);
  socket.once("error", fail);
  // a second error must not end the process
  socket.on("error", () => {});
  socket.once("close", () => fail());
  socket.once("connect", () => resolve({ socket, lost: lost.signal }));
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  else socket.connect({ host, port });
  return promise.finally(() => signal.removeEventListener("abort", onAbort));
}

function destroy(socket: Socket): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    socket.once("close", () => resolve());
    socket.destroy();
  });
}

function makeBus(client: Client, lost: AbortSignal, end: () => Promise<void>): Bus {
  const turns = new KeyedMutex();
  return {
    lost,
    run: (unit, signal, work) =>
      turns.run("", async () => {
        signal.throwIfAborted();
        lost.throwIfAborted();
        client.setID(unit);
        return await unlessAborted(work(client), [signal, lost]);
      }),
    close: end,
  };
}

/** The client has no deadline of its own: who waits has one, and a lost line answers nobody. */
function unlessAborted<T>(work: Promise<T>, signals: readonly AbortSignal[]): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const listeners = signals.map((signal) => {
    const listener = () => reject(signal.reason);
    signal.addEventListener("abort", listener, { once: true });
    return () => signal.removeEventListener("abort", listener);
  });
  return Promise.race([work, promise]).finally(() => listeners.forEach((remove) => remove()));
}
