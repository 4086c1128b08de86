/**
 * The sections of EdgeConfig about the node itself: what of it pods may use, when it is short of
 * something, and how it goes down. Words are checked here, so that a config that is taken can be
 * acted on.
 */
import { list, mapOf, oneOf, type Parser, section, text, whole } from "../shared/config.ts";
import { AppError } from "../shared/errors.ts";
import { parseReserved } from "./node/allocatable.ts";
import { durationMs, parseThresholds } from "./pods/eviction/thresholds.ts";

export interface NodeConfig {
  /** Kept from pods, by resource: cpu, memory, ephemeral-storage, pid. */
  systemReserved: Record<string, string>;
  kubeReserved: Record<string, string>;
  /** Images listed in the node's status; 0 lists none. */
  statusMaxImages: number;
  /** Processes a pod may have; -1 for as many as it likes. */
  podPidsLimit: number;
  /** Kernel parameters pods may set besides the safe ones: "net.core.somaxconn", "kernel.msg*". */
  allowedUnsafeSysctls: string[];
}

/** By signal, as kubelet's evictionHard and so on; signals not named keep kubelet's defaults. */
export interface EvictionConfig {
  hard: Record<string, string>;
  soft: Record<string, string>;
  softGracePeriod: Record<string, string>;
  minimumReclaim: Record<string, string>;
  /** How long a pressure is held after it was last seen. */
  pressureTransitionPeriod: string;
  /** The most a pod gets to end when a soft threshold was met. */
  maxPodGracePeriodSeconds: number;
}

export interface ShutdownConfig {
  /** How long a shutdown of the machine is held back for pods to end; "0s" holds nothing back. */
  gracePeriod: string;
  /** Of that, what is left for critical pods, which end last. */
  gracePeriodCriticalPods: string;
  /** What becomes of the pods: they run again when the machine is back, or they are Failed. */
  pods: "restart" | "fail";
}

export const nodeConfig: Parser<NodeConfig> = (value, path) => {
  const parsed = section<NodeConfig>({
    systemReserved: mapOf(text()),
    kubeReserved: mapOf(text()),
    statusMaxImages: whole(50, 0, 1_000),
    podPidsLimit: whole(-1, -1, 4_194_304),
    allowedUnsafeSysctls: list(text()),
  })(value, path);
  parseReserved(parsed.systemReserved, `${path}.systemReserved`);
  parseReserved(parsed.kubeReserved, `${path}.kubeReserved`);
  return parsed;
};

export const evictionConfig: Parser<EvictionConfig> = (value, path) => {
  const parsed = section<EvictionConfig>({
    hard: mapOf(text()),
    soft: mapOf(text()),
    softGracePeriod: mapOf(text()),
    minimumReclaim: mapOf(text()),
    pressureTransitionPeriod: duration("5m"),
    maxPodGracePeriodSeconds: whole(0, 0, 86_400),
  })(value, path);
  parseThresholds(parsed, path);
  return parsed;
};

export const shutdownConfig: Parser<ShutdownConfig> = (value, path) => {
  const parsed = section<ShutdownConfig>({
    gracePeriod: duration("0s"),
    gracePeriodCriticalPods: duration("0s"),
    pods: oneOf("restart", ["restart", "fail"]),
  })(value, path);
  const all = durationMs(parsed.gracePeriod, path);
  const critical = durationMs(parsed.gracePeriodCriticalPods, path);
  if (critical <= all) return parsed;
  throw new AppError(
    "invalid",
    `${path}.gracePeriodCriticalPods must be <= gracePeriod ${parsed.gracePeriod}, got ` +
      parsed.gracePeriodCriticalPods,
  );
};

/** As Go writes it: "5m", "1m30s". */
function duration(fallback: string): Parser<string> {
  return (value, path) => {
    const given = text(fallback)(value, path);
    durationMs(given, path);
    return given;
  };
}
