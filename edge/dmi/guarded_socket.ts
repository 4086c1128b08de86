/**
 * A connection to a mapper's socket that ends where the mapper says GOAWAY. The nghttp2 in Deno 2.9
 * fails an assertion, and with it ends the whole process, on a GOAWAY (any mapper sends one when it
 * stops in good order) on a connection that has carried calls. HTTP/2 takes only a true socket,
 * so the bytes go through a pair of Unix sockets, in a private folder that is gone once they are
 * joined;
 * on their way the frames are counted off, and a GOAWAY is never let through: calls under way fail
 * as they do when a mapper dies, and are made again.
 */
import net from "node:net";
import { join } from "@std/path";
import { AppError } from "../../shared/errors.ts";

/** Local; longer means that nobody accepts. */
const CONNECT_MS = 5_000;
const FRAME_HEADER_BYTES = 9;
const GOAWAY = 7;

export async function openGuardedSocket(path: string, signal: AbortSignal): Promise<net.Socket> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]);
  const mapper = await connectTo(path, limited);
  try {
    const [near, far] = await socketPair(limited);
    relay(far, mapper);
    return near;
  } catch (error) {
    mapper.destroy();
    throw error;
  }
}

function connectTo(path: string, signal: AbortSignal): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path);
    const onAbort = () => {
      socket.destroy();
      reject(new AppError("unavailable", `Nobody accepts connections on ${path}`));
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("error", (error) => {
      signal.removeEventListener("abort", onAbort);
      reject(error);
    });
    socket.once("connect", () => {
      signal.removeEventListener("abort", onAbort);
      socket.on("error", () => {}); // "close" follows, and tells
      resolve(socket);
    });
  });
}

async function socketPair(signal: AbortSignal): Promise<[net.Socket, net.Socket]> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-dmi-" }); // mode 0700
  const path = join(dir, "s");
  const server = net.createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    const accepted = new Promise<net.Socket>((resolve) => server.once("connection", resolve));
    const near = await connectTo(path, signal);
    const far = await accepted;
    far.on("error", () => {}); // as above
    return [near, far];
  } finally {
    server.close();
    await Deno.remove(dir, { recursive: true });
  }
}

/** Both ways, with the back-pressure of either side; one that ends takes the other along. */
function relay(far: net.Socket, mapper: net.Socket): void {
  const end = () => {
    far.destroy();
    mapper.destroy();
  };
  far.once("close", end);
  mapper.once("close", end);
  far.once("end", end);
  mapper.once("end", end);
  const guard = new GoAwayGuard();
  far.on("data", (chunk: Uint8Array) => {
    if (!mapper.write(chunk)) far.pause();
  });
  mapper.on("drain", () => far.resume());
  mapper.on("data", (chunk: Uint8Array) => {
    const passed = guard.pass(chunk);
    if (passed > 0 && !far.write(chunk.subarray(0, passed))) mapper.pause();
    if (passed < chunk.length) end();
  });
  far.on("drain", () => mapper.resume());
}

/** Counts off the frames of one direction of HTTP/2; pure. */
export class GoAwayGuard {
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #payloadLeft = 0;
  #ended = false;

  /** How many bytes of `chunk` may go on: less than all where a GOAWAY begins in it. */
  pass(chunk: Uint8Array): number {
    let at = 0;
    // what of a header went on before may be the beginning of a GOAWAY: no frame comes of it
    while (!this.#ended && at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const step = Math.min(this.#payloadLeft, chunk.length - at);
        this.#payloadLeft -= step;
        at += step;
        continue;
      }
      const step = Math.min(FRAME_HEADER_BYTES - this.#headerBytes, chunk.length - at);
      this.#header.set(chunk.subarray(at, at + step), this.#headerBytes);
      this.#headerBytes += step;
      if (this.#headerBytes === FRAME_HEADER_BYTES && this.#header[3] === GOAWAY) {
        this.#ended = true;
        return at;
      }
      at += step;
      if (this.#headerBytes < FRAME_HEADER_BYTES) break;
      this.#headerBytes = 0;
      const [high = 0, middle = 0, low = 0] = this.#header;
      this.#payloadLeft = (high << 16) | (middle << 8) | low;
    }
    return this.#ended ? 0 : at;
  }
}
