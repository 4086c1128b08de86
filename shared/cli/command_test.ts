import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { type ProgramSpec, selectCommand, UsageError } from "./command.ts";

const done = () => Promise.resolve(0);
const program: ProgramSpec = {
  name: "prog",
  summary: "does things",
  commands: [
    {
      name: "run",
      summary: "serve",
      flags: [{ name: "data-dir", value: "DIR", help: "folder" }, { name: "quick", help: "fast" }],
      run: done,
    },
    {
      name: "token create",
      summary: "make one",
      flags: [{ name: "output", short: "o", value: "FORMAT", help: "format" }],
      run: done,
    },
    {
      name: "get",
      summary: "show",
      operands: "KIND",
      operandsMin: 1,
      operandsMax: 2,
      flags: [],
      run: done,
    },
  ],
};

function select(...args: string[]) {
  const selected = selectCommand(program, args);
  assert(selected.kind === "run");
  return selected;
}

Deno.test("selectCommand() reads flags with =, with a space, short and as switches", () => {
  assertEquals(select("run", "--data-dir=/x", "--quick").invocation.flag("data-dir"), "/x");
  assertEquals(select("run", "--data-dir", "/x").invocation.isSet("quick"), false);
  assertEquals(select("token", "create", "-o", "json").invocation.flag("output"), "json");
  assertEquals(select("get", "pods", "web").invocation.operands, ["pods", "web"]);
});

Deno.test("selectCommand() names what it does not understand", () => {
  const cases: [string[], string][] = [
    [["fly"], 'unknown command "fly"'],
    [["token", "eat"], 'unknown command "token eat"'],
    [["run", "--dta-dir", "/x"], "unknown flag --dta-dir"],
    [["run", "--data-dir"], "flag --data-dir needs a value"],
    [["run", "--data-dir=a", "--data-dir=b"], "given more than once"],
    [["run", "extra"], 'unexpected argument "extra"'],
    [["get"], "missing argument KIND"],
  ];
  for (const [args, message] of cases) {
    assertThrows(() => selectCommand(program, args), UsageError, message);
  }
});

Deno.test("selectCommand() offers help at every level", () => {
  const help = (...args: string[]) => {
    const selected = selectCommand(program, args);
    assert(selected.kind === "help");
    return selected.text;
  };
  assertStringIncludes(help(), "token create");
  assertStringIncludes(help("token"), "make one");
  assertStringIncludes(help("run", "--help"), "--data-dir DIR");
});
