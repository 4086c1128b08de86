/** From flags and files to the config a command works with. */
import { join } from "@std/path";
import type { FlagSpec, Invocation } from "../../shared/cli/command.ts";
import { parseAddress } from "../../shared/config.ts";
import { AppError } from "../../shared/errors.ts";
import { type EdgeConfig, loadEdgeConfig } from "../config.ts";

export const DEFAULT_CONFIG_FILE = "/etc/skerry/edge.yaml";
export const DEFAULT_DATA_DIR = "/var/lib/skerry/edge";

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

/** Reads the config; flags override single keys. */
export async function readSettings(invocation: Invocation): Promise<EdgeConfig> {
  const file = configFile(invocation);
  try {
    await Deno.stat(file);
  } catch (cause) {
    const hint = "has this node joined? (skerry-edge join --help)";
    throw new AppError("invalid", `Cannot read config ${file}: ${hint}`, { file }, { cause });
  }
  const config = await loadEdgeConfig(file);
  const listen = invocation.flag("api-listen");
  if (listen !== undefined) parseAddress(listen, "--api-listen");
  return {
    ...config,
    dataDir: invocation.flag("data-dir") ?? config.dataDir,
    api: { listen: listen ?? config.api.listen },
  };
}
