/**
 * A TCP relay that can be cut and healed, to take a link away from two programs that talk through
 * it. Cut means what a dead uplink means to a peer on the same machine: every connection through it
 * is closed at once, and new ones are refused. `stall` keeps connections open and carries nothing,
 * which is what a half-open link looks like. Connections are bounded by CONNECTIONS_MAX.
 */
import { AppError } from "../../shared/errors.ts";

/** 512: more sessions than any test opens through one relay; above it new ones are closed. */
const CONNECTIONS_MAX = 512;

export class Relay implements AsyncDisposable {
  readonly port: number;
  readonly #target: Deno.ConnectOptions;
  readonly #connections = new Set<Deno.Conn>();
  readonly #pumps = new Set<Promise<void>>();
  #listener: Deno.Listener | undefined;
  #accepting: Promise<void> = Promise.resolve();
  #gate = Promise.withResolvers<void>();
  #bytes = { up: 0, down: 0 };

  constructor(listener: Deno.TcpListener, target: Deno.ConnectOptions) {
    this.port = listener.addr.port;
    this.#target = target;
    this.#gate.resolve();
    this.#serve(listener);
  }

  /** Bytes carried so far: `up` from those who dialled, `down` to them. */
  get bytes(): { up: number; down: number } {
    return { ...this.#bytes };
  }

  /** Closes every connection and refuses new ones until heal(). */
  async cut(): Promise<void> {
    this.#listener?.close();
    this.#listener = undefined;
    this.#gate.resolve();
    for (const connection of this.#connections) close(connection);
    await this.#accepting;
    await Promise.all(this.#pumps);
  }

  /** Keeps connections open and carries nothing until heal(). */
  stall(): void {
    this.#gate = Promise.withResolvers<void>();
  }

  /** Carries again, on the same port. */
  heal(): void {
    this.#gate.resolve();
    if (!this.#listener) this.#serve(Deno.listen({ hostname: "127.0.0.1", port: this.port }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cut();
  }

  #serve(listener: Deno.Listener): void {
    this.#listener = listener;
    this.#accepting = this.#accept(listener);
  }

  async #accept(listener: Deno.Listener): Promise<void> {
    for await (const inner of listener) {
      if (this.#connections.size >= CONNECTIONS_MAX) {
        close(inner);
        continue;
      }
      this.#track(this.#carry(inner));
    }
  }

  #track(pump: Promise<void>): void {
    this.#pumps.add(pump);
    void pump.then(() => this.#pumps.delete(pump)); // #carry never rejects
  }

  async #carry(inner: Deno.Conn): Promise<void> {
    this.#connections.add(inner);
    let outer: Deno.Conn | undefined;
    try {
      outer = await Deno.connect(this.#target);
      this.#connections.add(outer);
      if (!this.#listener) return; // cut while dialling
      await Promise.all([this.#pump(inner, outer, "up"), this.#pump(outer, inner, "down")]);
    } catch {
      // either end went away: closing both is all a relay can say
    } finally {
      for (const connection of [inner, outer]) {
        if (!connection) continue;
        close(connection);
        this.#connections.delete(connection);
      }
    }
  }

  async #pump(from: Deno.Conn, to: Deno.Conn, way: "up" | "down"): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    while (true) {
      const count = await from.read(buffer);
      await this.#gate.promise;
      if (count === null) break;
      this.#bytes[way] += count;
      let left = buffer.subarray(0, count);
      while (left.length > 0) left = left.subarray(await to.write(left));
    }
    await to.closeWrite();
  }
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // closed already, by the other pump or by the peer
  }
}

/** A relay on a free loopback port to `host:port`. */
export function openRelay(target: string): Relay {
  const at = target.lastIndexOf(":");
  const port = Number(target.slice(at + 1));
  if (at < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new AppError("invalid", `Cannot open a relay: target must be HOST:PORT, got ${target}`);
  }
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return new Relay(listener, { hostname: target.slice(0, at), port });
}
