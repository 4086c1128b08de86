/** What the node's end of rules needs of other rooms. */
import type { Outbox } from "../meta/port.ts";
import type { EventBus } from "../mqtt/port.ts";

/** Messages of applications, in and out. */
export type RuleBus = Pick<EventBus, "publish" | "subscribe">;

/** Keeps what is to go to the cloud. */
export type RuleOutbox = Pick<Outbox, "append">;

/** What a REST target said; `status` 0 when the body says why it was never asked. */
export interface TargetAnswer {
  status: number;
  body: string;
}

/** Applications that wait for the answer to a request. */
export interface Answers {
  /** False when nobody waits for this one. */
  answered(id: string, answer: TargetAnswer): boolean;
}

export interface ServiceBusStatus {
  /** HOST:PORT; absent while it is not listened there. */
  address?: string;
  /** Why it is not. */
  problem?: string;
  /** What applications may ask for. */
  urls: number;
  waiting: number;
  /** Since the program began: answered in time, kept without an answer, and not taken. */
  answered: number;
  kept: number;
  refused: number;
}
