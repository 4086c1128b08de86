/** What the node's end of rules needs of other rooms. */
import type { Outbox } from "../meta/port.ts";
import type { EventBus } from "../mqtt/port.ts";

/** Messages of applications, in and out. */
export type RuleBus = Pick<EventBus, "publish" | "subscribe">;

/** Keeps what is to go to the cloud. */
export type RuleOutbox = Pick<Outbox, "append">;
