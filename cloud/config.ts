/**
 * CloudConfig: what a platform team may set, with its defaults. Every key has one; without a file
 * the defaults serve. Parsed once, frozen, and passed.
 */
import {
  address,
  list,
  loadConfig,
  oneOf,
  type Parser,
  section,
  text,
  whole,
} from "../shared/config.ts";

export const CLOUD_CONFIG_KIND = "CloudConfig";

export interface CloudConfig {
  dataDir: string;
  api: { listen: string };
  hub: {
    listen: string;
    /** Names and addresses besides this machine's own that the certificates must carry. */
    names: string[];
  };
  admin: { listen: string };
  /** Where rules take requests, with TLS: HOST:PORT, KubeEdge has 9443; "" for nowhere. */
  rest: {
    listen: string;
    /** PEMs of authorities REST targets may have beside the well-known ones; "" for none. */
    caFile: string;
  };
  nodes: {
    /** From the end of a session to the node's Ready=Unknown, seconds. */
    graceSeconds: number;
    certificateDays: number;
  };
  log: { level: "debug" | "info" | "warning" | "error"; format: "text" | "json" };
}

export const cloudConfigSchema: Parser<CloudConfig> = section<CloudConfig>({
  dataDir: text("/var/lib/skerry/cloud"),
  api: section<CloudConfig["api"]>({ listen: address("0.0.0.0:6443") }),
  hub: section<CloudConfig["hub"]>({ listen: address("0.0.0.0:10000"), names: list(text()) }),
  admin: section<CloudConfig["admin"]>({ listen: address("127.0.0.1:10080") }),
  rest: section<CloudConfig["rest"]>({ listen: address(""), caFile: text("") }),
  nodes: section<CloudConfig["nodes"]>({
    graceSeconds: whole(10, 0, 3_600),
    certificateDays: whole(365, 1, 3_650),
  }),
  log: section<CloudConfig["log"]>({
    level: oneOf("info", ["debug", "info", "warning", "error"]),
    format: oneOf("text", ["text", "json"]),
  }),
});

export function loadCloudConfig(file: string): Promise<CloudConfig> {
  return loadConfig(file, CLOUD_CONFIG_KIND, cloudConfigSchema);
}
