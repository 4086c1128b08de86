/** What the link needs from the rest of the edge; edge/app.ts hands it over. */
import type { Ledger, Outbox } from "../meta/port.ts";
import type { TunnelHandler } from "./tunnel.ts";

export type { TunnelHandler };

/** The part of the ledger the link feeds. */
export type LinkLedger = Pick<Ledger, "head" | "inventory" | "accept">;

/** The part of the outbox the link drains. */
export type LinkOutbox = Pick<Outbox, "changes" | "pending" | "acknowledge" | "grant">;

/**
 * Told the cloud's wall clock at the beginning of each session, before any report goes up, and the
 * monotonic time it was asked at.
 */
export type TimeListener = (serverMs: number, askedMonotonicMs: number) => Promise<void>;

/** What enrolment gave this node, as PEM. */
export interface IdentityFiles {
  certificate: string;
  privateKey: string;
  authority: string;
}

/** Same shape as the local API's LinkStatus. */
export interface LinkStatus {
  state: "idle" | "dialing" | "live" | "backoff";
  /** RFC 3339 */
  since: string;
  address?: string;
  lastError?: string;
  /** RFC 3339 of the last message from the cloud. */
  lastSync?: string;
  attempt?: number;
}
