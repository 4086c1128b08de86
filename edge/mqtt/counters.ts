/** What the room counts, in one place. */
import type { MqttCounts } from "./port.ts";

export type DropReason =
  | "too_many_connections"
  | "packet_too_big"
  | "protocol"
  | "unauthorized"
  | "forbidden"
  | "slow_client"
  | "session_queue_full"
  | "session_message_lost"
  | "session_gave_way"
  | "not_stored"
  | "too_many_subscriptions"
  | "too_many_sessions"
  | "retained_full"
  | "retained_replay"
  | "not_taken"
  | "broker_stalled"
  | "broker_queue_full"
  | "external_queue_full"
  | "external_stalled";

export class Counters {
  readonly messages = { in: 0, out: 0 };
  readonly #requests: Record<string, number> = {};
  readonly #dropped: Partial<Record<DropReason, number>> = {};
  pauses = 0;

  request(kind: string, code: number): void {
    const key = `${kind} ${code}`;
    this.#requests[key] = (this.#requests[key] ?? 0) + 1;
  }

  drop(reason: DropReason): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + 1;
  }

  read({ clients, waiting }: Pick<MqttCounts, "clients" | "waiting">): MqttCounts {
    return {
      clients,
      waiting,
      messages: { ...this.messages },
      requests: { ...this.#requests },
      dropped: { ...this.#dropped },
      pauses: this.pauses,
    };
  }
}
