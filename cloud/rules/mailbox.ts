/**
 * Messages and requests of rules that were accepted and are not delivered: on disk, in one stream
 * of the store, bounded by rows, bytes and age, the oldest dropped and counted there by reason. In
 * memory is only which are whose: a target that is away holds up no other.
 */
import type { Clock } from "../../shared/clock.ts";
import { recordId, type Store, type StreamStats } from "../../shared/store/port.ts";

export const MESSAGES_STREAM = "rule_messages/v1";
/** A week; 100 000 numbers are 1 MB of memory. */
const LIMITS = {
  ttlMs: 7 * 24 * 60 * 60 * 1000,
  rowsMax: 100_000,
  bytesMax: 256 * 1024 * 1024,
};
const READ_ROWS = 500;
/** Requests of one rule at once. */
const REQUEST_LINES = 8;
const READ_BYTES = 8 * 1024 * 1024;

export interface StoredMessage {
  id: string;
  /** The rule that sent it on its way. */
  namespace: string;
  rule: string;
  /** To a node's event bus. */
  node?: string;
  /** Where it is published, or came from; of a request, the URL that was asked for. */
  topic: string;
  /** A request: the node whose application asks, and is told the answer. */
  asker?: string;
  contentType?: string;
  payload: Uint8Array;
}

export interface Waiting {
  id: number;
  message: StoredMessage;
}

/**
 * Messages of one line are delivered one after the other. Requests of a rule have several: somebody
 * waits for each, and a target that thinks long about one may think about others too.
 */
export function lineOf({ id, node, namespace, rule, asker }: StoredMessage): string {
  if (node !== undefined) return `node ${node}`;
  const line = `rule ${namespace}/${rule}`;
  if (asker === undefined) return line;
  let sum = 0;
  for (const letter of id) sum += letter.charCodeAt(0);
  return `${line} ${sum % REQUEST_LINES}`;
}

export class Mailbox {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #lines = new Map<string, number[]>();
  #onLine: (line: string) => void = () => {};

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    store.bulk.declare(MESSAGES_STREAM, LIMITS);
    this.#readIndex();
  }

  get lines(): string[] {
    return [...this.#lines.keys()];
  }

  /** `listener` is told of each line that has got something. */
  listen(listener: (line: string) => void): void {
    this.#onLine = listener;
  }

  /** Resolves when they are on disk. */
  async put(messages: readonly StoredMessage[]): Promise<void> {
    if (messages.length === 0) return;
    const atMs = this.#clock.nowMs();
    const sequence = await this.#store.commit(messages.map((message) => ({
      op: "append",
      stream: MESSAGES_STREAM,
      key: message.id,
      value: message,
      atMs,
    })));
    messages.forEach((message, i) => this.#add(lineOf(message), recordId(sequence, i)));
  }

  /** The oldest of a line; undefined when none is left. */
  next(line: string): Waiting | undefined {
    const ids = this.#lines.get(line) ?? [];
    for (;;) {
      const id = ids[0];
      if (id === undefined) {
        this.#lines.delete(line);
        return undefined;
      }
      const range = { after: id - 1, limit: 1 };
      const [found] = this.#store.bulk.read<StoredMessage>(MESSAGES_STREAM, range);
      if (found?.id === id) return { id, message: found.value };
      ids.shift(); // dropped by age or number, and counted there
    }
  }

  async remove(line: string, id: number): Promise<void> {
    await this.#store.commit([{ op: "remove", stream: MESSAGES_STREAM, ids: [id] }]);
    const ids = this.#lines.get(line);
    if (ids?.[0] === id) ids.shift();
  }

  stats(): StreamStats {
    return this.#store.bulk.stats(MESSAGES_STREAM);
  }

  #add(line: string, id: number): void {
    const ids = this.#lines.get(line);
    if (ids) ids.push(id);
    else this.#lines.set(line, [id]);
    this.#onLine(line);
  }

  #readIndex(): void {
    let after = -1;
    for (;;) {
      const range = { after, limit: READ_ROWS, bytesMax: READ_BYTES };
      const rows = this.#store.bulk.read<StoredMessage>(MESSAGES_STREAM, range);
      for (const { id, value } of rows) this.#add(lineOf(value), id);
      const last = rows.at(-1);
      if (!last) return;
      after = last.id;
    }
  }
}
