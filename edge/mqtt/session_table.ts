/**
 * Sessions that outlive their connection: who they are and what they subscribed. A subscription is
 * granted when it is on disk; one that is there already costs nothing, and clients repeat theirs
 * whenever they come back.
 */
import type { Clock } from "../../shared/clock.ts";
import type { Who } from "./acl.ts";
import {
  type BrokerStore,
  parseSession,
  rowsOf,
  type SessionRow,
  SESSIONS_BUCKET,
} from "./kept_rows.ts";

export const SESSIONS_MAX = 1_000;

/** Away for as long, a session gives way to a new one when there is no room. */
export const GIVE_WAY_MS = 24 * 60 * 60_000;

export interface Filter {
  topic: string;
  qos: number;
}

interface Session {
  user: string;
  filters: Map<string, number>;
  /** When it was last connected, or this program began. */
  seenMs: number;
  /** The last write; it resolves when everything so far is on disk. */
  written: Promise<unknown>;
}

export class SessionTable {
  readonly #store: BrokerStore;
  /** Of one session. */
  readonly #filtersMax: number;
  readonly #clock: Clock;
  readonly #sessions = new Map<string, Session>();

  constructor(
    { store, filtersMax, clock }: { store: BrokerStore; filtersMax: number; clock: Clock },
  ) {
    this.#store = store;
    this.#filtersMax = filtersMax;
    this.#clock = clock;
    for (const { key, value } of rowsOf(store, SESSIONS_BUCKET)) {
      const row = parseSession(value);
      if (!row) continue;
      const { user, filters } = row;
      this.#sessions.set(key, this.#newSession(user, new Map(filters)));
    }
  }

  get size(): number {
    return this.#sessions.size;
  }

  has(client: string): boolean {
    return this.#sessions.has(client);
  }

  hasRoom(client: string): boolean {
    return this.#sessions.has(client) || this.#sessions.size < SESSIONS_MAX;
  }

  seen(client: string): void {
    const session = this.#sessions.get(client);
    if (session) session.seenMs = this.#clock.monotonicMs();
  }

  /** Of those that have been away for GIVE_WAY_MS the one that was longest. */
  longestAway(isOnline: (client: string) => boolean): string | undefined {
    let oldest: string | undefined;
    let oldestMs = this.#clock.monotonicMs() - GIVE_WAY_MS + 1;
    for (const [client, { seenMs }] of this.#sessions) {
      if (seenMs >= oldestMs || isOnline(client)) continue;
      oldest = client;
      oldestMs = seenMs;
    }
    return oldest;
  }

  *all(): Generator<{ who: Who; filters: Filter[] }> {
    for (const [client, { user, filters }] of this.#sessions) {
      yield {
        who: { user, client },
        filters: [...filters].map(([topic, qos]) => ({ topic, qos })),
      };
    }
  }

  /** Rejects when they could not be written; the session is then as it was. */
  async add({ client, user }: Who, filters: readonly Filter[]): Promise<void> {
    const session = this.#sessions.get(client) ??
      this.#newSession(user, new Map());
    const isNew = filters.some(({ topic, qos }) => session.filters.get(topic) !== qos);
    if (!isNew && session.user === user) return void await session.written;
    const before = session.filters;
    const after = new Map(before);
    for (const { topic, qos } of filters) {
      if (after.has(topic) || after.size < this.#filtersMax) after.set(topic, qos);
    }
    Object.assign(session, { user, filters: after });
    this.#sessions.set(client, session);
    session.written = this.#write(client, session);
    try {
      await session.written;
    } catch (error) {
      session.written = Promise.resolve();
      if (session.filters === after) session.filters = before;
      if (session.filters.size === 0) this.#sessions.delete(client);
      throw error;
    }
  }

  async remove(client: string, topics: readonly string[]): Promise<void> {
    const session = this.#sessions.get(client);
    if (!session) return;
    const gone = topics.filter((topic) => session.filters.delete(topic));
    if (gone.length > 0) session.written = this.#write(client, session);
    await session.written;
  }

  /** It begins anew. */
  async clear(client: string): Promise<void> {
    const session = this.#sessions.get(client);
    if (!session) return;
    session.filters.clear();
    session.written = this.#write(client, session);
    await session.written;
  }

  #newSession(user: string, filters: Map<string, number>): Session {
    const seenMs = this.#clock.monotonicMs();
    return { user, filters, seenMs, written: Promise.resolve() };
  }

  async #write(client: string, session: Session): Promise<void> {
    const { user, filters } = session;
    const row = { bucket: SESSIONS_BUCKET, key: client };
    if (filters.size === 0) {
      this.#sessions.delete(client);
      await this.#store.commit([{ op: "delete", ...row }]);
      return;
    }
    const value: SessionRow = { user, filters: [...filters] };
    await this.#store.commit([{ op: "put", ...row, value }]);
  }
}
