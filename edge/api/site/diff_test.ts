import { assertEquals } from "@std/assert";
import type { Report } from "../../../shared/wire/report.ts";
import { makeDiff } from "./diff.ts";

const POD = { namespace: "default", name: "web", uid: "u" };
const INTENT = { id: "i", pod: POD, specDigest: "", at: "T", by: "ada" };

Deno.test("makeDiff() tells what waits, by kind and by name", () => {
  const reports: Report[] = [
    { kind: "intent", intent: { ...INTENT, verb: "remove" } },
    { kind: "pod_gone", pod: POD },
    { kind: "pod_status", pod: POD, status: { phase: "Running" } },
    { kind: "node", node: { metadata: { name: "n1" } } },
    {
      kind: "event",
      event: {
        metadata: { name: "e" },
        involvedObject: { kind: "Pod", namespace: "default", name: "web" },
        reason: "Pulled",
        message: "have it",
      },
    },
  ];
  const diff = makeDiff({
    link: { state: "backoff", since: "T" },
    heldGeneration: 4,
    heardGeneration: 6,
    reports: reports.map((report, n) => ({ key: String(n), report })),
    total: 5,
    oldestAt: "T0",
    intents: [
      { ...INTENT, verb: "remove", state: "applied" },
      { ...INTENT, id: "old", verb: "restart", state: "merged" },
      { ...INTENT, id: "lost", verb: "remove", state: "conflict", reason: "it was changed" },
    ],
  });
  assertEquals(diff.generation, { held: 4, heard: 6, behind: true });
  assertEquals(diff.reports.byKind, { intent: 1, pod_gone: 1, pod_status: 1, node: 1, event: 1 });
  assertEquals(diff.items.map((line) => `${line.about}: ${line.change}`), [
    "pod default/web: remove, asked by ada at T",
    "pod default/web: has ended",
    "pod default/web: status Running, 0/0 ready, 0 restarts",
    "node n1: status",
    "pod default/web: Pulled: have it",
  ]);
  assertEquals(diff.intents.map((intent) => intent.id), ["i"]);
  assertEquals(diff.conflicts.map((intent) => intent.id), ["lost"]);
});
