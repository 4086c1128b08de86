/**
 * What people at the site asked for, as the rest of the edge sees it. `edge/app.ts` hands the parts
 * out: the local API records and lists, the pod agent carries out.
 */
import type { Changes } from "../../shared/async/wakeup.ts";
import type { StoreOp } from "../../shared/store/port.ts";
import type { Report } from "../../shared/wire/report.ts";
import type { PodIntent, PodVerb, SiteIntent } from "../../shared/wire/site_intent.ts";
import type { Staged } from "../meta/port.ts";

/**
 *     pending -> applied -> merged | conflict        (the cloud may decide before it is applied)
 *
 * *pending*: on disk, not carried out yet. *applied*: carried out here. *merged*: the cloud knows,
 * and holds the same. *conflict*: the cloud decided otherwise, and its word holds here too.
 */
export type IntentState = "pending" | "applied" | "merged" | "conflict";

export interface IntentProgress {
  state: IntentState;
  /** Why it was decided so. */
  reason?: string;
}

export type Intent = SiteIntent & IntentProgress;

export interface IntentRequest {
  verb: PodVerb;
  namespace: string;
  name: string;
  /** Refuses when the pod of that name has another uid. */
  uid?: string;
  container?: string;
  /** Instead of the pod's own terminationGracePeriodSeconds. */
  graceSeconds?: number;
  by: string;
}

export interface SetTwinRequest {
  namespace: string;
  name: string;
  property: string;
  value: string;
  /** The version of desired they saw; refused as stale when there is a later one. */
  version?: number;
  by: string;
}

export interface Intents {
  readonly changes: Changes;
  /**
   * Resolves when the intent is on disk. One of the same kind that has not been carried out yet is
   * returned instead of a second. AppError "not_found", "conflict" (uid), "invalid" (container),
   * "exhausted".
   */
  record(request: IntentRequest): Promise<PodIntent & IntentProgress>;
  /**
   * Sets what a property shall be. Resolves when the intent, and what it changed here, are on disk
   * together. An undecided one of the same property is replaced. Errors as `Twins.report`.
   */
  setTwin(request: SetTwinRequest): Promise<Intent>;
  /** Oldest first; decided ones are kept for a while. */
  list(): Intent[];
  get(id: string): Intent | undefined;
}

/** One intent about one pod, as the agent needs it to carry it out. */
export interface SiteAct {
  id: string;
  verb: PodVerb;
  container?: string;
  graceSeconds?: number;
  by: string;
  /** Sandboxes and containers it ends; undefined before the agent has looked. */
  victims?: readonly string[];
  carriedOut: boolean;
  /** The pod shall stay stopped until the cloud has decided. */
  holds: boolean;
}

/** Intents as the pod agent's orders. Every promise resolves when the step is on disk. */
export interface SiteActs {
  /** Notified when there is a new act, or when one holds its pod no more. */
  readonly changes: Changes;
  of(uid: string): readonly SiteAct[];
  /** Notes what an act is to end, before any of it is touched. */
  begin(id: string, victims: readonly string[]): Promise<void>;
  /** None of the victims lives any more. */
  done(id: string): Promise<void>;
}

/** The part of the outbox that carries intents. */
export interface IntentOutbox {
  readonly changes: Changes;
  putWith(
    lane: "control",
    key: string,
    report: Report,
    also: readonly StoreOp[],
  ): Promise<number>;
  stage(lane: "control", key: string, report: Report): Staged;
  /** True while a report of this key is not acknowledged. */
  holds(key: string): boolean;
}
