import { assertEquals } from "@std/assert";
import { closingLine, failedFiles, readJunit } from "./junit.ts";

const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="3" failures="1" errors="0" time="0.1">
  <testsuite name="./a_test.ts" tests="3" disabled="1" errors="0" failures="1">
    <testcase name="a &quot;b&quot; &#x3E; c" classname="./a_test.ts" time="0.1" line="1" col="6">
    </testcase>
    <testcase name="skips (needs root)" classname="./a_test.ts" time="0.0" line="2" col="6">
      <skipped/>
    </testcase>
    <testcase name="breaks &amp; burns" classname="./a_test.ts" time="0.0" line="3" col="6">
      <failure message="Uncaught Error">Error: </failure>
    </testcase>
    <testcase name="short" classname="./a_test.ts" time="0.0"/>
  </testsuite>
</testsuites>`;

Deno.test("readJunit() counts cases and keeps the names of failed and skipped ones", () => {
  assertEquals(readJunit(REPORT), {
    passed: 2,
    failed: ["breaks & burns"],
    skipped: ["skips (needs root)"],
  });
});

Deno.test("the files with a failed case are known, and can be left out of the count", () => {
  assertEquals(failedFiles(REPORT), ["./a_test.ts"]);
  assertEquals(failedFiles(REPORT.replace(/<failure.*/, "")), []);
  assertEquals(readJunit(REPORT, ["./a_test.ts"]), { passed: 0, failed: [], skipped: [] });
});

Deno.test("readJunit() refuses a report that was cut off", () => {
  assertEquals(readJunit(REPORT.slice(0, 300)), undefined);
  assertEquals(readJunit(""), undefined);
});

Deno.test("closingLine() adds up", () => {
  const one = { passed: 2, failed: ["x"], skipped: [] };
  assertEquals(
    closingLine([one, { passed: 1, failed: [], skipped: ["y"] }]),
    [
      "3 passed, 1 failed, 1 skipped",
    ].join(),
  );
});

Deno.test("readJunit() reads what this Deno writes", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${dir}/a_test.ts`,
      `Deno.test("fine", () => {});
       Deno.test({ name: "left <out>", ignore: true, fn() {} });
       Deno.test("bad", () => { throw new Error("no > yes"); });`,
    );
    const args = ["test", "--no-check", "--no-config", `--junit-path=${dir}/r.xml`, dir];
    const command = new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "null" });
    assertEquals((await command.output()).code, 1);
    assertEquals(readJunit(await Deno.readTextFile(`${dir}/r.xml`)), {
      passed: 1,
      failed: ["bad"],
      skipped: ["left <out>"],
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
