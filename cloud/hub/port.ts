/**
 * What the hub needs from the rest of the cloud, and what it offers. `cloud/app.ts` wires it:
 * controllers/ implement DesiredSource and ReportSink; node_lifecycle and the API server use
 * NodeSessions.
 */
import type { AppError } from "../../shared/errors.ts";
import type { Frame } from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import type { DesiredItem, InventoryEntry } from "../../shared/wire/desired.ts";
import type { Report } from "../../shared/wire/report.ts";

/** What one node must hold now. */
export interface Projection {
  generation: number;
  /** inventoryDigest of `items`. */
  digest: string;
  items: ReadonlyMap<string, DesiredItem>;
}

export interface DesiredSource {
  /** Identity of this cloud's store, stable for its life. */
  readonly cloudId: string;
  /** The current projection; generation and digest are durable before it is visible here. */
  projection(node: string): Projection;
  /** Calls `listener` after each change of the node's projection; returns the unsubscriber. */
  subscribe(node: string, listener: () => void): () => void;
  /** Keeps, durably, that `node` holds `generation`. */
  acknowledged(node: string, generation: number): Promise<void>;
  /**
   * Raises the node's generation above `generation`, durably, and notifies: the node holds one this
   * store does not know of (it was restored from a backup), or other content under the same number.
   * Without it such a node gets nothing new until its projection passes that number by itself.
   */
  advance?(node: string, generation: number): Promise<void>;
  /**
   * True for an object that this cloud may have lost with a damaged store. A node that holds it
   * keeps it: absence here is then no deletion.
   */
  mayHaveLost?(held: InventoryEntry): boolean;
  /**
   * True for an object that this cloud may hold only because its deletion was lost with a damaged
   * store. A node that holds another one under its name keeps that.
   */
  mayBeOutlived?(object: KubeObject): boolean;
  /** True when damage to this cloud's store has set `item` back behind what a node holds of it. */
  mayBeOlder?(held: InventoryEntry, item: DesiredItem): boolean;
  /** Told what the node keeps for these two reasons, all of it, each time they were compared. */
  keptByNode?(node: string, keys: readonly string[]): void;
}

/** `dropped`: the report can never be applied (not the node's own, pod is gone or another uid). */
export type ReportOutcome = { kind: "applied" } | { kind: "dropped"; reason: string };

export interface ReportSink {
  /**
   * Applies a node's report; resolves when the result is durable. Throws AppError "unavailable"
   * when it should be tried again. `node` is the identity in the session's certificate.
   */
  apply(node: string, report: Report, signal: AbortSignal): Promise<ReportOutcome>;
}

export interface SessionInfo {
  node: string;
  sinceMs: number;
  lastHeartbeatMs: number;
  ackedGeneration: number;
  remoteAddress: string;
}

export interface NodeSessions {
  get(node: string): SessionInfo | undefined;
  list(): SessionInfo[];
  /** Calls `listener` whenever a session begins or ends; returns the unsubscriber. */
  subscribe(listener: () => void): () => void;
  /**
   * Sends an HTTP request to the node's own HTTP handler through its tunnel, with a streamed
   * answer. AppError "unavailable" when the node has no session.
   */
  fetch(node: string, request: Request): Promise<Response>;
}

/** Who nodes are; implemented by cloud/pki's NodeEnrollment. Errors are for the node to read. */
export interface NodeIdentities {
  /** PEM of the fleet's authority. */
  readonly authorityCertificate: string;
  enroll(
    input: { token: string; nodeName: string; certificateRequest: string },
  ): Promise<{ certificate: string; keyHash: string }>;
  /** `former`: DER of the certificate that asks, as `identify` has judged it. */
  renew(
    node: string,
    certificateRequest: string,
    former: Uint8Array<ArrayBuffer>,
  ): Promise<string>;
  /** Judges a certificate whose key the peer has proved to hold; AppError when it is no good. */
  identify(
    certificateDer: Uint8Array<ArrayBuffer>,
    purpose: "session" | "renew",
  ): Promise<{ node: string; keyHash: string }>;
}

/** The cloud's end of one node's tunnel; implemented by cloud/tunnel's NodeTunnel. */
export interface TunnelEnd {
  readonly frames: AsyncIterable<Frame>;
  /** Requests on their way. */
  readonly streams: number;
  /** Handles the node's frames until they end. Never throws. */
  run(frames: AsyncIterable<Frame>): Promise<void>;
  fetch(request: Request): Promise<Response>;
  close(error: AppError): void;
}
