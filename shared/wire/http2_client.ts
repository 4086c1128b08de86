/**
 * One HTTP/2 connection for the calls of a client: opened by the first request, shared by all, and
 * opened anew by the next request once it was lost. In place of the library's own manager, which
 * for a moment listens to nobody when a connection has just opened: a peer that died then ended the
 * program (`write EPIPE`), or left the manager waiting in a loop that let nothing else run.
 *
 *     none -> opening -> open -> lost (closed, broken, or the peer said GOAWAY) -> opening ...
 */
import { Code, ConnectError } from "@connectrpc/connect";
import http2 from "node:http2";

type Options = http2.ClientSessionOptions | http2.SecureClientSessionOptions;

const UNREACHABLE = new Set(["ETIMEDOUT", "ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED"]);
/** A connection may be lost between its opening and the call: another is opened then. */
const TRIES_MAX = 3;

export type ClientState = "closed" | "connecting" | "open" | "error";

interface Opened {
  session: http2.ClientHttp2Session;
  /** Resolves when requests may be made, rejects when they never may. */
  ready: Promise<void>;
  isReady: boolean;
  /** No request may begin any more; those that did may end. */
  isLeaving: boolean;
}

export class Http2Client {
  readonly authority: string;
  readonly #options: Options;
  #current: Opened | undefined;
  #error: ConnectError | undefined;
  /** With those that are leaving. */
  readonly #sessions = new Set<http2.ClientHttp2Session>();

  constructor(authority: string, options: Options) {
    this.authority = authority;
    this.#options = options;
  }

  async request(
    method: string,
    path: string,
    headers: http2.OutgoingHttpHeaders,
    options: Omit<http2.ClientSessionRequestOptions, "signal">,
  ): Promise<http2.ClientHttp2Stream> {
    const all = { ...headers, ":method": method, ":path": path };
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const opened = this.#open();
      await opened.ready;
      if (isUsable(opened)) return opened.session.request(all, options);
    }
    throw new ConnectError("connection closed before the call was made", Code.Unavailable);
  }

  /** Opens the connection where there is none; never throws. */
  async connect(): Promise<ClientState> {
    await this.#open().ready.catch(() => {}); // `error` says why
    return this.state();
  }

  state(): ClientState {
    const current = this.#current;
    if (current && isUsable(current)) return current.isReady ? "open" : "connecting";
    return this.#error === undefined ? "closed" : "error";
  }

  /** Why there is no connection; undefined when it just ended, or there is one. */
  error(): unknown {
    return this.state() === "error" ? this.#error : undefined;
  }

  /** Asked for by the transport; connections here are watched by those who make calls. */
  notifyResponseByteRead(): void {}

  /** Ends the connection and every call on it. */
  abort(reason?: Error): void {
    const error = reason ?? new ConnectError("connection aborted", Code.Canceled);
    this.#current = undefined;
    for (const session of this.#sessions) {
      if (!session.destroyed) session.destroy(error, http2.constants.NGHTTP2_CANCEL);
    }
  }

  #open(): Opened {
    if (this.#current && isUsable(this.#current)) return this.#current;
    const session = http2.connect(this.authority, this.#options);
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
    void ready.catch(() => {}); // told to those who make calls
    const opened: Opened = { session, ready, isReady: false, isLeaving: false };
    this.#error = undefined;
    this.#sessions.add(session);
    session.on("connect", () => {
      opened.isReady = true;
      resolve();
    });
    // for as long as there is a session: whoever opens one hears of all that befalls it
    session.on("error", (error) => {
      const found = toConnectError(error);
      if (this.#current === opened) this.#error = found;
      reject(found);
    });
    session.on("goaway", () => {
      opened.isLeaving = true;
      if (!session.closed) session.close(); // when the calls that are on it have ended
    });
    session.on("close", () => {
      this.#sessions.delete(session);
      reject(new ConnectError("connection closed", Code.Unavailable));
    });
    this.#current = opened;
    return opened;
  }
}

function isUsable({ session, isLeaving }: Opened): boolean {
  return !isLeaving && !session.closed && !session.destroyed;
}

/** Codes as the library gives them. */
function toConnectError(reason: Error & { code?: unknown }): ConnectError {
  const code = reason.code === "ECONNRESET"
    ? Code.Aborted
    : UNREACHABLE.has(String(reason.code))
    ? Code.Unavailable
    : Code.Internal;
  const error = ConnectError.from(reason, code);
  if (error !== reason) error.cause = reason;
  return error;
}
