/** skerry-edge: flags → config → app → signals → exit status. */
import "../shared/bundled_require.ts";
import type { ProgramSpec } from "../shared/cli/command.ts";
import { runProgram } from "../shared/cli/run_program.ts";
import { GET_COMMAND } from "./cli/get.ts";
import { JOIN_COMMAND } from "./cli/join.ts";
import { LOGS_COMMAND } from "./cli/logs.ts";
import { RESET_COMMAND } from "./cli/reset.ts";
import { RUN_COMMANDS } from "./cli/run.ts";

const PROGRAM: ProgramSpec = {
  name: "skerry-edge",
  summary: "the edge side of Skerry: a node that keeps running while its cloud is away",
  commands: [JOIN_COMMAND, ...RUN_COMMANDS, GET_COMMAND, LOGS_COMMAND, RESET_COMMAND],
};

if (import.meta.main) Deno.exit(await runProgram(PROGRAM, Deno.args));
