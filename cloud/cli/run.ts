/** `run`, `init`, `kubeconfig`, `config`, `version`. */
import { join } from "@std/path";
import { readAddresses } from "../../shared/addresses.ts";
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { configCommand, versionCommand } from "../../shared/cli/common_commands.ts";
import { writeError, writeOut } from "../../shared/cli/run_program.ts";
import { SystemClock } from "../../shared/clock.ts";
import { formatConfig } from "../../shared/config.ts";
import { AppError } from "../../shared/errors.ts";
import { configureLogs } from "../../shared/log.ts";
import { SystemRandom } from "../../shared/random.ts";
import { VERSION } from "../../shared/version.ts";
import { runCloud } from "../app.ts";
import { CLOUD_CONFIG_KIND, type CloudConfig, cloudConfigSchema } from "../config.ts";
import { loadAdminToken } from "../pki/admin_token.ts";
import { openAuthority } from "../pki/authority.ts";
import { formatKubeconfig } from "./kubeconfig.ts";
import { CONFIG_FLAGS, DEFAULT_CONFIG_FILE, readSettings } from "./settings.ts";
import { SYSTEMD_UNIT, writeUnit } from "./systemd.ts";

const LISTEN_FLAGS = [
  { name: "api-listen", value: "HOST:PORT", help: "Kubernetes API (default 0.0.0.0:6443)" },
  { name: "hub-listen", value: "HOST:PORT", help: "Hub for nodes (default 0.0.0.0:10000)" },
  {
    name: "admin-listen",
    value: "HOST:PORT",
    help: "Health and metrics (default 127.0.0.1:10080)",
  },
];

export const RUN_COMMANDS: CommandSpec[] = [
  {
    name: "run",
    summary: "Serve the hub and the embedded Kubernetes API",
    flags: [...CONFIG_FLAGS, ...LISTEN_FLAGS, {
      name: "accept-data-loss",
      help: "After damage: go on without what was lost; nodes then stop what is unknown here",
    }],
    run: serve,
  },
  {
    name: "init",
    summary: "Make keys, config, admin kubeconfig and systemd unit where they are missing",
    flags: [...CONFIG_FLAGS, ...LISTEN_FLAGS, {
      name: "no-systemd",
      help: "Write no systemd unit",
    }],
    run: init,
  },
  {
    name: "kubeconfig",
    summary: "Print an admin kubeconfig for the embedded API",
    flags: CONFIG_FLAGS,
    run: printKubeconfig,
  },
  configCommand("skerry-cloud", {
    kind: CLOUD_CONFIG_KIND,
    min: () => {
      const { dataDir, api, hub } = defaults();
      return { dataDir, api, hub };
    },
    defaults,
  }),
  versionCommand("skerry-cloud"),
];

async function serve(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const config = await readSettings(invocation);
  await configureLogs(config.log);
  const acceptDataLoss = invocation.isSet("accept-data-loss");
  const ports = { clock: new SystemClock(), random: new SystemRandom(), acceptDataLoss };
  await runCloud(config, ports, ({ api, hub }) => {
    writeError(`skerry-cloud ${VERSION} serves the Kubernetes API on ${api} and nodes on ${hub}`);
  }, signal);
  return 0;
}

async function init(invocation: Invocation): Promise<number> {
  const config = await readSettings(invocation);
  const ports = { clock: new SystemClock(), random: new SystemRandom() };
  const authority = await openAuthority({ dir: join(config.dataDir, "pki"), ...ports });
  const token = await loadAdminToken(config.dataDir, ports.random);
  const file = invocation.flag("config") ??
    (invocation.isSet("data-dir") ? join(config.dataDir, "cloud.yaml") : DEFAULT_CONFIG_FILE);
  if (await writeNew(file, formatConfig(CLOUD_CONFIG_KIND, config), 0o644)) {
    writeError(`Wrote ${file}`);
  }
  const server = `https://${config.api.listen.replace(/^(0\.0\.0\.0|\[::\]):/, "127.0.0.1:")}`;
  const kubeconfig = formatKubeconfig({ server, caCertificate: authority.certificate, token });
  const kubeconfigFile = join(config.dataDir, "admin.kubeconfig");
  if (await writeNew(kubeconfigFile, kubeconfig, 0o600)) writeError(`Wrote ${kubeconfigFile}`);
  if (!invocation.isSet("no-systemd") && await writeUnit(file)) {
    writeError(`Wrote ${SYSTEMD_UNIT}; start it with: systemctl enable --now skerry-cloud`);
  }
  writeError(`The certificate authority's hash is ${authority.hash}`);
  return 0;
}

async function printKubeconfig(invocation: Invocation): Promise<number> {
  const { dataDir } = await readSettings(invocation);
  const { api } = await readAddresses(dataDir);
  if (!api) throw new AppError("unavailable", `Cannot find the API's address in ${dataDir}`);
  const ports = { clock: new SystemClock(), random: new SystemRandom() };
  const authority = await openAuthority({ dir: join(dataDir, "pki"), ...ports });
  const token = await loadAdminToken(dataDir, ports.random);
  writeOut(formatKubeconfig({ server: api, caCertificate: authority.certificate, token }));
  return 0;
}

function defaults(): CloudConfig {
  return cloudConfigSchema({}, "");
}

/** False, and nothing changed, when the file is there already. */
async function writeNew(path: string, text: string, mode: number): Promise<boolean> {
  await Deno.mkdir(join(path, ".."), { recursive: true });
  try {
    await Deno.writeTextFile(path, text, { createNew: true, mode });
    return true;
  } catch (cause) {
    if (cause instanceof Deno.errors.AlreadyExists) return false;
    throw new AppError("unavailable", `Cannot write ${path}`, {}, { cause });
  }
}
