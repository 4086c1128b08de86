import { assertEquals } from "@std/assert";
import type { Pod } from "../../shared/k8s/types.ts";
import {
  CONFLICT_ANNOTATION,
  formatConflict,
  type PodIntent,
  specDigest,
} from "../../shared/wire/site_intent.ts";
import { decideIntent, type MergeFacts } from "./merge.ts";

const POD: Pod = {
  metadata: { namespace: "default", name: "web", uid: "u1" },
  spec: { containers: [{ name: "main", image: "i" }] },
};

function intent(verb: PodIntent["verb"]): PodIntent {
  return {
    id: "i1",
    verb,
    pod: { namespace: "default", name: "web", uid: "u1" },
    specDigest: specDigest(POD),
    at: "2026-01-01T00:00:00Z",
    by: "tester",
  };
}

function pod(metadata: Partial<Pod["metadata"]>): Pod {
  return { ...POD, metadata: { ...POD.metadata, ...metadata } };
}

function marked(id: string): Pod {
  const text = formatConflict({ intent: id, reason: "the spec was changed" });
  return pod({ annotations: { [CONFLICT_ANNOTATION]: text } });
}

const DONE = { carriedOut: true, reported: true };
const SPEC = "the spec was changed";

const TABLE: [string, PodIntent["verb"], MergeFacts, string | undefined][] = [
  ["a removal waits for the cloud", "remove", { held: POD, ...DONE }, undefined],
  ["a deletion merges it", "remove", { held: pod({ deletionTimestamp: "t" }), ...DONE }, "merged"],
  ["so does a pod that is gone", "remove", { held: undefined, ...DONE }, "merged"],
  ["another pod of the name is a conflict", "remove", { held: pod({ uid: "u2" }), ...DONE }, "no"],
  ["the cloud's mark is a conflict", "remove", { held: marked("i1"), ...DONE }, "no"],
  ["a mark about another intent is none", "remove", { held: marked("i0"), ...DONE }, undefined],
  ["a restart waits until it is done", "restart", {
    held: POD,
    carriedOut: false,
    reported: true,
  }, undefined],
  ["and until the cloud was told", "restart", {
    held: POD,
    carriedOut: true,
    reported: false,
  }, undefined],
  ["then it is merged", "restart", { held: POD, ...DONE }, "merged"],
  ["a pod that went before its restart", "restart", {
    held: undefined,
    carriedOut: false,
    reported: true,
  }, "merged"],
];

for (const [name, verb, facts, want] of TABLE) {
  Deno.test(`decideIntent(): ${name}`, () => {
    const kind = decideIntent(intent(verb), facts)?.kind;
    assertEquals(kind, want === "no" ? "conflict" : want);
  });
}

Deno.test("decideIntent() passes on the cloud's reason", () => {
  const decision = decideIntent(intent("remove"), { held: marked("i1"), ...DONE });
  assertEquals(decision, { kind: "conflict", reason: SPEC });
});
