/** `run`, `config`, `version`. */
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { UsageError } from "../../shared/cli/command.ts";
import { writeError, writeOut } from "../../shared/cli/run_program.ts";
import { SystemClock } from "../../shared/clock.ts";
import { formatConfig } from "../../shared/config.ts";
import { configureLogs } from "../../shared/log.ts";
import { SystemRandom } from "../../shared/random.ts";
import { VERSION } from "../../shared/version.ts";
import { runEdge } from "../app.ts";
import { EDGE_CONFIG_KIND, edgeConfigSchema } from "../config.ts";
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
  {
    name: "config",
    summary: "Print a config: --min what one sets first, --default every key",
    flags: [
      { name: "min", help: "What one sets first" },
      { name: "default", help: "Every key with its default" },
      { name: "minconfig", help: "The same as --min" },
      { name: "defaultconfig", help: "The same as --default" },
    ],
    run: printConfig,
  },
  {
    name: "version",
    summary: "Print the version",
    flags: [],
    run: () => {
      writeOut(`skerry-edge ${VERSION}\n`);
      return Promise.resolve(0);
    },
  },
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

function printConfig(invocation: Invocation): Promise<number> {
  const defaults = edgeConfigSchema({ nodeName: Deno.hostname().toLowerCase() }, "");
  const isMin = invocation.isSet("min") || invocation.isSet("minconfig");
  if (!isMin && !invocation.isSet("default") && !invocation.isSet("defaultconfig")) {
    throw new UsageError("say --min or --default; see skerry-edge config --help");
  }
  const { nodeName, dataDir, cloud, runtime } = defaults;
  const min = { nodeName, dataDir, cloud, runtime: { endpoint: runtime.endpoint } };
  writeOut(formatConfig(EDGE_CONFIG_KIND, isMin ? min : defaults));
  return Promise.resolve(0);
}
