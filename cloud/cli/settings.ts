/** From flags and files to the config a command works with. */
import { join } from "@std/path";
import type { Invocation } from "../../shared/cli/command.ts";
import type { FlagSpec } from "../../shared/cli/command.ts";
import { parseAddress } from "../../shared/config.ts";
import { type CloudConfig, cloudConfigSchema, loadCloudConfig } from "../config.ts";

export const DEFAULT_CONFIG_FILE = "/etc/skerry/cloud.yaml";

export const CONFIG_FLAGS: FlagSpec[] = [
  { name: "config", value: "FILE", help: `Config file (default ${DEFAULT_CONFIG_FILE}, if there)` },
  { name: "data-dir", value: "DIR", help: "Data folder (default /var/lib/skerry/cloud)" },
];

/** The config file named, else `<data-dir>/cloud.yaml`, else the default one, else the defaults. */
export async function readSettings(invocation: Invocation): Promise<CloudConfig> {
  const dataDir = invocation.flag("data-dir");
  const named = invocation.flag("config");
  const candidates = [
    ...(dataDir === undefined ? [DEFAULT_CONFIG_FILE] : [join(dataDir, "cloud.yaml")]),
  ];
  let config = cloudConfigSchema({}, "");
  if (named !== undefined) config = await loadCloudConfig(named);
  for (const file of named === undefined ? candidates : []) {
    if (await isFile(file)) config = await loadCloudConfig(file);
  }
  return withFlags(config, invocation);
}

function withFlags(config: CloudConfig, invocation: Invocation): CloudConfig {
  const listen = (flag: string, now: { listen: string }) => {
    const given = invocation.flag(flag);
    if (given === undefined) return now;
    parseAddress(given, `--${flag}`);
    return { ...now, listen: given };
  };
  return {
    ...config,
    dataDir: invocation.flag("data-dir") ?? config.dataDir,
    api: listen("api-listen", config.api),
    hub: { ...config.hub, ...listen("hub-listen", config.hub) },
    admin: listen("admin-listen", config.admin),
  };
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false; // absent or not to be read: then it is not the default config
  }
}
