/** From the words of the config to what the rooms take: what is kept from pods, and eviction. */
import { AppError } from "../shared/errors.ts";
import type { EdgeConfig } from "./config.ts";
import { parseReserved, type Reservations } from "./node/allocatable.ts";
import type { MachineFacts } from "./node/port.ts";
import type { Stats } from "./node/stats/stats.ts";
import type { EvictionSettings } from "./pods/eviction/evictor.ts";
import { durationMs, parseThresholds, valueOf } from "./pods/eviction/thresholds.ts";

const SIGNAL_OF = { memory: "memory.available", "ephemeral-storage": "nodefs.available" } as const;

export function reservationsOf({ node, eviction }: EdgeConfig): Reservations {
  const thresholds = parseThresholds(eviction, "eviction");
  return {
    reserved: [
      parseReserved(node.systemReserved, "node.systemReserved"),
      parseReserved(node.kubeReserved, "node.kubeReserved"),
    ],
    keptFree: (resource, capacityBytes) => {
      const signal = SIGNAL_OF[resource];
      const hard = thresholds.find((each) => each.isHard && each.signal === signal);
      return hard ? valueOf(hard.amount, capacityBytes) : 0;
    },
  };
}

/** `stats` is asked for when it is needed: it looks at the pods the settings are made for. */
export function evictionOf(
  { eviction }: EdgeConfig,
  readMachine: () => Promise<MachineFacts>,
  stats: () => Stats,
): EvictionSettings {
  return {
    thresholds: parseThresholds(eviction, "eviction"),
    transitionMs: durationMs(eviction.pressureTransitionPeriod, "eviction"),
    podGraceSecondsMax: eviction.maxPodGracePeriodSeconds,
    readMachine,
    readImageFs: () => stats().imageFs(),
    readUsage: () => stats().summary(false),
  };
}

export function shutdownOf({ shutdown }: EdgeConfig): { graceMs: number; criticalGraceMs: number } {
  return {
    graceMs: durationMs(shutdown.gracePeriod, "shutdown.gracePeriod"),
    criticalGraceMs: durationMs(shutdown.gracePeriodCriticalPods, "shutdown"),
  };
}

/** For machines that are not real. */
export function noLogind(): Promise<never> {
  return Promise.reject(new AppError("unavailable", "There is no logind here"));
}
