/**
 * The connection behind a call: what certificate it showed, where it comes from, and how to cut it.
 * Handed to the handlers through Connect's context; nothing in a message can change it.
 */
import { type ContextKey, createContextKey } from "@connectrpc/connect";
import type { Http2ServerRequest } from "node:http2";
import type { TLSSocket } from "node:tls";
import { constants } from "node:http2";

export interface Peer {
  /** DER of the client certificate; the handshake proved that the peer holds its key. */
  certificate: Uint8Array<ArrayBuffer> | undefined;
  /** host:port */
  address: string;
  /** Resets the call's stream: for a peer that does not end it when asked to. */
  reset(): void;
}

const NOBODY: Peer = { certificate: undefined, address: "", reset: () => {} };

export const PEER: ContextKey<Peer> = createContextKey<Peer>(NOBODY, {
  description: "connection behind the call",
});

export function peerOf(request: Http2ServerRequest): Peer {
  const stream = request.stream;
  const socket = stream?.session?.socket as TLSSocket | undefined; // the listener is TLS only
  const raw = socket?.getPeerCertificate?.()?.raw;
  return {
    certificate: raw ? new Uint8Array(raw) : undefined,
    address: `${socket?.remoteAddress ?? "?"}:${socket?.remotePort ?? 0}`,
    reset: () => stream?.close(constants.NGHTTP2_CANCEL),
  };
}
