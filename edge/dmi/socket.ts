/**
 * The Unix socket DMI is served on: made with its folder, mode 0660 (of the group `skerry`, where
 * there is one). What a program that was killed left behind is removed; a path that somebody else
 * serves, or that is no socket, is left alone and tried again. A socket that was deleted under us
 * is made anew.
 *
 *     closed -> listening -> (file gone) closed -> ...      closed -> problem -> (5 s) closed
 */
import http2 from "node:http2";
import net from "node:net";
import type { Socket } from "node:net";
import { dirname } from "@std/path";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { DmiSocketStatus } from "./port.ts";
import { SOCKET_PATH_BYTES_MAX } from "./reports.ts";

const RETRY_MS = 5_000;
/** How soon a deleted socket file is noticed. */
const LOOK_MS = 30_000;
const MODE = 0o660;
const CONNECTIONS_MAX = 256;
const CALLS_PER_CONNECTION_MAX = 256;
/** How long a peer may take to say whether it serves the path. */
const PROBE_MS = 2_000;

const log = roomLogger("edge", "dmi");

/** One call; must take care of its own errors, also of those the stream emits. */
export type DmiHandler = (
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
) => void;

export interface DmiSocketOptions {
  path: string;
  handler: DmiHandler;
  /** Number of the group that may connect; only root can give it. */
  group: () => Promise<number | undefined>;
  clock: Clock;
}

interface Listening {
  /** Inode of the socket file. */
  ino: number | null;
  close(): Promise<void>;
}

export class DmiSocket {
  readonly #options: DmiSocketOptions;
  #listening: Listening | undefined;
  #problem: string | undefined;

  constructor(options: DmiSocketOptions) {
    this.#options = options;
  }

  get status(): DmiSocketStatus {
    return { path: this.#options.path, problem: this.#problem };
  }

  /** Tries once; a failure is in the status. */
  async open(): Promise<void> {
    if (this.#listening) return;
    const { path } = this.#options;
    try {
      this.#listening = await this.#listen();
      if (this.#problem !== undefined) log.info("DMI is served", { path });
      this.#problem = undefined;
    } catch (error) {
      const problem = errorChain(error);
      if (problem !== this.#problem) log.error("Cannot serve DMI", { path, error: problem });
      this.#problem = problem;
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    try {
      while (!signal.aborted) {
        await this.open();
        await clock.sleep(this.#listening ? LOOK_MS : RETRY_MS, signal);
        await this.#look();
      }
    } finally {
      await this.close();
    }
  }

  async close(): Promise<void> {
    const listening = this.#listening;
    this.#listening = undefined;
    await listening?.close();
  }

  /** Gives up a socket nobody can reach any more. */
  async #look(): Promise<void> {
    if (!this.#listening) return;
    const found = await Deno.lstat(this.#options.path).catch(() => undefined); // absent
    if (found?.isSocket && found.ino === this.#listening.ino) return;
    log.warn("The socket of DMI was taken away", { path: this.#options.path });
    await this.close();
  }

  async #listen(): Promise<Listening> {
    const { path, handler, group } = this.#options;
    const bytes = new TextEncoder().encode(path).length;
    if (bytes > SOCKET_PATH_BYTES_MAX) {
      const limit = `must be <= ${SOCKET_PATH_BYTES_MAX} bytes, got ${bytes}`;
      throw new AppError("invalid", `Cannot use dmi.socket ${path}: path ${limit}`);
    }
    await Deno.mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await removeStale(path);
    const server = http2.createServer({
      settings: { maxConcurrentStreams: CALLS_PER_CONNECTION_MAX },
    });
    server.on("stream", handler);
    const sockets = trackSockets(server);
    await listen(server, path);
    await Deno.chmod(path, MODE);
    const gid = await group();
    if (gid !== undefined && Deno.uid() === 0) await Deno.chown(path, null, gid);
    const { ino } = await Deno.lstat(path);
    return {
      ino,
      close: async () => {
        // in this order: nghttp2 may end the process when it says GOAWAY below streams it remembers
        for (const socket of [...sockets]) socket.destroy();
        await new Promise<void>((resolve) => server.close(() => resolve()));
      },
    };
  }
}

/** Throws "unavailable" when the path is not ours to take. */
async function removeStale(path: string): Promise<void> {
  const found = await Deno.lstat(path).catch(() => undefined); // absent is as well
  if (!found) return;
  if (!found.isSocket) throw new AppError("unavailable", `${path} is there and is no socket`);
  if (await isServed(path)) {
    throw new AppError("unavailable", `${path} is served by another program`);
  }
  await Deno.remove(path);
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(path);
    const answer = (served: boolean) => {
      deadline.removeEventListener("abort", onLate);
      socket.destroy();
      resolve(served);
    };
    // somebody with a full backlog is there
    const onLate = () => answer(true);
    const deadline = AbortSignal.timeout(PROBE_MS);
    deadline.addEventListener("abort", onLate, { once: true });
    socket.once("connect", () => answer(true));
    socket.once("error", () => answer(false));
  });
}

function trackSockets(server: http2.Http2Server): Set<Socket> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    if (sockets.size >= CONNECTIONS_MAX) return void socket.destroy();
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => {}); // a connection that broke ends its calls by itself
  });
  server.on("sessionError", (error: Error) => {
    log.debug("Connection of a mapper failed", { error: errorChain(error) });
  });
  return sockets;
}

function listen(server: http2.Http2Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (cause: Error) =>
      reject(new AppError("unavailable", `Cannot listen on ${path}`, {}, { cause }));
    server.once("error", onError);
    server.listen(path, () => {
      server.off("error", onError);
      server.on("error", (error) => {
        log.error("Listener of DMI failed", { error: errorChain(error) });
      });
      resolve();
    });
  });
}
