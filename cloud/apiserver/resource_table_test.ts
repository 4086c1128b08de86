import { assertEquals } from "@std/assert";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { fc } from "../../shared/testing/property.ts";
import type { Change } from "./change_ring.ts";
import { cutPage, type PageRequest, ResourceTable } from "./resource_table.ts";

const KEYS = ["a-b/x", "a/x", "a/y", "a/z", "a0/x", "b/x", "b/y", "/x"];

function versionOf(key: string, revision: number): KubeObject {
  return { apiVersion: "v1", kind: "X", metadata: { name: key, resourceVersion: `${revision}` } };
}

/** Writes by index into KEYS; the same key twice in a row is there, then gone, and so on. */
const writesArbitrary = fc.array(
  fc.record({ key: fc.constantFrom(...KEYS), isDelete: fc.boolean() }),
  { maxLength: 30 },
);

interface State {
  table: ResourceTable;
  changes: Change[];
  /** What was there before the change of the same index. */
  states: Map<string, KubeObject>[];
}

function play(writes: readonly { key: string; isDelete: boolean }[]): State {
  const table = new ResourceTable([]);
  const changes: Change[] = [];
  const states = [new Map<string, KubeObject>()];
  for (const { key, isDelete } of writes) {
    const before = table.get(key);
    if (isDelete && !before) continue;
    const revision = changes.length + 1;
    const object = versionOf(key, revision);
    const type = isDelete ? "DELETED" : before ? "MODIFIED" : "ADDED";
    changes.push({ revision, resource: "x", key, type, object, before, bytes: 1 });
    const next = new Map(states.at(-1)!);
    if (isDelete) {
      table.delete(key);
      next.delete(key);
    } else {
      table.set(key, object);
      next.set(key, object);
    }
    states.push(next);
  }
  return { table, changes, states };
}

function expected(state: Map<string, KubeObject>, { namespace, after }: PageRequest): KubeObject[] {
  return [...state.keys()].sort((a, b) => a < b ? -1 : 1)
    .filter((key) => namespace === undefined || key.startsWith(`${namespace}/`))
    .filter((key) => after === undefined || key > after)
    .map((key) => state.get(key)!);
}

Deno.test("resource table: pages of any past state are what was there then", () => {
  fc.assert(fc.property(
    writesArbitrary,
    fc.nat(30),
    fc.option(fc.constantFrom("a", "a-b", "b", "none"), { nil: undefined }),
    fc.option(fc.constantFrom(...KEYS, "a", "zz"), { nil: undefined }),
    fc.integer({ min: 1, max: 4 }),
    (writes, back, namespace, after, limit) => {
      const { table, changes, states } = play(writes);
      const at = Math.min(back, changes.length);
      const view = table.before(changes.slice(at));
      const all = expected(states[at]!, { namespace, after });
      const page = cutPage(view, { namespace, after, limit });
      assertEquals(page.objects, all.slice(0, limit));
      assertEquals(page.left, Math.max(0, all.length - limit));
      const matches = (object: KubeObject) => object.metadata.name!.endsWith("x");
      const chosen = all.filter(matches);
      const selected = cutPage(view, { namespace, after, limit, matches });
      assertEquals(selected.objects, chosen.slice(0, limit));
      assertEquals(selected.left > 0, chosen.length > limit);
    },
  ));
});
