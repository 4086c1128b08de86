/**
 * What carries the link: how to reach a hub and how the node proves who it is there. On a machine
 * that is TLS (below); the simulation puts its own network and its own papers in its place.
 */
import type { Random } from "../../shared/random.ts";
import { type Connection, dial } from "./dial.ts";
import { type CertificateDates, Identity } from "./identity.ts";
import type { IdentityFiles } from "./port.ts";

/** The node's papers as the link uses them. */
export interface LinkIdentity {
  readonly files: IdentityFiles;
  readonly dates: CertificateDates;
  /** By the wall clock. */
  readonly renewAtMs: number;
  renew(connection: Connection, signal: AbortSignal): Promise<void>;
}

export interface LinkTransport {
  dial(address: string, files: IdentityFiles): Connection;
  /** Throws "invalid" when the certificate cannot be read. */
  openIdentity(
    files: IdentityFiles,
    onRenewed: (certificate: string) => Promise<void>,
    random: Random,
  ): LinkIdentity;
}

export const TLS_TRANSPORT: LinkTransport = {
  dial,
  openIdentity: (files, onRenewed, random) => new Identity(files, onRenewed, random),
};
