/** From flags and files to the config a command works with. */
import { join } from "@std/path";
import type { FlagSpec, Invocation } from "../../shared/cli/command.ts";
import { parseAddress } from "../../shared/config.ts";
import { AppError, errorChain, isAppError } from "../../shared/errors.ts";
import { writeFileAtomic } from "../../shared/files.ts";
import { type EdgeConfig, loadEdgeConfig, tlsBeside } from "../config.ts";

export const DEFAULT_CONFIG_FILE = "/etc/skerry/edge.yaml";
export const DEFAULT_DATA_DIR = "/var/lib/skerry/edge";

/** In the data folder: the config that last worked. */
export const LAST_GOOD = "config.last-good.yaml";

export const CONFIG_FLAGS: FlagSpec[] = [
  { name: "config", value: "FILE", help: `Config file (default ${DEFAULT_CONFIG_FILE})` },
  { name: "data-dir", value: "DIR", help: "Data folder; its edge.yaml is then the config" },
];

/** Which config file a command line means. */
export function configFile(invocation: Invocation): string {
  const dataDir = invocation.flag("data-dir");
  return invocation.flag("config") ??
    (dataDir === undefined ? DEFAULT_CONFIG_FILE : join(dataDir, "edge.yaml"));
}

export interface Settings {
  config: EdgeConfig;
  /** Why the config file is not the one in use. */
  problem?: string;
}

/**
 * The config a node runs by. A file that was good is kept in the data folder; when the present one
 * cannot be used the kept one serves, since a slip in a file must not stop what runs here.
 */
export async function readRunSettings(invocation: Invocation): Promise<Settings> {
  const dataDir = invocation.flag("data-dir") ?? DEFAULT_DATA_DIR;
  try {
    const config = await readSettings(invocation);
    await keepGood(config.dataDir, configFile(invocation));
    return { config };
  } catch (error) {
    const kept = join(dataDir, LAST_GOOD);
    if (!isAppError(error, "invalid") || !await isThere(kept)) throw error;
    return {
      config: withFlags(await loadEdgeConfig(kept), invocation),
      problem: errorChain(error),
    };
  }
}

async function keepGood(dataDir: string, file: string): Promise<void> {
  const kept = join(dataDir, LAST_GOOD);
  const text = await Deno.readTextFile(file);
  if (await isThere(kept) && await Deno.readTextFile(kept) === text) return;
  await Deno.mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writeFileAtomic(kept, text, 0o600);
}

/** Reads the config; flags override single keys. */
export async function readSettings(invocation: Invocation): Promise<EdgeConfig> {
  const file = configFile(invocation);
  if (!await isThere(file)) {
    const hint = "has this node joined? (skerry-edge join --help)";
    throw new AppError("invalid", `Cannot read config ${file}: ${hint}`, { file });
  }
  return withFlags(await loadEdgeConfig(file), invocation);
}

function withFlags(config: EdgeConfig, invocation: Invocation): EdgeConfig {
  const listen = invocation.flag("api-listen");
  if (listen !== undefined) parseAddress(listen, "--api-listen");
  const tls = invocation.flag("api-tls-listen");
  if (tls !== undefined) parseAddress(tls, "--api-tls-listen");
  const beside = listen === undefined ? config.api.tlsListen : tlsBeside(listen);
  return {
    ...config,
    dataDir: invocation.flag("data-dir") ?? config.dataDir,
    api: { listen: listen ?? config.api.listen, tlsListen: tls ?? beside },
  };
}

async function isThere(file: string): Promise<boolean> {
  try {
    await Deno.stat(file);
    return true;
  } catch {
    return false; // absent, or not to be reached: either way there is nothing to read
  }
}
