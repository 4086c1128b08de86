/** What the local API shows, handed over by edge/app.ts from the rooms that know it. */
import type { Event, KubeObject, Node, Pod } from "../../shared/k8s/types.ts";
import type { Report } from "../../shared/wire/report.ts";
import type { HistorySize } from "../twins/port.ts";

/** Where the log of one container run lies, and whether it still grows. */
export interface ContainerLog {
  path: string;
  /** False once the container has ended: a follower stops at the end of the file. */
  running(): Promise<boolean>;
}

export interface LocalPods {
  /** Pods this node holds, with the status the node itself computed. */
  list(): Pod[];
  subscribe(listener: () => void): () => void;
  /** Milliseconds until the node tries again by itself with a pod that does not run. */
  retryInMs?(uid: string): number | undefined;
  /**
   * The log of a container's current (or previous) run. AppError "not_found" (no such pod),
   * "invalid" with kubelet's sentence (no such container, several containers and none named,
   * waiting to start, no previous run).
   */
  log(
    query: { namespace: string; pod: string; container?: string; previous: boolean },
    signal: AbortSignal,
  ): Promise<ContainerLog>;
}

export interface LocalObjects {
  /** Objects of a qualified resource ("configmaps") the ledger holds. */
  list(resource: string): KubeObject[];
  subscribe(listener: () => void): () => void;
}

export interface LinkStatus {
  state: "idle" | "dialing" | "live" | "backoff";
  /** RFC 3339 */
  since: string;
  address?: string;
  lastError?: string;
  /** RFC 3339 of the last acknowledged exchange with the cloud. */
  lastSync?: string;
  attempt?: number;
}

/** Messages and bytes between node and cloud since the process began, by class. */
export type LinkTraffic = Record<
  string,
  Record<"up" | "down", { messages: number; bytes: number }>
>;

/** A report the cloud has not acknowledged. */
export interface WaitingReport {
  key: string;
  report: Report;
}

/** One thing that must be well for `/readyz`; `message` says what is not. */
export interface HealthCheck {
  name: string;
  ok: boolean;
  message?: string;
  /** The node is ready without it. */
  minor?: true;
}

export interface DiskTrouble {
  kind: "full" | "read-only" | "failed" | "slow" | "bulk";
  message: string;
  /** RFC 3339 */
  since?: string;
}

/** What the node wrote to its disk in the last day of operation, beside what it may. */
export interface DiskBudgetStatus {
  /** `near` from 80 % on; when `exceeded`, history and snapshots are coarser. */
  state: "ok" | "near" | "exceeded";
  limitBytes: number;
  writtenBytes: number;
  /** Less than a day while the node is young. */
  measuredSeconds: number;
  /** By kind, since the store was made. */
  totals: Record<"journal" | "snapshot" | "bulk", number>;
}

export interface EdgeStatus {
  node: string;
  version: string;
  link: LinkStatus;
  ledger: { cloudId: string; generation: number; objects: number };
  outbox: { depth: number; oldestAt?: string; dropped: Record<string, number> };
  /** `problem`: why it takes no writes, or takes long; reads go on. */
  store: { lastSequence: number; damage: string[]; problem?: DiskTrouble };
  /** Absent where nobody counts. */
  diskBudget?: DiskBudgetStatus;
  runtime: { endpoint: string; ready: boolean; name?: string; version?: string; message?: string };
  certificate: { notAfter?: string; expired: boolean };
  startedAt: string;
  /** Absent while there is no link at all. */
  traffic?: LinkTraffic;
  /** `known`: the cloud has said what time it is; `correctionMs` is added to the machine's. */
  time?: { known: boolean; correctionMs: number };
  config: { ok: boolean; message?: string };
  /** What the past of devices takes up and may; absent while the node has none. */
  deviceHistory?: HistorySize;
  /** Servers that devices push to; absent while none does. */
  push?: PushReport;
  /** Where applications ask REST targets; absent where that is not enabled. */
  serviceBus?: ServiceBusReport;
}

/** Requests are counted since the program began. */
export interface ServiceBusReport {
  address?: string;
  problem?: string;
  urls: number;
  waiting: number;
  answered: number;
  kept: number;
  refused: number;
}

export interface PushReport {
  destinations: readonly {
    kind: string;
    address: string;
    state: string;
    problem?: string;
    queued: number;
    queuedBytes: number;
    oldestAtMs?: number;
    delivered: number;
    dropped: Readonly<Record<string, number>>;
  }[];
  coalesced: number;
  unplaced: number;
}

/** What happened on this node; as `edge/meta` keeps it. */
export interface HistoryQuery {
  fromMs?: number;
  toMs?: number;
  kind?: "pod_status" | "pod_gone" | "event" | "link" | "twin";
  subject?: string;
  after?: number;
  limit?: number;
}

export interface HistoryRow {
  id: number;
  atMs: number;
  recordedAtMs?: number;
  kind: string;
  subject: string;
  what: string;
  detail?: Record<string, unknown>;
}

export interface EdgeFacts {
  status(): EdgeStatus;
  checks(): HealthCheck[];
  node(): Node;
  events(): Event[];
  /** Oldest first; `next` is `after` of the next page, where there is one. */
  history(query: HistoryQuery): { rows: HistoryRow[]; next?: number };
  /** Reports that wait for the cloud, the first to go first; at most `limit`. */
  waitingReports(limit: number): WaitingReport[];
  /** The last generation the cloud offered since this program started. */
  heardGeneration(): number | undefined;
}
