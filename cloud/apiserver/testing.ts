/** An API server over a store in memory, for tests: requests as an administrator, JSON in and out. */
import { assertEquals } from "@std/assert";
import { type Clock, SystemClock } from "../../shared/clock.ts";
import { SeededRandom } from "../../shared/random.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import type { Store } from "../../shared/store/port.ts";
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

export interface Answer {
  status: number;
  headers: Headers;
  // deno-lint-ignore no-explicit-any -- tests look into replies of every shape
  body: any;
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
