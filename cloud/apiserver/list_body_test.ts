import { assert, assertEquals } from "@std/assert";
import { nextTurn } from "../../shared/clock.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { findKind } from "./kinds/registry.ts";
import { listResponse } from "./list_body.ts";
import type { Form } from "./negotiate.ts";

const MAPS = findKind("", "v1", "configmaps")!;
const FORMS: Form[] = [
  { as: "object" },
  { as: "metadata" },
  { as: "table", includeObject: "None" },
  { as: "table", includeObject: "Metadata" },
  { as: "table", includeObject: "Object" },
];

function maps(count: number, chars: number): KubeObject[] {
  return Array.from({ length: count }, (_, i) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: `m${i}`, annotations: { text: "é".repeat(chars) } },
    data: { a: "1" },
  }));
}

const respond = (objects: readonly KubeObject[], form: Form) =>
  listResponse(MAPS, objects, { form, meta: { resourceVersion: "7" }, nowMs: 0 });

Deno.test("list body: a long list says the same in slices as a short one whole", async () => {
  const objects = maps(50, 20_000);
  for (const form of FORMS) {
    const long = await respond(objects, form).json();
    const rows: unknown[] = form.as === "table" ? long.rows : long.items;
    assertEquals(rows.length, objects.length);
    for (const at of [0, 17, 49]) {
      const one = await respond([objects[at]!], form).json();
      assertEquals(rows[at], form.as === "table" ? one.rows[0] : one.items[0]);
      assertEquals({ ...long, rows: [], items: [] }, { ...one, rows: [], items: [] });
    }
  }
});

Deno.test("list body: an empty list is whole in every form", async () => {
  for (const form of FORMS) {
    const body = await respond([], form).json();
    assertEquals(body.metadata, { resourceVersion: "7" });
    assertEquals(form.as === "table" ? body.rows : body.items, []);
  }
});

Deno.test("list body: others get their turn between the slices of a long list", async () => {
  const response = respond(maps(200, 20_000), { as: "object" });
  let isOver = false;
  let turns = 0;
  const others = (async () => {
    while (!isOver) {
      await nextTurn();
      turns++;
    }
  })();
  let chunks = 0;
  for await (const chunk of response.body!) {
    chunks++;
    assert(chunk.length < 400_000);
  }
  isOver = true;
  await others;
  assert(chunks > 10);
  assert(turns >= chunks - 1, `${turns} turns in ${chunks} slices`);
});

Deno.test("list body: a client that goes away ends it", async () => {
  const response = respond(maps(200, 20_000), { as: "object" });
  const reader = response.body!.getReader();
  assertEquals((await reader.read()).done, false);
  await reader.cancel();
  assertEquals((await reader.read()).done, true);
});
