import { assertEquals } from "@std/assert";
import { TaskScope, untilAborted } from "../../shared/async/task_scope.ts";
import { Changes } from "../../shared/async/wakeup.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { DeltaCache } from "./delta_cache.ts";
import type { FollowedResource } from "./port.ts";
import { settle } from "./testing/until.ts";

function object(name: string, resourceVersion: string, uid = "u"): KubeObject {
  return { metadata: { name, namespace: "default", resourceVersion, uid } };
}

class Source implements FollowedResource<KubeObject> {
  readonly changes = new Changes();
  items: ReadonlyMap<string, KubeObject> = new Map();
  readonly synced = Promise.withResolvers<void>();

  set(...objects: KubeObject[]): void {
    this.items = new Map(objects.map((o) => [`default/${o.metadata.name}`, o]));
    this.changes.notify();
  }

  whenSynced(): Promise<void> {
    return this.synced.promise;
  }

  run(signal: AbortSignal): Promise<void> {
    return untilAborted(signal);
  }
}

Deno.test("DeltaCache tells single steps, none before the first list or for the same", async () => {
  const source = new Source();
  const cache = new DeltaCache(source);
  const steps: string[] = [];
  cache.subscribe(({ before, after }) =>
    steps.push([before, after].map((o) => o?.metadata.resourceVersion ?? "-").join(">"))
  );
  await using scope = new TaskScope();
  scope.spawn("cache", (signal) => cache.run(signal));
  source.set(object("a", "1"));
  await settle();
  assertEquals(steps, []);
  source.synced.resolve();
  await cache.ready(scope.signal);
  source.set(object("a", "1"), object("b", "2")); // read again: equal copies
  await settle();
  source.set(object("b", "3"));
  await settle();
  assertEquals(steps, ["->1", "->2", "1>-", "2>3"]);
  assertEquals(cache.get("default", "b")?.metadata.resourceVersion, "3");
  assertEquals([...cache.list()].length, 1);
});
