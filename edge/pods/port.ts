/**
 * What the pod agent needs from the room that keeps what people at the site asked for. The shapes
 * are `edge/intents`'; an agent without such a room has no acts.
 */
import { Changes } from "../../shared/async/wakeup.ts";
import type { SiteAct, SiteActs } from "../intents/port.ts";

export type { SiteAct, SiteActs };

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
