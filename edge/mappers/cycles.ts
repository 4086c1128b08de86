/**
 * When the properties of a device are due. Those with the same cycles go together, and all cycles
 * of a device count from one moment, so that what falls together is read together. Pure.
 */
import type { PropertyDefinition } from "../twins/port.ts";
import type { Point } from "./port.ts";

/** KubeEdge's default. */
export const CYCLE_MS_DEFAULT = 1_000;
const CYCLE_MS_MIN = 10;
const CYCLE_MS_MAX = 86_400_000;
/** From here on a cycle was written in ns, as older manifests have it: 1e9 ms are eleven days. */
const NANOSECONDS_FROM = 1e9;
/** Devices begin at different moments of a cycle, in these steps: fewer wake-ups than devices. */
const GRID_MS = 20;

export interface CycleGroup {
  points: Point[];
  collectMs: number;
  reportMs: number;
  nextCollectMs: number;
  nextReportMs: number;
}

/** The properties a mapper reads: those of the instance, and those the model says how to reach. */
export function pointsOf(properties: readonly PropertyDefinition[]): Point[] {
  return properties.filter(({ listed, visitors }) => listed || visitors).map((property) => {
    const { name, type, readOnly, minimum, maximum, unit, visitors } = property;
    return {
      name,
      type,
      readOnly,
      ...(minimum === undefined ? {} : { minimum }),
      ...(maximum === undefined ? {} : { maximum }),
      ...(unit === undefined ? {} : { unit }),
      config: visitors?.configData ?? {},
    };
  });
}

export function groupCycles(
  properties: readonly PropertyDefinition[],
  points: readonly Point[],
  beginMs: number,
): CycleGroup[] {
  const cycles = new Map(properties.map((property) => [property.name, property]));
  const groups = new Map<string, CycleGroup>();
  for (const point of points) {
    const { collectCycleMs, reportCycleMs } = cycles.get(point.name) ?? {};
    const collectMs = boundedCycle(collectCycleMs ?? reportCycleMs);
    const reportMs = boundedCycle(reportCycleMs ?? collectMs);
    const key = `${collectMs}/${reportMs}`;
    const group = groups.get(key);
    if (group) group.points.push(point);
    else {
      const next = { nextCollectMs: beginMs, nextReportMs: beginMs };
      groups.set(key, { points: [point], collectMs, reportMs, ...next });
    }
  }
  return [...groups.values()];
}

/** Where in its shortest cycle a device begins, ms: the same after every start. */
export function phaseMs(key: string, shortestMs: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  const steps = Math.max(1, Math.floor(Math.min(shortestMs, 60_000) / GRID_MS));
  return ((hash ^ (hash >>> 15)) >>> 0) % steps * GRID_MS;
}

/** The first time of the cycle after now, which is one of those it has always had. */
export function nextAfter(dueMs: number, cycleMs: number, nowMs: number): number {
  if (dueMs > nowMs) return dueMs;
  return dueMs + (Math.floor((nowMs - dueMs) / cycleMs) + 1) * cycleMs;
}

export function boundedCycle(cycle: number | undefined): number {
  if (cycle === undefined || !(cycle > 0)) return CYCLE_MS_DEFAULT;
  const ms = cycle >= NANOSECONDS_FROM ? cycle / 1e6 : cycle;
  return Math.round(Math.min(Math.max(ms, CYCLE_MS_MIN), CYCLE_MS_MAX));
}
