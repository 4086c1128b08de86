/**
 * What the pod agent needs from the room that keeps what people at the site asked for (the shapes
 * are `edge/intents`'; an agent without such a room has no acts), and of what waits for the cloud.
 */
import { Changes } from "../../shared/async/wakeup.ts";
import type { PrePullResult } from "../../shared/k8s/prepull.ts";
import type { JobRef } from "../../shared/wire/report.ts";
import type { SiteAct, SiteActs } from "../intents/port.ts";

export type { SiteAct, SiteActs };

/** Where what came of pre-pull jobs goes; durable once `put` resolves. */
export interface PrePullReports {
  put(job: JobRef, result: PrePullResult): Promise<unknown>;
  /** True while the report of this job waits to be sent. */
  holds(uid: string): boolean;
}

/** For agents nobody gives orders to. */
export class NoSiteActs implements SiteActs {
  readonly changes = new Changes();

  of(): readonly SiteAct[] {
    return [];
  }

  begin(): Promise<void> {
    return Promise.resolve();
  }

  done(): Promise<void> {
    return Promise.resolve();
  }
}
