/** skerry-edge: flags → config → app → signals → exit status. */
import "../shared/bundled_require.ts";
import type { ProgramSpec } from "../shared/cli/command.ts";
import { runProgram } from "../shared/cli/run_program.ts";
import { ACT_COMMANDS } from "./cli/acts.ts";
import { DESCRIBE_COMMANDS } from "./cli/describe.ts";
import { DEVICE_COMMANDS } from "./cli/devices.ts";
import { DIAGNOSE_COMMAND } from "./cli/diagnose.ts";
import { EXPLAIN_COMMANDS } from "./cli/explain.ts";
import { GET_COMMAND } from "./cli/get.ts";
import { JOIN_COMMAND } from "./cli/join.ts";
import { KUBECONFIG_COMMAND } from "./cli/kubeconfig.ts";
import { LOGS_COMMAND } from "./cli/logs.ts";
import { MQTT_COMMANDS } from "./cli/mqtt_password.ts";
import { RESET_COMMAND } from "./cli/reset.ts";
import { RUN_COMMANDS } from "./cli/run.ts";

const PROGRAM: ProgramSpec = {
  name: "skerry-edge",
  summary: "the edge side of Skerry: a node that keeps running while its cloud is away",
  commands: [
    JOIN_COMMAND,
    ...RUN_COMMANDS,
    GET_COMMAND,
    ...DESCRIBE_COMMANDS,
    ...DEVICE_COMMANDS,
    LOGS_COMMAND,
    ...EXPLAIN_COMMANDS,
    ...ACT_COMMANDS,
    KUBECONFIG_COMMAND,
    ...MQTT_COMMANDS,
    DIAGNOSE_COMMAND,
    RESET_COMMAND,
  ],
};

if (import.meta.main) Deno.exit(await runProgram(PROGRAM, Deno.args));
