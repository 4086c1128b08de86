import { assertEquals } from "@std/assert";
import { importFault, matchPattern, resolveSpecifier } from "./boundaries.ts";
import plugin from "./lint_boundaries.ts";

function lint(path: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, path, source).map((diagnostic) => diagnostic.id);
}

const DIRECTION = "skerry/import-direction";
const TIME = "skerry/injected-time";
const PURE = "skerry/pure-files";
const PLAIN = "skerry/plain-modules";

Deno.test("matchPattern() binds rooms and keeps * within a segment", () => {
  assertEquals(matchPattern("edge/{room}/**", "edge/pods/volumes/a.ts"), { room: "pods" });
  assertEquals(matchPattern("edge/*.ts", "edge/app.ts"), {});
  assertEquals(matchPattern("edge/*.ts", "edge/pods/plan.ts"), undefined);
  assertEquals(matchPattern("edge/**/*_test.ts", "edge/app_test.ts"), {});
  assertEquals(matchPattern("**/port.ts", "edge/cri/port_ts"), undefined);
});

Deno.test("resolveSpecifier() walks relative paths and leaves packages alone", () => {
  assertEquals(resolveSpecifier("edge/pods/plan.ts", "../cri/port.ts"), "edge/cri/port.ts");
  assertEquals(resolveSpecifier("edge/app.ts", "./pods/plan.ts"), "edge/pods/plan.ts");
  assertEquals(resolveSpecifier("edge/app.ts", "hono"), "hono");
});

Deno.test("importFault() follows the table", () => {
  const allowed: [string, string][] = [
    ["edge/app.ts", "edge/pods/reconciler.ts"],
    ["edge/pods/executor.ts", "edge/cri/port.ts"],
    ["edge/pods/executor.ts", "edge/pods/volumes/mount.ts"],
    ["edge/pods/executor_test.ts", "edge/cri/fake_runtime.ts"],
    ["edge/cli/join.ts", "edge/link/enroll.ts"],
    ["cloud/hub/session.ts", "cloud/kube/port.ts"],
    ["cloud/hub/session.ts", "shared/gen/hub_pb.ts"],
    ["tests/e2e/first_light_test.ts", "cloud/app.ts"],
    ["scripts/dev.ts", "edge/app.ts"],
  ];
  for (const [from, to] of allowed) assertEquals(importFault(from, to), undefined);
  const refused: [string, string][] = [
    ["edge/app.ts", "cloud/config.ts"],
    ["cloud/hub/session.ts", "edge/link/session.ts"],
    ["cloud/hub/session_test.ts", "edge/link/session.ts"],
    ["edge/pods/executor.ts", "edge/cri/grpc_runtime.ts"],
    ["edge/pods/executor.ts", "edge/app.ts"],
    ["shared/store/store.ts", "edge/config.ts"],
    ["shared/store/store.ts", "tests/support/process.ts"],
    ["scripts/dev.ts", "edge/pods/plan.ts"],
  ];
  for (const [from, to] of refused) {
    assertEquals(typeof importFault(from, to), "string", `${from} -> ${to}`);
  }
});

Deno.test("import-direction sees static, dynamic, type and re-exporting imports", () => {
  const path = "edge/pods/executor.ts";
  assertEquals(lint(path, `import { x } from "../../cloud/config.ts";`), [DIRECTION]);
  assertEquals(lint(path, `import type { X } from "../../cloud/config.ts";`), [DIRECTION]);
  assertEquals(lint(path, `export { x } from "../../cloud/config.ts";`), [DIRECTION]);
  assertEquals(lint(path, `await import("../../cloud/config.ts");`), [DIRECTION]);
  assertEquals(lint(path, `import type { Runtime } from "../cri/port.ts";`), []);
});

Deno.test("pure-files allows types and pure formatters, and nothing that acts", () => {
  const path = "edge/pods/plan.ts";
  assertEquals(lint(path, `import type { Runtime } from "../cri/port.ts";`), []);
  assertEquals(lint(path, `import { type Runtime } from "../cri/port.ts";`), []);
  assertEquals(lint(path, `import { toTime } from "../../shared/clock.ts";`), []);
  assertEquals(lint(path, `import { AppError } from "../../shared/errors.ts";`), []);
  assertEquals(lint(path, `import { SystemClock } from "../../shared/clock.ts";`), [PURE]);
  assertEquals(lint(path, `import { x } from "../cri/port.ts";`), [PURE]);
  assertEquals(lint(path, `import { getLogger } from "@logtape/logtape";`), [PURE]);
  assertEquals(lint(path, `export async function f(p: Promise<void>) { await p; }`), [PURE]);
});

Deno.test("injected-time finds every ambient clock and die, and only those", () => {
  const path = "edge/pods/reconciler.ts";
  const banned = [
    "Date.now();",
    "const t = new Date();",
    "Math.random();",
    "crypto.randomUUID();",
    "globalThis.crypto.getRandomValues(b);",
    "performance.now();",
    "setTimeout(f, 1);",
    "setInterval(f, 1);",
    "globalThis.setTimeout(f, 1);",
    `import { setTimeout } from "node:timers/promises";`,
  ];
  for (const line of banned) assertEquals(lint(path, line), [TIME], line);
  const fine = ["new Date(ms);", "clock.setTimeout(f);", "crypto.subtle;", "Math.floor(1.5);"];
  for (const line of fine) assertEquals(lint(path, line), [], line);
  assertEquals(lint("shared/clock.ts", "Date.now();"), []);
  assertEquals(lint("tests/e2e/a_test.ts", "Date.now();"), [TIME]);
});

Deno.test("plain-modules bans default exports, barrels and unmapped packages", () => {
  const path = "shared/k8s/a.ts";
  assertEquals(lint(path, "export default 1;"), [PLAIN]);
  assertEquals(lint(path, `export * from "./b.ts";`), [PLAIN]);
  assertEquals(lint(path, `import x from "npm:x@1";`), [PLAIN]);
  assertEquals(lint("shared/types/a.ts", `export * from "npm:x@1";`), []);
});
