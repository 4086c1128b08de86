/**
 * The event bus as other rooms see it: messages of applications out and in, by topic, whichever
 * brokers the node has. Twins and membership need nobody else; they are the room's own.
 */
export interface AppMessage {
  topic: string;
  payload: Uint8Array;
}

export interface EventBus {
  /**
   * Resolves when every broker of this node has taken it: an external one with its acknowledgement,
   * the embedded one when sessions of those who are away have it on disk. AppError "invalid"
   * (topic, size), "exhausted" (too many wait), "unavailable" (no broker, or it takes nothing for
   * 20 s).
   */
  publish(message: AppMessage, signal?: AbortSignal): Promise<void>;
  /**
   * `take` gets what is published on topics that match `filter`; the sender is acknowledged when
   * it resolves. What nobody takes is counted. An external broker tells first what it retains, the
   * embedded one only where it is asked to. Returns what ends it.
   */
  subscribe(
    filter: string,
    take: (message: AppMessage) => Promise<void>,
    options?: { wantsRetained?: boolean },
  ): () => void;
}

export type BrokerState =
  | { state: "starting" }
  | { state: "up"; address: string }
  /** `problem`: why; it is tried again. */
  | { state: "down"; address: string; problem: string };

export interface MqttStatus {
  /** Absent where the node has none. */
  embedded?: BrokerState;
  external?: BrokerState;
}

/** Counters since the program began. */
export interface MqttCounts {
  /** Connected to the embedded broker. */
  clients: number;
  messages: { in: number; out: number };
  /** Answers by what was asked and how it ended: `twin_update` and 200. */
  requests: Record<string, number>;
  /** What was refused or dropped, by reason. */
  dropped: Record<string, number>;
  /** Times a client was not read from, because it sent too fast. */
  pauses: number;
  /** Publications an external broker has not acknowledged. */
  waiting: number;
  /** What the embedded broker keeps on disk for clients; absent while it does not run. */
  kept?: MqttKept;
}

export interface MqttKept {
  sessions: number;
  /** Messages that wait for sessions. */
  queued: number;
  retained: number;
}

export interface MqttFacts {
  status(): MqttStatus;
  counts(): MqttCounts;
}
