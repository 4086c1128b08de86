import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { SystemClock } from "../../../shared/clock.ts";
import { AppError } from "../../../shared/errors.ts";
import { parseLogQuery } from "./query.ts";
import { type LogOptions, readLog } from "./read_log.ts";

const NEVER = new AbortController().signal;
const LINES = [
  "2026-01-01T00:00:00.1Z stdout F one",
  "2026-01-01T00:00:01.123456789+01:00 stderr F two",
  "2026-01-01T00:00:02Z stdout P thr",
  "2026-01-01T00:00:02Z stdout F ee",
  "not a log line",
  "2026-01-01T00:00:03Z stdout F ",
  "2026-01-01T00:00:04Z stdout F four",
];

async function withLog(run: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, LINES.join("\n") + "\n");
    await run(path);
  } finally {
    await Deno.remove(path);
  }
}

async function read(path: string, options: Partial<LogOptions>): Promise<string> {
  const log = { path, running: () => Promise.resolve(false) };
  const all = { follow: false, timestamps: false, ...options };
  let out = "";
  const decoder = new TextDecoder();
  for await (const bytes of readLog(log, all, new SystemClock(), NEVER)) {
    out += decoder.decode(bytes, { stream: true });
  }
  return out;
}

Deno.test("readLog() joins partial lines and skips what is not a log line", () =>
  withLog(async (path) => {
    assertEquals(await read(path, {}), "one\ntwo\nthree\n\nfour\n");
  }));

Deno.test("readLog() takes the last lines, raw lines counted", () =>
  withLog(async (path) => {
    assertEquals(await read(path, { tailLines: 1 }), "four\n");
    assertEquals(await read(path, { tailLines: 2 }), "\nfour\n");
    assertEquals(await read(path, { tailLines: 0 }), "");
    assertEquals(await read(path, { tailLines: 100 }), "one\ntwo\nthree\n\nfour\n");
  }));

Deno.test("readLog() takes the last lines of a file larger than a block", () =>
  withLog(async (path) => {
    const long = Array.from({ length: 5_000 }, (_, i) => `2026-01-01T00:00:00Z stdout F line ${i}`);
    await Deno.writeTextFile(path, long.join("\n") + "\n");
    const tail = await read(path, { tailLines: 1_000 });
    assertEquals(tail.split("\n").length, 1_001);
    assertEquals(tail.split("\n")[0], "line 4000");
  }));

Deno.test("readLog() without follow ends where the log ended when it was asked for", () =>
  withLog(async (path) => {
    const line = (i: number) => `2026-01-01T00:00:00Z stdout F line ${i}\n`;
    await Deno.writeTextFile(path, Array.from({ length: 5_000 }, (_, i) => line(i)).join(""));
    const log = { path, running: () => Promise.resolve(true) };
    const options = { follow: false, timestamps: false, tailLines: 4_000 };
    let lines = 0;
    for await (const bytes of readLog(log, options, new SystemClock(), NEVER)) {
      lines += bytes.filter((byte) => byte === 0x0a).length;
      await Deno.writeTextFile(path, line(5_000).repeat(4_000), { append: true });
    }
    assertEquals(lines, 4_000);
  }));

Deno.test("readLog() counts an unfinished last line as a line", () =>
  withLog(async (path) => {
    await Deno.writeTextFile(path, LINES.join("\n"));
    assertEquals(await read(path, { tailLines: 1 }), "four\n");
  }));

Deno.test("readLog() filters by time and stream, cuts at a limit, shows nine digits", () =>
  withLog(async (path) => {
    const sinceMs = Date.parse("2026-01-01T00:00:03Z");
    assertEquals(await read(path, { sinceMs }), "\nfour\n");
    assertEquals(await read(path, { stream: "stderr" }), "two\n");
    assertEquals(await read(path, { limitBytes: 6 }), "one\ntw");
    assertEquals(
      await read(path, { timestamps: true, stream: "stderr" }),
      "2026-01-01T00:00:01.123456789+01:00 two\n",
    );
  }));

Deno.test("readLog() follows across rotation until the container ends", () =>
  withLog(async (path) => {
    let running = true;
    const log = { path, running: () => Promise.resolve(running) };
    const options = { follow: true, timestamps: false, tailLines: 1 };
    const seen: string[] = [];
    for await (const bytes of readLog(log, options, new SystemClock(), NEVER)) {
      seen.push(new TextDecoder().decode(bytes));
      if (seen.length === 1) {
        await Deno.rename(path, path + ".old");
        await Deno.writeTextFile(path, "2026-01-01T00:00:05Z stdout F five\n");
      } else {
        running = false;
      }
    }
    assertEquals(seen, ["four\n", "five\n"]);
    await Deno.remove(path + ".old");
  }));

Deno.test("readLog() names a log that is not there", async () => {
  await assertRejects(() => read("/nonexistent/0.log", {}), AppError, "/nonexistent/0.log");
});

Deno.test("parseLogQuery() names the parameter it cannot read", () => {
  const parse = (query: string) => parseLogQuery(new URLSearchParams(query), 10_000);
  assertEquals(parse("follow=true&tailLines=3&sinceSeconds=2").options, {
    follow: true,
    timestamps: false,
    tailLines: 3,
    sinceMs: 8_000,
  });
  assertThrows(() => parse("tailLines=-1"), AppError, "tailLines");
  assertThrows(() => parse("limitBytes=0"), AppError, "limitBytes");
  assertThrows(() => parse("sinceTime=yesterday"), AppError, "sinceTime");
  assertThrows(() => parse("follow=maybe"), AppError, "follow");
});
