/**
 * A small D-Bus client over the bus's Unix socket: calls, signals, and (for stand-ins in tests)
 * answers to calls. One task reads; calls in flight and bytes of a message are bounded.
 */
import { AppError, errorChain } from "../errors.ts";
import { roomLogger } from "../log.ts";
import type { DBusValue } from "./marshal.ts";
import { completeTypes } from "./marshal.ts";
import {
  type DBusMessage,
  decodeMessage,
  encodeMessage,
  MESSAGE_TYPE,
  messageLength,
} from "./message.ts";

export interface DBusCall {
  destination: string;
  path: string;
  interface: string;
  member: string;
  signature?: string;
  body?: readonly DBusValue[];
}

const SYSTEM_BUS = "/run/dbus/system_bus_socket";
const BUS = {
  destination: "org.freedesktop.DBus",
  path: "/org/freedesktop/DBus",
  interface: "org.freedesktop.DBus",
} as const;
const CALLS_MAX = 64;
const CALL_MS = 10_000;
const LINE_BYTES_MAX = 4_096;

/** Where the system bus listens, by the environment or by convention. */
export function systemBusPath(address = Deno.env.get("DBUS_SYSTEM_BUS_ADDRESS")): string {
  return /(?:^|;)unix:path=([^,;]+)/.exec(address ?? "")?.[1] ?? SYSTEM_BUS;
}

interface Waiting {
  resolve(body: readonly DBusValue[]): void;
  reject(error: AppError): void;
}

export class DBusConnection {
  readonly #socket: Deno.Conn;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Set<(signal: DBusMessage) => void>();
  readonly #ended = Promise.withResolvers<void>();
  /** Answers to calls of others; by default nothing is served. */
  onCall: ((call: DBusMessage) => { signature: string; body: DBusValue[] } | undefined) | undefined;
  #buffer = new Uint8Array();
  #serial = 0;
  #writes: Promise<void> = Promise.resolve();
  #isClosed = false;

  private constructor(socket: Deno.Conn) {
    this.#socket = socket;
  }

  /** Resolves when the bus has greeted; AppError "unavailable" when there is none. */
  static async open(path = systemBusPath()): Promise<DBusConnection> {
    let socket: Deno.Conn;
    try {
      socket = await Deno.connect({ transport: "unix", path });
    } catch (cause) {
      throw new AppError("unavailable", "Cannot reach D-Bus", { path }, { cause });
    }
    const connection = new DBusConnection(socket);
    try {
      await connection.#authenticate();
      void connection.#read(); // never rejects: the end is told to everyone who waits
      await connection.call({ ...BUS, member: "Hello" });
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Resolves when the bus has gone away or `close` was called. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  async call(call: DBusCall): Promise<readonly DBusValue[]> {
    if (this.#isClosed) throw new AppError("unavailable", "Cannot call over D-Bus: it is closed");
    if (this.#waiting.size >= CALLS_MAX) {
      throw new AppError("exhausted", `Cannot call over D-Bus: at most ${CALLS_MAX} at once`);
    }
    const serial = ++this.#serial;
    const answer = Promise.withResolvers<readonly DBusValue[]>();
    this.#waiting.set(serial, answer);
    const onLate = () => {
      const what = `${call.interface}.${call.member}`;
      answer.reject(new AppError("unavailable", `D-Bus call ${what} had no answer`));
    };
    const deadline = AbortSignal.timeout(CALL_MS);
    deadline.addEventListener("abort", onLate, { once: true });
    try {
      await this.#send({ type: MESSAGE_TYPE.call, serial, ...call });
      return await answer.promise;
    } finally {
      deadline.removeEventListener("abort", onLate);
      this.#waiting.delete(serial);
    }
  }

  /** Signals that match `rule` reach every listener from now on. */
  async subscribe(rule: string, listener: (signal: DBusMessage) => void): Promise<void> {
    this.#listeners.add(listener);
    await this.call({ ...BUS, member: "AddMatch", signature: "s", body: [rule] });
  }

  async requestName(name: string): Promise<void> {
    await this.call({ ...BUS, member: "RequestName", signature: "su", body: [name, 0] });
  }

  async emit(signal: Omit<DBusCall, "destination">): Promise<void> {
    await this.#send({ type: MESSAGE_TYPE.signal, serial: ++this.#serial, ...signal });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      this.#socket.close();
    } catch {
      // already closed by the other side
    }
    this.#end(new AppError("unavailable", "The D-Bus connection was closed"));
  }

  async #authenticate(): Promise<void> {
    const uid = String(Deno.uid() ?? 0);
    const hex = Array.from(uid, (char) => char.charCodeAt(0).toString(16)).join("");
    await this.#write(new TextEncoder().encode(`\0AUTH EXTERNAL ${hex}\r\n`));
    const line = await this.#line();
    if (!line.startsWith("OK ")) {
      throw new AppError("forbidden", `D-Bus refused this user: ${line.slice(0, 200)}`);
    }
    await this.#write(new TextEncoder().encode("BEGIN\r\n"));
  }

  async #line(): Promise<string> {
    while (this.#buffer.length <= LINE_BYTES_MAX) {
      const end = this.#buffer.indexOf(0x0a);
      if (end >= 0) {
        const line = new TextDecoder().decode(this.#buffer.subarray(0, end)).trim();
        this.#buffer = this.#buffer.slice(end + 1);
        return line;
      }
      if (!await this.#more()) break;
    }
    throw new AppError("unavailable", "D-Bus ended before it had greeted");
  }

  async #more(): Promise<boolean> {
    const chunk = new Uint8Array(4_096);
    const count = await this.#socket.read(chunk);
    if (count === null) return false;
    const joined = new Uint8Array(this.#buffer.length + count);
    joined.set(this.#buffer);
    joined.set(chunk.subarray(0, count), this.#buffer.length);
    this.#buffer = joined;
    return true;
  }

  async #read(): Promise<void> {
    let cause: unknown;
    try {
      do {
        for (let length = this.#wholeLength(); length !== undefined; length = this.#wholeLength()) {
          const message = decodeMessage(this.#buffer.slice(0, length));
          this.#buffer = this.#buffer.slice(length);
          this.#receive(message);
        }
      } while (await this.#more());
    } catch (error) {
      cause = error;
      if (!this.#isClosed) {
        roomLogger("shared", "dbus").debug("D-Bus ended", { error: errorChain(error) });
      }
    }
    this.#end(new AppError("unavailable", "D-Bus went away", {}, { cause }));
    this.close();
  }

  #wholeLength(): number | undefined {
    const length = messageLength(this.#buffer);
    return length !== undefined && this.#buffer.length >= length ? length : undefined;
  }

  #receive(message: DBusMessage): void {
    const { type, replySerial = 0, body = [] } = message;
    if (type === MESSAGE_TYPE.reply) this.#waiting.get(replySerial)?.resolve(body);
    if (type === MESSAGE_TYPE.error) {
      const text = typeof body[0] === "string" ? body[0] : "";
      const what = `D-Bus answered ${message.errorName ?? "an error"}: ${text.slice(0, 500)}`;
      this.#waiting.get(replySerial)?.reject(new AppError("unavailable", what));
    }
    if (type === MESSAGE_TYPE.signal) { for (const listener of this.#listeners) listener(message); }
    if (type === MESSAGE_TYPE.call) this.#answer(message);
  }

  #answer(call: DBusMessage): void {
    const answer = this.onCall?.(call);
    const head = {
      serial: ++this.#serial,
      replySerial: call.serial,
      ...(call.sender === undefined ? {} : { destination: call.sender }),
    };
    const sent = answer
      ? this.#send({ type: MESSAGE_TYPE.reply, ...head, ...answer })
      : this.#send({
        type: MESSAGE_TYPE.error,
        errorName: "org.freedesktop.DBus.Error.UnknownMethod",
        ...head,
      });
    void sent.catch(() => {}); // the reader learns of the end, too
  }

  async #send(message: DBusMessage): Promise<void> {
    await this.#write(encodeMessage(message, completeTypes(message.signature ?? "")));
  }

  /** One message after the other. */
  #write(bytes: Uint8Array): Promise<void> {
    const write = async () => {
      for (let at = 0; at < bytes.length;) at += await this.#socket.write(bytes.subarray(at));
    };
    const done = this.#writes.then(write).catch((cause) => {
      throw new AppError("unavailable", "Cannot write to D-Bus", {}, { cause });
    });
    this.#writes = done.catch(() => {}); // whoever wrote was told
    return done;
  }

  #end(error: AppError): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
    this.#ended.resolve();
  }
}
