/** skerry-cloud: flags → config → app → signals → exit status. */
import "../shared/bundled_require.ts";
import { type ProgramSpec } from "../shared/cli/command.ts";
import { runProgram } from "../shared/cli/run_program.ts";
import { DIAGNOSE_COMMAND } from "./cli/diagnose.ts";
import { RUN_COMMANDS } from "./cli/run.ts";
import { TOKEN_COMMANDS } from "./cli/tokens.ts";

const PROGRAM: ProgramSpec = {
  name: "skerry-cloud",
  summary: "the cloud side of Skerry: a hub for edge nodes behind a Kubernetes API",
  commands: [...RUN_COMMANDS, ...TOKEN_COMMANDS, DIAGNOSE_COMMAND],
};

if (import.meta.main) Deno.exit(await runProgram(PROGRAM, Deno.args));
