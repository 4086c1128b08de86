/**
 * The hub: one TLS listener over HTTP/2 for enrolment, sessions and tunnels. A client certificate
 * is asked for but not demanded by TLS, so that a node without one can enrol and one whose
 * certificate ran out can renew; every other call judges the certificate itself (services.ts).
 */
import { compressionGzip, connectNodeAdapter } from "@connectrpc/connect-node";
import { createContextValues } from "@connectrpc/connect";
import * as http2 from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { AppError, errorChain, invariant } from "../../shared/errors.ts";
import { HUB_COMPRESSION_BYTES_MIN, HUB_MESSAGE_BYTES_MAX } from "../../shared/limits.ts";
import { roomLogger } from "../../shared/log.ts";
import type { TrafficTotals } from "../../shared/wire/traffic.ts";
import { Hub, type HubOptions } from "./hub.ts";
import { PEER, peerOf } from "./peer.ts";
import type { NodeSessions } from "./port.ts";
import { serveSessionCall, SESSION_PATH } from "./session_call.ts";

/** Calls at once on one connection: a session, a tunnel, a renewal, and room. */
const CALLS_PER_CONNECTION_MAX = 16;
/** How long open connections may take to end when the hub stops. */
const CLOSE_MS = 3_000;

const log = roomLogger("cloud", "hub");

export interface HubServerOptions extends HubOptions {
  /** PEMs: this listener's certificate and key, and the authority of the nodes' certificates. */
  tls: { certificate: string; privateKey: string; authority: string };
}

export class HubServer {
  readonly #options: HubServerOptions;
  readonly #hub: Hub;
  readonly #server: http2.Http2SecureServer;
  readonly #sockets = new Set<Socket>();
  #closing = false;

  constructor(options: HubServerOptions) {
    this.#options = options;
    this.#hub = new Hub(options);
    this.#server = http2.createSecureServer({
      cert: options.tls.certificate,
      key: options.tls.privateKey,
      ca: options.tls.authority,
      requestCert: true,
      rejectUnauthorized: false,
      settings: { maxConcurrentStreams: CALLS_PER_CONNECTION_MAX },
    }, this.#handler());
    this.#server.on("secureConnection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      socket.on("error", () => {}); // a connection that broke ends its calls by itself
    });
    this.#server.on("sessionError", (error: Error) => {
      log.debug("Connection failed", { error: errorChain(error) });
    });
    this.#server.on("tlsClientError", (error: Error) => {
      log.debug("TLS handshake failed", { error: errorChain(error) });
    });
  }

  /** Live sessions, for the rest of the cloud. */
  get sessions(): NodeSessions {
    return this.#hub.sessions;
  }

  /** Messages and bytes with all nodes since the process began. */
  get traffic(): TrafficTotals {
    return this.#hub.traffic;
  }

  /**
   * Listens on `host:port` ("[::1]:10000", ":10000", port 0 for any); resolves with what it got.
   */
  async listen(address: string): Promise<{ host: string; port: number }> {
    const { host, port } = parseListen(address);
    await new Promise<void>((resolve, reject) => {
      const onError = (cause: Error) =>
        reject(new AppError("unavailable", `Cannot listen on ${address}`, {}, { cause }));
      this.#server.once("error", onError);
      this.#server.listen(port, host, () => {
        this.#server.off("error", onError);
        this.#server.on("error", (error) => {
          log.error("Hub listener failed", { error: errorChain(error) });
        });
        resolve();
      });
    });
    const got = this.#server.address() as AddressInfo; // listening on TCP
    log.info("Hub listens", { host: got.address, port: got.port });
    return { host: got.address, port: got.port };
  }

  /** Ends every session with a GoAway and waits for all of it to be over. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    this.#hub.endSessions();
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const late = new AbortController();
    const deadline = this.#options.clock.sleep(CLOSE_MS, late.signal).catch(() => {}); // in time
    await Promise.race([this.#hub.joined(), deadline]);
    late.abort();
    for (const socket of [...this.#sockets]) socket.destroy();
    await this.#hub.joined();
    await stopped;
  }

  #handler() {
    const others = this.#connectHandler();
    return (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => {
      if (request.url !== SESSION_PATH) return others(request, response);
      // it never rejects
      void serveSessionCall(request, response, (...call) => this.#hub.openSession(...call));
    };
  }

  #connectHandler() {
    return connectNodeAdapter({
      routes: (router) => this.#hub.register(router),
      readMaxBytes: HUB_MESSAGE_BYTES_MAX,
      writeMaxBytes: HUB_MESSAGE_BYTES_MAX,
      acceptCompression: [compressionGzip],
      compressMinBytes: HUB_COMPRESSION_BYTES_MIN,
      grpc: false,
      grpcWeb: false,
      contextValues: (request) => {
        invariant("stream" in request, "the hub speaks HTTP/2 only");
        return createContextValues().set(PEER, peerOf(request));
      },
    });
  }
}

function parseListen(address: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw new AppError("invalid", `Cannot listen: address must be HOST:PORT, got ${address}`);
  }
  return { host: match[1] || match[2] || "::", port };
}
