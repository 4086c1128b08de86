import { assertEquals } from "@std/assert";
import { judgeSession, type SessionClaim } from "./judge_session.ts";

const present: SessionClaim = { instanceId: "a", sessionNumber: 5n, keyHash: "k" };

const cases: [string, SessionClaim | undefined, Partial<SessionClaim>, string][] = [
  ["the first session is accepted", undefined, {}, "accept"],
  ["a later session of the process replaces", present, { sessionNumber: 6n }, "replace"],
  ["a late twin of the session is refused", present, { sessionNumber: 5n }, "refuse"],
  ["an older session of the process is refused", present, { sessionNumber: 4n }, "refuse"],
  ["another process asks whether the present one lives", present, { instanceId: "b" }, "probe"],
  ["the newly enrolled key replaces", present, { instanceId: "b", keyHash: "l" }, "replace"],
];

for (const [name, now, next, want] of cases) {
  Deno.test(`judgeSession(): ${name}`, () => {
    assertEquals(judgeSession(now, { ...present, ...next }, now).kind, want);
  });
}

Deno.test("judgeSession(): a late session is refused when its successor has gone already", () => {
  const kindOf = (next: Partial<SessionClaim>) =>
    judgeSession(undefined, { ...present, ...next }, present).kind;
  assertEquals(kindOf({ sessionNumber: 4n }), "refuse");
  assertEquals(kindOf({ sessionNumber: 6n }), "accept");
  assertEquals(kindOf({ sessionNumber: 1n, instanceId: "b" }), "accept");
});
