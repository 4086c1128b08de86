import { assertEquals, assertThrows } from "@std/assert";
import { fc } from "../../../shared/testing/property.ts";
import { AppError } from "../../../shared/errors.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { NODE } from "../kinds/node.ts";
import { POD } from "../kinds/pod.ts";
import { applyPatch, type PatchKind } from "./apply_patch.ts";
import { jsonMerge } from "./json_merge.ts";

function pod(spec: Record<string, unknown>, metadata: Record<string, unknown> = {}): KubeObject {
  return { apiVersion: "v1", kind: "Pod", metadata: { name: "a", ...metadata }, spec };
}

function patchSpec(spec: Record<string, unknown>, patch: unknown, type: PatchKind = "strategic") {
  return applyPatch(POD, pod(spec), { type, body: { spec: patch } })["spec"];
}

const TWO = { containers: [{ name: "a", image: "x", tty: true }, { name: "b", image: "y" }] };

Deno.test("strategic merge joins named lists and leaves the rest of an item", () => {
  assertEquals(patchSpec(TWO, { containers: [{ name: "b", image: "z" }, { name: "c" }] }), {
    containers: [{ name: "a", image: "x", tty: true }, { name: "b", image: "z" }, { name: "c" }],
  });
});

Deno.test("strategic merge: null removes, lists without a key are replaced", () => {
  const before = { nodeName: "n", tolerations: [{ key: "a" }], nodeSelector: { a: "1", b: "2" } };
  assertEquals(
    patchSpec(before, { nodeName: null, tolerations: [{ key: "b" }], nodeSelector: { a: null } }),
    { tolerations: [{ key: "b" }], nodeSelector: { b: "2" } },
  );
});

Deno.test("strategic merge: $patch deletes an item, replaces a list, replaces a map", () => {
  assertEquals(patchSpec(TWO, { containers: [{ name: "a", $patch: "delete" }] }), {
    containers: [{ name: "b", image: "y" }],
  });
  assertEquals(patchSpec(TWO, { containers: [{ $patch: "replace" }, { name: "n" }] }), {
    containers: [{ name: "n" }],
  });
  assertEquals(
    patchSpec({ securityContext: { a: 1 } }, { securityContext: { $patch: "replace", b: 2 } }),
    { securityContext: { b: 2 } },
  );
});

Deno.test("strategic merge: $retainKeys drops the alternative that was there", () => {
  const volumes = [{ name: "v", emptyDir: {} }];
  assertEquals(
    patchSpec({ volumes }, {
      volumes: [{ $retainKeys: ["name", "hostPath"], name: "v", hostPath: { path: "/x" } }],
    }),
    { volumes: [{ name: "v", hostPath: { path: "/x" } }] },
  );
});

Deno.test("strategic merge: $setElementOrder orders; items it does not name stay put", () => {
  const list = (names: string) => ({ containers: [...names].map((name) => ({ name })) });
  const order = (names: string) => [...names].map((name) => ({ name }));
  assertEquals(
    patchSpec(list("abc"), { "$setElementOrder/containers": order("cb"), containers: [] }),
    list("acb"),
  );
  assertEquals(
    patchSpec(list("ab"), {
      "$setElementOrder/containers": order("nab"),
      containers: [{ name: "n" }],
    }),
    list("nab"),
  );
});

Deno.test("strategic merge: plain lists join and $deleteFromPrimitiveList takes away", () => {
  const before = pod({}, { finalizers: ["x/a", "x/b"] });
  const after = applyPatch(POD, before, {
    type: "strategic",
    body: { metadata: { "$deleteFromPrimitiveList/finalizers": ["x/a"], finalizers: ["x/c"] } },
  });
  assertEquals(after.metadata.finalizers, ["x/b", "x/c"]);
});

Deno.test("strategic merge replaces a node's taints and merges its conditions", () => {
  const node: KubeObject = {
    metadata: { name: "n" },
    spec: { taints: [{ key: "a" }] },
    status: { conditions: [{ type: "Ready", status: "True" }, { type: "DiskPressure" }] },
  };
  const after = applyPatch(NODE, node, {
    type: "strategic",
    body: {
      spec: { taints: [{ key: "b" }] },
      status: { conditions: [{ type: "Ready", status: "False" }] },
    },
  });
  assertEquals(after["spec"], { taints: [{ key: "b" }] });
  assertEquals(after["status"], {
    conditions: [{ type: "Ready", status: "False" }, { type: "DiskPressure" }],
  });
});

Deno.test("strategic merge refuses an item without its key and an unknown directive", () => {
  assertThrows(() => patchSpec(TWO, { containers: [{ image: "x" }] }), AppError, "merge key: name");
  assertThrows(() => patchSpec(TWO, { $patch: "explode" }), AppError, "unknown patch directive");
});

Deno.test("JSON patch runs all operations or none, and names the one that fails", () => {
  const run = (body: unknown) => applyPatch(POD, pod(TWO), { type: "json", body })["spec"];
  assertEquals(
    run([
      { op: "test", path: "/spec/containers/0/name", value: "a" },
      { op: "replace", path: "/spec/containers/0/image", value: "z" },
      { op: "add", path: "/spec/containers/1/tty", value: true },
      { op: "copy", from: "/spec/containers/0", path: "/spec/containers/-" },
      { op: "move", from: "/spec/containers/1", path: "/spec/containers/0" },
      { op: "remove", path: "/spec/containers/1" },
    ]),
    {
      containers: [
        { name: "b", image: "y", tty: true },
        { name: "a", image: "z", tty: true },
      ],
    },
  );
  const failing: [unknown, string][] = [
    [[{ op: "replace", path: "/spec/x", value: 1 }], "replace operation does not apply: /spec/x"],
    [[{ op: "test", path: "/spec/containers/0/name", value: "b" }], "test failed"],
    [[{ op: "remove", path: "/spec/containers/7" }], "invalid index: 7"],
    [[{ op: "fly", path: "/a" }], 'operation "fly" is not known'],
    [[{ op: "add", path: "/a" }], 'must have a "value"'],
    [{}, "must be a list"],
  ];
  for (const [body, text] of failing) assertThrows(() => run(body), AppError, text);
});

Deno.test("JSON merge patch: null removes, patching twice is patching once", () => {
  assertEquals(jsonMerge({ a: { b: 1, c: 2 } }, { a: { b: null, d: 3 } }), { a: { c: 2, d: 3 } });
  assertEquals(jsonMerge({ a: [1] }, { a: { b: null } }), { a: {} });
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.jsonValue(), (a, patch) => {
    const once = jsonMerge(a, patch);
    assertEquals(jsonMerge(once, patch), once);
  }));
});

Deno.test("strategic merge of labels: twice is once, and an empty patch changes nothing", () => {
  const labels = fc.dictionary(fc.string(), fc.string());
  const changes = fc.dictionary(fc.string(), fc.option(fc.string()));
  fc.assert(fc.property(labels, changes, (before, change) => {
    const body = { metadata: { labels: change } };
    const directive = Object.keys(change).some((key) => key.startsWith("$"));
    fc.pre(!directive);
    const once = applyPatch(POD, pod({}, { labels: before }), { type: "strategic", body });
    assertEquals(applyPatch(POD, once, { type: "strategic", body }), once);
    assertEquals(applyPatch(POD, once, { type: "strategic", body: {} }), once);
  }));
});

function apply(original: KubeObject | undefined, labels: unknown, manager = "m", force = false) {
  return applyPatch(POD, original, {
    type: "apply",
    body: { apiVersion: "v1", kind: "Pod", metadata: { name: "a", labels } },
    fieldManager: manager,
    now: "2026-01-01T00:00:00Z",
    force,
  });
}

Deno.test("apply creates, and removes what its manager leaves out the next time", () => {
  const first = apply(undefined, { a: "1", b: "2" });
  assertEquals(first.metadata.labels, { a: "1", b: "2" });
  assertEquals(apply(first, { b: "2" }).metadata.labels, { b: "2" });
  assertEquals(apply(first, { a: "1", b: "2" }), first);
});

Deno.test("apply keeps what another applier holds, and conflicts without force", () => {
  const both = apply(apply(undefined, { a: "1" }, "m"), { a: "1", b: "2" }, "n");
  assertEquals(apply(both, {}, "n").metadata.labels, { a: "1" });
  const error = assertThrows(() => apply(both, { a: "9" }, "n"), AppError);
  assertEquals(error.code, "conflict");
  assertEquals(error.facts["field"], ".metadata.labels.a");
  const forced = apply(both, { a: "9" }, "n", true);
  assertEquals(forced.metadata.labels, { a: "9" });
  assertEquals(apply(forced, {}, "m").metadata.labels, { a: "9" });
});

Deno.test("appliers of the same object with nothing of the same field do not clash", () => {
  const body = (spec: unknown) => ({ metadata: { name: "a" }, spec });
  const run = (original: KubeObject | undefined, spec: unknown, fieldManager: string) =>
    applyPatch(POD, original, { type: "apply", body: body(spec), fieldManager });
  const first = run(
    undefined,
    { containers: [{ name: "a", args: ["x"] }], securityContext: {} },
    "m",
  );
  const live = { ...first, metadata: { ...first.metadata, uid: "u" } };
  const second = run(live, { containers: [{ name: "a", tty: true }], securityContext: {} }, "n");
  assertEquals(second["spec"], {
    containers: [{ name: "a", args: ["x"], tty: true }],
    securityContext: {},
  });
  assertThrows(
    () => run(live, { containers: [{ name: "a", args: ["y"] }] }, "n"),
    AppError,
    'conflict with "m": .spec.containers[{"name":"a"}].args',
  );
});

Deno.test("apply removes a container that its manager leaves out", () => {
  const run = (original: KubeObject | undefined, names: string) =>
    applyPatch(POD, original, {
      type: "apply",
      body: { metadata: { name: "a" }, spec: { containers: [...names].map((name) => ({ name })) } },
      fieldManager: "m",
    });
  assertEquals(run(run(undefined, "abc"), "ac")["spec"], {
    containers: [{ name: "a" }, { name: "c" }],
  });
});
