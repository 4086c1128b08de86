/**
 * Serves the app over TLS with node:https: HTTP/1.1 only (kubectl's upgrades need it),
 * client certificates asked for and verified against the CA but not required. Who the peer is goes
 * to the app as bindings, never as a header. Closing ends every connection, idle or streaming.
 */
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import type { AddressInfo } from "node:net";
import https from "node:https";
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { AppError } from "../../shared/errors.ts";
import type { ApiApp, ApiBindings } from "./app.ts";

export interface ServeApiOptions {
  app: ApiApp;
  /** Port 0: any free port. */
  address: { host: string; port: number };
  /** PEM. `ca` is the authority whose client certificates are believed. */
  tls: { cert: string; key: string; ca: string };
}

export interface ServedApi {
  /** What is really listened on. */
  readonly address: { host: string; port: number };
  /** Stops listening and ends every connection. */
  close(): Promise<void>;
}

/** 30 s to send a request's head: a client that opens connections and says nothing is cut off. */
const HEADERS_TIMEOUT_MS = 30_000;

export async function serveApi({ app, address, tls }: ServeApiOptions): Promise<ServedApi> {
  const listener = getRequestListener(
    (request, bindings) => app.fetch(request, bindingsOf((bindings as HttpBindings).incoming)),
    { overrideGlobalObjects: false }, // the default breaks Deno.serve in the same process
  );
  const server = https.createServer({
    cert: tls.cert,
    key: tls.key,
    ca: tls.ca,
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: ["http/1.1"],
    headersTimeout: HEADERS_TIMEOUT_MS,
  }, (incoming, outgoing) => {
    // a peer that resets its connection is not news; the handlers are told by their signals
    outgoing.on("error", () => {});
    void listener(incoming, outgoing); // answers every failure itself and never rejects
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      const where = `${address.host}:${address.port}`;
      reject(
        new AppError("unavailable", `Cannot listen on ${where}: ${cause.message}`, {}, { cause }),
      );
    });
    server.listen(address.port, address.host, resolve);
  });
  const bound = server.address() as AddressInfo; // it listens on TCP, which has such an address
  return {
    address: { host: bound.address, port: bound.port },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The subject of a client certificate our CA signed; of any other, nothing. */
function bindingsOf(incoming: IncomingMessage): ApiBindings {
  const socket = incoming.socket as TLSSocket; // served by https
  if (!socket.authorized) return {};
  const subject = socket.getPeerCertificate()?.subject as
    | { CN?: string | string[]; O?: string | string[] } // an attribute may stand several times
    | undefined;
  const [commonName] = [subject?.CN ?? []].flat();
  if (!commonName) return {};
  return { clientCertificate: { commonName, organizations: [subject?.O ?? []].flat() } };
}
