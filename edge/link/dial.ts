/**
 * One HTTP/2 connection to the hub. Whatever address is dialled, the hub must show a certificate by
 * our authority for its fixed name; the node shows its own. Nothing is sent here until a call is
 * made.
 */
import { type Client, createClient } from "@connectrpc/connect";
import { compressionGzip, createConnectTransport } from "@connectrpc/connect-node";
import type { SecureClientSessionOptions } from "node:http2";
import { AppError } from "../../shared/errors.ts";
import {
  EnrollmentService,
  HubService,
  TunnelService,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { HUB_COMPRESSION_BYTES_MIN, HUB_MESSAGE_BYTES_MAX } from "../../shared/limits.ts";
import { HUB_SERVER_NAME } from "../../shared/wire/x509.ts";
import { HubConnection } from "./hub_connection.ts";

export interface Connection {
  address: string;
  hub: Client<typeof HubService>;
  tunnel: Client<typeof TunnelService>;
  enrollment: Client<typeof EnrollmentService>;
  /** Ends the connection and every call on it. */
  close(): void;
}

export type DialTrust =
  /** `certificate` and `privateKey` are the node's own, PEM; absent while it enrols. */
  | { authority: string; certificate?: string; privateKey?: string }
  /** To fetch the authority that a hash will judge. Never for anything else. */
  | { unverified: true };

export function dial(address: string, trust: DialTrust): Connection {
  const baseUrl = `https://${checkAddress(address)}`;
  const nodeOptions: SecureClientSessionOptions = "unverified" in trust
    ? { rejectUnauthorized: false, servername: HUB_SERVER_NAME }
    : {
      ca: trust.authority,
      servername: HUB_SERVER_NAME,
      ...(trust.certificate && trust.privateKey
        ? { cert: trust.certificate, key: trust.privateKey }
        : {}),
    };
  const sessionManager = new HubConnection(baseUrl, nodeOptions);
  const transport = createConnectTransport({
    baseUrl,
    httpVersion: "2",
    sessionManager,
    sendCompression: compressionGzip,
    acceptCompression: [compressionGzip],
    compressMinBytes: HUB_COMPRESSION_BYTES_MIN,
    readMaxBytes: HUB_MESSAGE_BYTES_MAX,
    writeMaxBytes: HUB_MESSAGE_BYTES_MAX,
  });
  return {
    address,
    hub: createClient(HubService, transport),
    tunnel: createClient(TunnelService, transport),
    enrollment: createClient(EnrollmentService, transport),
    close: () => sessionManager.abort(),
  };
}

/** "host:port", "1.2.3.4:10000" or "[::1]:10000". */
function checkAddress(address: string): string {
  const match = /^(?:\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/.exec(address);
  const port = Number(match?.[1]);
  if (!match || port < 1 || port > 65_535) {
    throw new AppError("invalid", `Cannot dial: address must be HOST:PORT, got ${address}`);
  }
  return address;
}
