import { assertEquals } from "@std/assert";
import ts from "typescript";
import { checkFloating } from "./floating.ts";
import {
  checkLines,
  checkReadme,
  checkStrangers,
  checkSyntax,
  type Fault,
  README_HEADINGS,
} from "./rules.ts";

const rules = (faults: Fault[]) => faults.map(({ rule, line }) => `${rule}:${line}`);

function parse(text: string): ts.SourceFile {
  return ts.createSourceFile("a.ts", text, ts.ScriptTarget.ESNext, true);
}

Deno.test("checkLines() counts lines, columns and unsigned reminders", () => {
  assertEquals(rules(checkLines("a.ts", "x\n".repeat(500))), []);
  assertEquals(rules(checkLines("a.ts", "x\n".repeat(501))), ["file-lines:1"]);
  assertEquals(rules(checkLines("a_test.ts", "x\n".repeat(800))), []);
  assertEquals(rules(checkLines("a.ts", `ok\n${"x".repeat(101)}`)), ["columns:2"]);
  assertEquals(rules(checkLines("a.ts", `// https://${"x".repeat(101)}`)), []);
  const todo = "TO" + "DO";
  assertEquals(rules(checkLines("a.ts", `// ${todo}: later`)), ["todo:1"]);
  assertEquals(rules(checkLines("a.ts", `// ${todo}(@ann): later\n# ${todo}(#12)`)), []);
});

Deno.test("checkStrangers() finds registries and this machine's paths", () => {
  const host = ["registry", "npmjs", "org"].join(".");
  assertEquals(rules(checkStrangers("a.md", `x\nhttps://${host}/y`, [])), ["registry-host:2"]);
  assertEquals(rules(checkStrangers("a.md", "see /build/x", ["/build/"])), ["machine-path:1"]);
  assertEquals(rules(checkStrangers("a.md", "docker.io/library/busybox", ["/build/"])), []);
});

Deno.test("checkReadme() wants every heading, in under 60 lines", () => {
  const good = README_HEADINGS.map((heading) => `## ${heading}\ntext\n`).join("\n");
  assertEquals(checkReadme("r", good), []);
  assertEquals(rules(checkReadme("r", undefined)), ["readme:1"]);
  assertEquals(rules(checkReadme("r", good.replace("## Owns", "## owns"))), ["readme:1"]);
  assertEquals(rules(checkReadme("r", good + "x\n".repeat(60))), ["readme:1"]);
});

Deno.test("checkSyntax() counts function lines and parameters and finds any", () => {
  const long = `function f() {\n${"g();\n".repeat(69)}}`;
  assertEquals(rules(checkSyntax("a.ts", parse(long))), ["function-lines:1"]);
  const suite = `function s() {\n  test(() => {\n${"g();\n".repeat(60)}});\n${"h();\n".repeat(9)}}`;
  assertEquals(rules(checkSyntax("a_suite.ts", parse(suite))), []);
  assertEquals(rules(checkSyntax("a.ts", parse(suite))), ["function-lines:1"]);
  const wide = "const f = (a: A, b: A, c: A, d: A, e: A, g: A) => {};";
  assertEquals(rules(checkSyntax("a.ts", parse(wide))), ["parameters:1"]);
  assertEquals(rules(checkSyntax("a.ts", parse("let a: any;"))), ["no-any:1"]);
});

/** The line numbers of the promises nobody waits for in `text`. */
function floating(text: string): number[] {
  const options: ts.CompilerOptions = { lib: ["lib.esnext.d.ts"], strict: true, types: [] };
  const host = ts.createCompilerHost(options, true);
  const readLibrary = host.getSourceFile;
  host.getSourceFile = (path, target) => path === "a.ts" ? parse(text) : readLibrary(path, target);
  const program = ts.createProgram(["a.ts"], options, host);
  const file = program.getSourceFile("a.ts");
  if (!file) throw new Error("a.ts was not loaded");
  return checkFloating("a.ts", file, program.getTypeChecker()).map((fault) => fault.line);
}

Deno.test("checkFloating() sees promises through types and accepts what is waited for", () => {
  const lines = [
    "declare function f(): Promise<void>; declare function on(g: () => void): void;",
    "declare let p: Promise<void>; declare const ok: boolean; declare function sync(): number;",
    "f();",
    "ok && f();",
    "ok ? f() : sync();",
    "[1, 2].map(() => f());",
    "on(async () => {});",
    "f().catch(() => {});",
    "void f();",
    "await f();",
    "p = f();",
    "sync();",
    "await Promise.all([1].map(async () => {}));",
    "export {};",
  ];
  assertEquals(floating(lines.join("\n")), [3, 4, 5, 6, 7, 8]);
});
