/**
 * What every KubeClient must do, whatever it talks to. An adapter's test calls `kubeSuite` with a
 * way to get a client of an API that serves core/v1 and has a namespace of the suite's own.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AppError, type ErrorCode } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { ConfigMap, KubeObject, Pod, WatchEvent } from "../../shared/k8s/types.ts";
import type { KubeClient } from "./port.ts";

export interface SuiteClient extends AsyncDisposable {
  kube: KubeClient;
  /** An existing, empty namespace. */
  namespace: string;
}

type Case = (client: SuiteClient, signal: AbortSignal) => Promise<void>;

/** Registers the suite's tests under `name`. */
export function kubeSuite(name: string, open: () => Promise<SuiteClient>): void {
  for (const [behaviour, run] of Object.entries(CASES)) {
    Deno.test(`KubeClient ${name}: ${behaviour}`, async () => {
      await using client = await open();
      const controller = new AbortController();
      try {
        await run(client, controller.signal);
      } finally {
        controller.abort();
      }
    });
  }
}

function configMap(name: string, data: Record<string, string>, labels = {}): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, labels }, data };
}

async function rejectsWith(code: ErrorCode, work: () => Promise<unknown>): Promise<AppError> {
  const error = await assertRejects(work, AppError);
  assertEquals(error.code, code, error.message);
  return error;
}

const CASES: Record<string, Case> = {
  "creates, gets, lists and deletes": async ({ kube, namespace }, signal) => {
    const gvr = GVR.configmaps;
    const made = await kube.create(gvr, configMap("a", { k: "v" }), signal, { namespace });
    assert(made.metadata.uid && made.metadata.resourceVersion && made.metadata.creationTimestamp);
    const got = await kube.get<ConfigMap>(gvr, { namespace, name: "a" }, signal);
    assertEquals(got.data, { k: "v" });
    await kube.create(gvr, configMap("b", {}, { tier: "x" }), signal, { namespace });
    const some = await kube.list(gvr, { namespace, labelSelector: "tier=x" }, signal);
    assertEquals(some.items.map((item) => item.metadata.name), ["b"]);
    const one = await kube.list(gvr, { namespace, fieldSelector: "metadata.name=a" }, signal);
    assertEquals(one.items.map((item) => item.metadata.name), ["a"]);
    await kube.delete(gvr, { namespace, name: "a" }, {}, signal);
    await rejectsWith("not_found", () => kube.get(gvr, { namespace, name: "a" }, signal));
  },

  "names errors by code": async ({ kube, namespace }, signal) => {
    const gvr = GVR.configmaps;
    const target = { namespace, name: "a" };
    await rejectsWith("not_found", () => kube.delete(gvr, target, {}, signal));
    const made = await kube.create(gvr, configMap("a", {}), signal, { namespace });
    await rejectsWith(
      "already_exists",
      () => kube.create(gvr, configMap("a", {}), signal, { namespace }),
    );
    await kube.update(gvr, { ...made, data: { k: "1" } }, signal);
    await rejectsWith("conflict", () => kube.update(gvr, { ...made, data: { k: "2" } }, signal));
    const preconditions = { uid: "00000000-0000-4000-8000-000000000000" };
    await rejectsWith("conflict", () => kube.delete(gvr, target, { preconditions }, signal));
    await rejectsWith(
      "invalid",
      () => kube.create(gvr, configMap("Not A Name", {}), signal, { namespace }),
    );
    await rejectsWith(
      "not_found",
      () => kube.create(gvr, configMap("a", {}), signal, { namespace: "no-such-namespace" }),
    );
  },

  "patches in three ways, and the status apart": async ({ kube, namespace }, signal) => {
    const pod: Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", labels: { a: "1" } },
      spec: { containers: [{ name: "main", image: "registry.example/app:1" }] },
    };
    await kube.create(GVR.pods, pod, signal, { namespace });
    const target = { namespace, name: "p" };
    await kube.patch(GVR.pods, target, {
      type: "merge",
      body: { metadata: { labels: { b: "2" } } },
    }, signal);
    await kube.patch(GVR.pods, target, {
      type: "json",
      body: [{ op: "remove", path: "/metadata/labels/a" }],
    }, signal);
    const strategic = { spec: { containers: [{ name: "main", image: "registry.example/app:2" }] } };
    const changed = await kube.patch<Pod>(
      GVR.pods,
      target,
      { type: "strategic", body: strategic },
      signal,
    );
    assertEquals(changed.metadata.labels, { b: "2" });
    assertEquals(changed.spec.containers.map(({ image }) => image), ["registry.example/app:2"]);
    const status = { metadata: { labels: { c: "3" } }, status: { phase: "Running" } };
    const withStatus = await kube.patch<Pod>(
      GVR.pods,
      { ...target, subresource: "status" },
      { type: "merge", body: status },
      signal,
    );
    assertEquals(withStatus.status?.phase, "Running");
  },

  "watches from a list on, through a selector": async ({ kube, namespace }, signal) => {
    const gvr = GVR.configmaps;
    const list = await kube.list(gvr, { namespace }, signal);
    const { resourceVersion = "" } = list.metadata;
    await kube.create(gvr, configMap("in", {}, { on: "y" }), signal, { namespace });
    await kube.create(gvr, configMap("out", {}), signal, { namespace });
    const unlabel = { metadata: { labels: { on: null } } };
    await kube.patch(gvr, { namespace, name: "in" }, { type: "merge", body: unlabel }, signal);
    const options = { namespace, resourceVersion, labelSelector: "on=y" };
    const events = await take(2, kube.watch(gvr, options, signal));
    assertEquals(events.map(describe), ["ADDED in", "DELETED in"]);
  },

  "a watch shows what is there, then what comes": async ({ kube, namespace }, signal) => {
    const gvr = GVR.configmaps;
    await kube.create(gvr, configMap("first", {}), signal, { namespace });
    const seen: string[] = [];
    for await (const event of kube.watch(gvr, { namespace }, signal)) {
      if (event.type === "BOOKMARK") continue;
      if (seen.length === 0) {
        await kube.create(gvr, configMap("second", {}), signal, { namespace });
      }
      seen.push(describe(event));
      if (seen.length === 2) break;
    }
    assertEquals(seen, ["ADDED first", "ADDED second"]);
  },

  "a watch ends when its signal aborts": async ({ kube, namespace }) => {
    const controller = new AbortController();
    const gvr = GVR.configmaps;
    await kube.create(gvr, configMap("a", {}), controller.signal, { namespace });
    const reason = new AppError("canceled", "test is over");
    const error = await assertRejects(async () => {
      for await (const _ of kube.watch(gvr, { namespace }, controller.signal)) {
        controller.abort(reason);
      }
    }, AppError);
    assertEquals(error, reason);
  },

  "a watch from a revision that never was is stale": async ({ kube, namespace }, signal) => {
    const options = { namespace, resourceVersion: "999999999999" };
    await rejectsWith("stale", () => take(1, kube.watch(GVR.configmaps, options, signal)));
  },
};

async function take<T extends KubeObject>(
  count: number,
  events: AsyncIterable<WatchEvent<T>>,
): Promise<WatchEvent<T>[]> {
  const out: WatchEvent<T>[] = [];
  for await (const event of events) {
    if (event.type === "BOOKMARK") continue;
    out.push(event);
    if (out.length === count) break;
  }
  return out;
}

function describe(event: WatchEvent): string {
  return `${event.type} ${event.type === "ERROR" ? "" : event.object.metadata.name}`;
}
