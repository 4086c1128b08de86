/**
 * EdgeConfig: what an operator may set for one node, with its defaults. `join` writes it, `run`
 * reads it; flags override single keys. Parsed once, frozen, and passed.
 */
import {
  address,
  flag,
  formatAddress,
  list,
  loadConfig,
  mapOf,
  oneOf,
  parseAddress,
  type Parser,
  section,
  text,
  whole,
} from "../shared/config.ts";
import { AppError } from "../shared/errors.ts";
import { tryParseQuantity, wholeValue } from "../shared/k8s/quantity.ts";
import type { Taint } from "../shared/k8s/types.ts";
import { type MqttConfig, mqttConfig } from "./mqtt_config.ts";
import {
  type EvictionConfig,
  evictionConfig,
  type NodeConfig,
  nodeConfig,
  type ShutdownConfig,
  shutdownConfig,
} from "./node_config.ts";
import { type PushConfig, pushConfig } from "./push_config.ts";
import { type ServiceBusConfig, serviceBusConfig } from "./service_bus_config.ts";

export type { MqttAccess, MqttConfig } from "./mqtt_config.ts";

export const EDGE_CONFIG_KIND = "EdgeConfig";

export interface EdgeConfig {
  nodeName: string;
  dataDir: string;
  labels: Record<string, string>;
  taints: Taint[];
  cloud: { addresses: string[] };
  runtime: {
    /** unix:///path of the CRI socket. */
    endpoint: string;
    /** `auto` asks the runtime, and takes cgroupfs where it does not say. */
    cgroupDriver: "auto" | "cgroupfs" | "systemd";
  };
  pods: {
    logsDir: string;
    /** Folder of pods this node runs from files, whatever the cloud says; "" for none. */
    staticPath: string;
    /** Where containers on this node reach the Kubernetes API, HOST:PORT; "" tells them nothing. */
    kubernetesApi: string;
    max: number;
    clusterDns: string[];
    clusterDomain: string;
    serializeImagePulls: boolean;
    /** A container's log of this size is rotated. */
    containerLogMaxSize: string;
    /** Log files kept for each container, the current one among them. */
    containerLogMaxFiles: number;
    /** Links for log collectors: a folder, "off", or "auto" (/var/log/containers, unless moved). */
    containerLogsDir: string;
    imageGCHighThresholdPercent: number;
    imageGCLowThresholdPercent: number;
  };
  node: NodeConfig;
  eviction: EvictionConfig;
  shutdown: ShutdownConfig;
  store: {
    /** What the node may write to its disk in a day before it is told; MB are 1 000 000 bytes. */
    dailyWriteBudgetMb: number;
    /** History of devices, all together: days of operation, bytes ("256Mi") and changes kept. */
    deviceHistoryDays: number;
    deviceHistoryMaxSize: string;
    deviceHistoryRecords: number;
  };
  /** `tlsListen`: the port after `listen`'s, unless it is set. */
  api: { listen: string; tlsListen: string };
  mqtt: MqttConfig;
  dmi: { socket: string };
  push: PushConfig;
  serviceBus: ServiceBusConfig;
  log: { level: "debug" | "info" | "warning" | "error"; format: "text" | "json" };
}

const taint: Parser<Taint> = (value, path) => {
  const parsed = section<{ key: string; value: string; effect: Taint["effect"] }>({
    key: text(),
    value: text(""),
    effect: oneOf("NoSchedule", ["NoSchedule", "PreferNoSchedule", "NoExecute"]),
  })(value, path);
  const { value: taintValue, ...rest } = parsed;
  return taintValue === "" ? rest : { ...rest, value: taintValue };
};

const api: Parser<EdgeConfig["api"]> = (value, path) => {
  const parsed = section<EdgeConfig["api"]>({
    listen: address("127.0.0.1:10550"),
    tlsListen: address(""),
  })(value, path);
  return parsed.tlsListen === "" ? { ...parsed, tlsListen: tlsBeside(parsed.listen) } : parsed;
};

/** The address for TLS beside one for plain HTTP; any free port beside any free port. */
export function tlsBeside(listen: string): string {
  const { hostname, port } = parseAddress(listen);
  return formatAddress({ hostname, port: port === 0 || port === 65_535 ? 0 : port + 1 });
}

/** A quantity of bytes, "10Mi". */
function bytes(fallback: string): Parser<string> {
  return (value, path) => {
    const given = text(fallback)(value, path);
    const quantity = tryParseQuantity(given);
    if (quantity && wholeValue(quantity) > 0) return given;
    throw new AppError("invalid", `${path} must be a size in bytes such as "10Mi", got "${given}"`);
  };
}

export const edgeConfigSchema: Parser<EdgeConfig> = section<EdgeConfig>({
  nodeName: text(),
  dataDir: text("/var/lib/skerry/edge"),
  labels: mapOf(text()),
  taints: list(taint),
  cloud: section<EdgeConfig["cloud"]>({ addresses: list(address()) }),
  runtime: section<EdgeConfig["runtime"]>({
    endpoint: text("unix:///run/containerd/containerd.sock"),
    cgroupDriver: oneOf("auto", ["auto", "cgroupfs", "systemd"]),
  }),
  pods: section<EdgeConfig["pods"]>({
    logsDir: text("/var/log/pods"),
    staticPath: text(""),
    kubernetesApi: address(""),
    max: whole(110, 1, 1_000),
    clusterDns: list(text()),
    clusterDomain: text("cluster.local"),
    serializeImagePulls: flag(true),
    containerLogMaxSize: bytes("10Mi"),
    containerLogMaxFiles: whole(5, 2, 1_000),
    containerLogsDir: text("auto"),
    imageGCHighThresholdPercent: whole(85, 1, 100),
    imageGCLowThresholdPercent: whole(80, 0, 99),
  }),
  node: nodeConfig,
  eviction: evictionConfig,
  shutdown: shutdownConfig,
  store: section<EdgeConfig["store"]>({
    dailyWriteBudgetMb: whole(500, 1, 1_000_000),
    deviceHistoryDays: whole(30, 1, 3_660),
    deviceHistoryMaxSize: bytes("256Mi"),
    deviceHistoryRecords: whole(4_000_000, 1_000, 1_000_000_000),
  }),
  api,
  mqtt: mqttConfig,
  dmi: section<EdgeConfig["dmi"]>({ socket: text("/run/skerry/dmi.sock") }),
  push: pushConfig,
  serviceBus: serviceBusConfig,
  log: section<EdgeConfig["log"]>({
    level: oneOf("info", ["debug", "info", "warning", "error"]),
    format: oneOf("text", ["text", "json"]),
  }),
});

export function loadEdgeConfig(file: string): Promise<EdgeConfig> {
  return loadConfig(file, EDGE_CONFIG_KIND, edgeConfigSchema);
}
