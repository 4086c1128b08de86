import { assertEquals } from "@std/assert";
import { SYSTEM } from "../apiserver/authorize.ts";
import { ManualClock, type TestServer, testServer } from "../apiserver/testing.ts";
import { WATCH_LIMITS } from "../apiserver/watch_cache.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { type Clock, SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { ConfigMap } from "../../shared/k8s/types.ts";
import { SeededRandom } from "../../shared/random.ts";
import { HttpKube } from "./http_kube.ts";
import { Informer } from "./informer.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";

interface Followed extends AsyncDisposable {
  informer: Informer<ConfigMap>;
  /** Resolves when the informer's names are these. */
  until(names: string[]): Promise<void>;
}

function follow(fetch: typeof globalThis.fetch, clock: Clock = new SystemClock()): Followed {
  const kube = new HttpKube({ fetch, baseUrl: "http://test" });
  const informer = new Informer<ConfigMap>(kube, GVR.configmaps, {
    clock,
    random: new SeededRandom(1),
    namespace: "default",
  });
  const scope = new TaskScope();
  const wakeup = new Wakeup();
  informer.changes.subscribe(() => wakeup.wake());
  scope.spawn("informer", (signal) => informer.run(signal));
  const names = () => [...informer.items.values()].map(({ metadata }) => metadata.name).sort();
  return {
    informer,
    until: async (wanted) => {
      while (String(names()) !== String(wanted)) await wakeup.wait(scope.signal);
    },
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  };
}

const create = (api: TestServer, name: string) =>
  api.call("POST", MAPS, { metadata: { name } }, { expect: 201 });

Deno.test("informer: lists, then follows creations, changes and deletions", async () => {
  await using api = await testServer();
  await create(api, "a");
  await using followed = follow(api.server.fetchAs(SYSTEM));
  await followed.informer.whenSynced(new AbortController().signal);
  assertEquals(followed.informer.synced, true);
  await followed.until(["a"]);
  await create(api, "b");
  await followed.until(["a", "b"]);
  await api.call("DELETE", `${MAPS}/a`, undefined, { expect: 200 });
  await followed.until(["b"]);
  assertEquals(followed.informer.get("default", "b")?.metadata.name, "b");
});

Deno.test("informer: lists again when its revision is too old, and loses nothing", async () => {
  const watchLimits = { ...WATCH_LIMITS, changesMax: 2 };
  await using api = await testServer({ watchLimits });
  await create(api, "a");
  const inner = api.server.fetchAs(SYSTEM);
  let missed = false;
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const url = new URL(String(input));
    if (url.searchParams.has("watch") && !missed) {
      missed = true;
      await api.call("DELETE", `${MAPS}/a`, undefined, { expect: 200 });
      for (const name of ["b", "c", "d"]) await create(api, name);
    }
    return await inner(input, init);
  };
  await using followed = follow(fetch);
  await followed.until(["b", "c", "d"]);
});

Deno.test("informer: keeps what it has while the API is away, and backs off", async () => {
  await using api = await testServer();
  await create(api, "a");
  const inner = api.server.fetchAs(SYSTEM);
  const clock = new ManualClock();
  let away = true;
  const failed = new Wakeup();
  const fetch: typeof globalThis.fetch = async (input, init) => {
    if (!away) return await inner(input, init);
    failed.wake();
    throw new TypeError("connection refused");
  };
  await using followed = follow(fetch, clock);
  const signal = new AbortController().signal;
  await failed.wait(signal);
  assertEquals(followed.informer.synced, false);
  away = false;
  while (!followed.informer.synced) {
    clock.advance(1_000);
    await new SystemClock().sleep(0);
  }
  await followed.until(["a"]);
  assertEquals(followed.informer.lastError, undefined);
});

Deno.test("informer: run ends when its signal aborts, also while it waits", async () => {
  const clock = new ManualClock();
  const fetch = () => Promise.reject(new AppError("unavailable", "away"));
  const followed = follow(fetch, clock);
  await new SystemClock().sleep(0);
  await followed[Symbol.asyncDispose]();
});
