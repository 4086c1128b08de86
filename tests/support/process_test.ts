import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { must, run, startChild, which } from "./process.ts";

async function withDir(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-process-" });
  try {
    await body(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const sh = (logDir: string, script: string) =>
  startChild({ name: "sh", command: "sh", args: ["-c", script], logDir });

Deno.test("a child's lines and files can be waited for, and it ends on TERM", () =>
  withDir(async (dir) => {
    const file = join(dir, "addresses.json");
    const child = await sh(dir, `echo port 17; echo '{"api":1}' > ${file}; exec sleep 60`);
    assertEquals((await child.waitForLine(/port (\d+)/))[1], "17");
    assertEquals(await child.waitForJson(file), { api: 1 });
    const status = await child.stop();
    assertEquals(status.signal, "SIGTERM");
    assertEquals(child.running, false);
  }));

Deno.test("a child that ignores TERM is killed after its grace", () =>
  withDir(async (dir) => {
    const child = await sh(dir, `trap '' TERM; echo up; while :; do sleep 0.05; done`);
    await child.waitForLine(/up/);
    assertEquals((await child.stop(50)).signal, "SIGKILL");
  }));

Deno.test("a child that dies early is reported with its last words", () =>
  withDir(async (dir) => {
    const child = await sh(dir, `echo no such runtime >&2; exit 3`);
    const error = await assertRejects(() => child.waitForLine(/ready/));
    assertStringIncludes(error.message, "ended with 3");
    assertStringIncludes(error.message, "no such runtime");
    await child.stop();
  }));

Deno.test("run() passes stdin and gives the exit status, must() throws it", async () => {
  const result = await run("sh", ["-c", "cat; exit 4"], { stdin: "hello" });
  assertEquals(result, { code: 4, stdout: "hello", stderr: "" });
  const error = await assertRejects(() => must("sh", ["-c", "echo bad >&2; exit 1"]));
  assertStringIncludes(error.message, "exit 1: bad");
});

Deno.test("which() finds programs on PATH", async () => {
  assertEquals(typeof await which("sh"), "string");
  assertEquals(await which("no-such-program-here"), undefined);
});
