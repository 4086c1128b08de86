import { assertEquals } from "@std/assert";
import type { Probe } from "../../../shared/k8s/types.ts";
import type { ProbeKind } from "./health.ts";
import { afterOutcome, firstState, type ProbeState, timingOf } from "./probe_state.ts";

/** Feeds outcomes ("+" success, "-" failure); gives the result after each, "!" when on hold. */
function history(kind: ProbeKind, probe: Probe, outcomes: string): string {
  let state: ProbeState = firstState(kind, undefined);
  return [...outcomes].map((each) => {
    if (state.onHold) return "!";
    const outcome = each === "+" ? "success" : "failure";
    state = afterOutcome(kind, timingOf(probe, kind), state, outcome);
    return state.onHold ? "!" : state.result[0];
  }).join("");
}

const TABLE: [string, ProbeKind, Probe, string, string][] = [
  ["readiness is false until the first success", "readiness", {}, "+", "s"],
  ["readiness falls after three failures in a row", "readiness", {}, "+--+---", "ssssssf"],
  ["one success is enough to be ready again", "readiness", {}, "+---+", "sssfs"],
  [
    "successThreshold counts successes in a row",
    "readiness",
    { successThreshold: 3 },
    "++-+++",
    "fffffs",
  ],
  ["failureThreshold 1 falls at once", "readiness", { failureThreshold: 1 }, "+-+-", "sfsf"],
  ["liveness holds from the start and after failures below", "liveness", {}, "--+--+", "ssssss"],
  ["liveness gives up at the third failure in a row", "liveness", {}, "--+---", "sssss!"],
  ["liveness takes no successThreshold", "liveness", { successThreshold: 5 }, "+", "s"],
  ["startup is unknown until it succeeds", "startup", { failureThreshold: 4 }, "---+", "uuus"],
  ["startup gives up", "startup", { failureThreshold: 2 }, "--+", "u!!"],
];

for (const [name, kind, probe, outcomes, expected] of TABLE) {
  Deno.test(`probes: ${name}`, () => assertEquals(history(kind, probe, outcomes), expected));
}

Deno.test("probes: kubelet's defaults, and nonsense is brought within bounds", () => {
  assertEquals(timingOf({}, "readiness"), {
    initialDelayMs: 0,
    periodMs: 10_000,
    timeoutSeconds: 1,
    successThreshold: 1,
    failureThreshold: 3,
  });
  const odd = { periodSeconds: -5, timeoutSeconds: 0, initialDelaySeconds: -1 };
  assertEquals(timingOf(odd, "liveness").periodMs, 1_000);
  assertEquals(timingOf(odd, "liveness").timeoutSeconds, 1);
  assertEquals(timingOf(odd, "liveness").initialDelayMs, 0);
});

Deno.test("probes: what was recorded of this run counts for readiness and startup only", () => {
  const recorded = { ready: true, started: true };
  assertEquals(firstState("readiness", recorded).result, "success");
  assertEquals(firstState("startup", recorded).result, "success");
  assertEquals(firstState("liveness", undefined).result, "success");
  assertEquals(firstState("readiness", { ready: false, started: true }).result, "failure");
  assertEquals(firstState("startup", { ready: false, started: false }).result, "unknown");
});
