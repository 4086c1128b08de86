/**
 * Sessions that outlive their connection: who they are and what they subscribed. A subscription is
 * granted when it is on disk; one that is there already costs nothing, and clients repeat theirs
 * whenever they come back.
 */
import type { Who } from "./acl.ts";
import {
  type BrokerStore,
  parseSession,
  rowsOf,
  type SessionRow,
  SESSIONS_BUCKET,
} from "./kept_rows.ts";

export const SESSIONS_MAX = 1_000;

export interface Filter {
  topic: string;
  qos: number;
}

interface Session {
  user: string;
  filters: Map<string, number>;
  /** The last write; it resolves when everything so far is on disk. */
  written: Promise<unknown>;
}

export class SessionTable {
  readonly #store: BrokerStore;
  /** Of one session. */
  readonly #filtersMax: number;
  readonly #sessions = new Map<string, Session>();

  constructor(store: BrokerStore, filtersMax: number) {
    this.#store = store;
    this.#filtersMax = filtersMax;
    for (const { key, value } of rowsOf(store, SESSIONS_BUCKET)) {
      const row = parseSession(value);
      if (!row) continue;
      const { user, filters } = row;
      this.#sessions.set(key, { user, filters: new Map(filters), written: Promise.resolve() });
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
      { user, filters: new Map<string, number>(), written: Promise.resolve() };
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
