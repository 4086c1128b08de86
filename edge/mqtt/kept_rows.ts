/**
 * What the embedded broker keeps on disk, as it lies there: subscriptions of sessions that outlive
 * their connection, messages that wait for them, handshakes of QoS 2, retained messages. Rows are
 * parsed when they are read; one that cannot be is passed over. A changed layout is a new name.
 */
import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import type { Store } from "../../shared/store/port.ts";

/** Client id -> who it was let in as, and its filters with their QoS. */
export const SESSIONS_BUCKET = "mqtt_sessions/v1";
/** Topic, or a hash of one that is no key -> the message retained on it. */
export const RETAINED_BUCKET = "mqtt_retained/v1";
/** Id of a message in the stream -> how far its handshake of QoS 2 has come. */
export const SENT_BUCKET = "mqtt_sent/v1";
/** Client id -> packet ids of QoS 2 that were taken and not released. */
export const RECEIVED_BUCKET = "mqtt_received/v1";
/** Messages under the id of the client they wait for. */
export const QUEUE_STREAM = "mqtt_queue/v1";

/** What a broker needs of the store. */
export type BrokerStore = Pick<Store, "list" | "get" | "commit" | "bulk">;

export interface SessionRow {
  /** "" without a name. */
  user: string;
  filters: [filter: string, qos: number][];
}

export interface Message {
  topic: string;
  payload: Uint8Array;
  qos: 0 | 1 | 2;
}

export interface SentRow {
  client: string;
  packetId: number;
  isReleased: boolean;
}

const KEY_BYTES_MAX = 1_000;
const PAGE = 256;
const PAGE_BYTES = 1024 * 1024;

export function retainedKey(topic: string): string {
  const isKey = !topic.includes("\0") && topic.isWellFormed();
  if (isKey && Buffer.byteLength(topic) <= KEY_BYTES_MAX) return topic;
  return `\u0001${createHash("sha256").update(topic).digest("hex")}`;
}

export function parseSession(value: unknown): SessionRow | undefined {
  const { user, filters } = fieldsOf(value);
  if (typeof user !== "string" || !Array.isArray(filters)) return undefined;
  const good = filters.filter((each): each is [string, number] =>
    Array.isArray(each) && typeof each[0] === "string" && [0, 1, 2].includes(each[1])
  );
  return { user, filters: good };
}

export function parseMessage(value: unknown): Message | undefined {
  const { topic, payload, qos } = fieldsOf(value);
  if (typeof topic !== "string" || !(payload instanceof Uint8Array)) return undefined;
  if (qos !== 0 && qos !== 1 && qos !== 2) return undefined;
  // the library's writer asks for its own kind of bytes
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return { topic, payload: bytes, qos };
}

export function parseSent(value: unknown): SentRow | undefined {
  const { client, packetId, isReleased } = fieldsOf(value);
  if (typeof client !== "string" || typeof packetId !== "number") return undefined;
  return { client, packetId, isReleased: isReleased === true };
}

export function parseReceived(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((id) => Number.isInteger(id)) : [];
}

/** All rows of a bucket, a page at a time. */
export function* rowsOf(
  store: BrokerStore,
  bucket: string,
): Generator<{ key: string; value: unknown }> {
  let after = ""; // before every key
  for (;;) {
    const page = store.list<unknown>(bucket, { limit: PAGE, after });
    yield* page;
    const last = page.at(-1);
    if (!last) return;
    after = last.key;
  }
}

/** All messages that wait, a page at a time, in the order they came. */
export function* queuedRows(
  store: BrokerStore,
): Generator<{ id: number; client: string; message: Message | undefined }> {
  for (let after = -1;;) {
    const page = store.bulk.read<unknown>(QUEUE_STREAM, {
      after,
      limit: PAGE,
      bytesMax: PAGE_BYTES,
    });
    for (const { id, key, value } of page) {
      yield { id, client: key, message: parseMessage(value) };
    }
    const last = page.at(-1);
    if (!last) return;
    after = last.id;
  }
}

export function readQueued(store: BrokerStore, id: number): Message | undefined {
  const [row] = store.bulk.read<unknown>(QUEUE_STREAM, { after: id - 1, limit: 1 });
  return row?.id === id ? parseMessage(row.value) : undefined;
}

function fieldsOf(value: unknown): Record<string, unknown> {
  const isObject = typeof value === "object" && value !== null;
  return isObject ? value as Record<string, unknown> : {}; // whatever it holds
}
