/** An API server over a store in memory, for tests: requests as an administrator, in JSON. */
import { assertEquals } from "@std/assert";
import { type Clock, SystemClock } from "../../shared/clock.ts";
import { SeededRandom } from "../../shared/random.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import type { Store } from "../../shared/store/port.ts";
import { readLines } from "../kube/read_lines.ts";
import { type ApiServer, type ApiServerOptions, createApiServer } from "./app.ts";
import { SYSTEM } from "./authorize.ts";
import type { UserInfo } from "./port.ts";

export interface TestServer extends AsyncDisposable {
  readonly server: ApiServer;
  readonly store: Store;
  /** A request as `user` (an administrator by default); a body object is sent as JSON. */
  call(method: string, path: string, body?: unknown, options?: CallOptions): Promise<Answer>;
}

export interface CallOptions {
  headers?: Record<string, string>;
  user?: UserInfo;
  /** The status the reply must have. */
  expect?: number;
}

/** What JSON.parse gives: tests look into replies of every shape. */
export type Parsed = ReturnType<typeof JSON.parse>;

export interface Answer {
  status: number;
  headers: Headers;
  body: Parsed;
}

export async function testServer(
  options: Partial<ApiServerOptions> & { clock?: Clock; store?: Store } = {},
): Promise<TestServer> {
  const store = options.store ?? new MemoryStore();
  const server = await createApiServer({
    store,
    clock: new SystemClock(),
    random: new SeededRandom(1),
    nodeProxy: { fetch: () => Promise.reject(new Error("no node in this test")) },
    authenticator: { authenticate: () => Promise.resolve(undefined) },
    version: "0.1.0",
    ...options,
  });
  const call = async (
    method: string,
    path: string,
    body?: unknown,
    { headers = {}, user = SYSTEM, expect }: CallOptions = {},
  ): Promise<Answer> => {
    const init: RequestInit = { method, headers };
    if (body !== undefined) {
      init.body = typeof body === "string" ? body : JSON.stringify(body);
      init.headers = { "content-type": "application/json", ...headers };
    }
    const response = await server.fetchAs(user)(`http://test${path}`, init);
    const text = await response.text();
    if (expect !== undefined) assertEquals(response.status, expect, text);
    return { status: response.status, headers: response.headers, body: parse(text) };
  };
  return { server, store, call, [Symbol.asyncDispose]: () => server.close() };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function samplePod(name: string, more: Partial<KubeObject> = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { containers: [{ name: "main", image: "registry.example/app:1" }] },
    ...more,
  };
}

/** A clock that stands still until it is advanced; sleepers wake in the order of their times. */
export class ManualClock implements Clock {
  #ms = Date.parse("2026-01-01T00:00:00Z");
  readonly #sleepers = new Set<{ atMs: number; wake: () => void }>();

  nowMs(): number {
    return this.#ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        this.#sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      const wake = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const sleeper = { atMs: this.#ms + ms, wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  advance(ms: number): void {
    this.#ms += ms;
    const due = [...this.#sleepers].filter(({ atMs }) => atMs <= this.#ms);
    for (const sleeper of due.sort((a, b) => a.atMs - b.atMs)) {
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }
}

export interface TestWatch {
  /** The next event; undefined once the stream has ended. */
  next(): Promise<Parsed>;
  close(): Promise<void>;
}

/** Opens a watch as an administrator. */
export async function openWatch(
  { server }: TestServer,
  path: string,
  headers: Record<string, string> = {},
): Promise<TestWatch> {
  const response = await server.fetchAs(SYSTEM)(`http://test${path}`, { headers });
  assertEquals(response.status, 200);
  const controller = new AbortController();
  const lines = readLines(response.body!, controller.signal);
  return {
    next: async () => {
      const { done, value } = await lines.next();
      return done ? undefined : JSON.parse(value);
    },
    close: async () => {
      controller.abort();
      await lines.return(undefined);
      // a reader that never started holds nothing; the stream is ended here
      if (!response.body!.locked) await response.body!.cancel();
    },
  };
}
