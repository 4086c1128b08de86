/** `run`, `config`, `version`. */
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { configCommand, versionCommand } from "../../shared/cli/common_commands.ts";
import { writeError } from "../../shared/cli/run_program.ts";
import { SystemClock } from "../../shared/clock.ts";
import { configureLogs } from "../../shared/log.ts";
import { SystemRandom } from "../../shared/random.ts";
import { VERSION } from "../../shared/version.ts";
import { runEdge } from "../app.ts";
import { EDGE_CONFIG_KIND, type EdgeConfig, edgeConfigSchema } from "../config.ts";
import { CONFIG_FLAGS, readRunSettings } from "./settings.ts";

export const RUN_COMMANDS: CommandSpec[] = [
  {
    name: "run",
    summary: "Run the node: its pods, its link, its local API",
    flags: [
      ...CONFIG_FLAGS,
      { name: "api-listen", value: "HOST:PORT", help: "Local API (default: the config's)" },
      {
        name: "api-tls-listen",
        value: "HOST:PORT",
        help: "Local API over TLS (default: the config's, or the port after --api-listen)",
      },
    ],
    run: serve,
  },
  configCommand("skerry-edge", {
    kind: EDGE_CONFIG_KIND,
    min: () => {
      const { nodeName, dataDir, cloud, runtime } = defaults();
      return { nodeName, dataDir, cloud, runtime: { endpoint: runtime.endpoint } };
    },
    defaults,
  }),
  versionCommand("skerry-edge"),
];

async function serve(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const { config, problem } = await readRunSettings(invocation);
  await configureLogs(config.log);
  if (problem) writeError(`skerry-edge: ${problem}; the last good config is used`);
  const ports = { clock: new SystemClock(), random: new SystemRandom() };
  await runEdge({ config, ...(problem === undefined ? {} : { problem }) }, ports, ({ api }) => {
    writeError(`skerry-edge ${VERSION} runs node ${config.nodeName}; local API on ${api}`);
  }, signal);
  return 0;
}

function defaults(): EdgeConfig {
  return edgeConfigSchema({ nodeName: Deno.hostname().toLowerCase() }, "");
}
