/**
 * When a node is short of something: kubelet's eviction signals, thresholds and defaults, from the
 * words of the config. Pure. A threshold of 0% or 100% is turned off, as with kubelet.
 */
import { AppError } from "../../../shared/errors.ts";
import { tryParseQuantity, wholeValue } from "../../../shared/k8s/quantity.ts";

export const SIGNALS = [
  "memory.available",
  "nodefs.available",
  "nodefs.inodesFree",
  "imagefs.available",
  "imagefs.inodesFree",
  "pid.available",
] as const;
export type Signal = typeof SIGNALS[number];

export type Pressure = "MemoryPressure" | "DiskPressure" | "PIDPressure";

export type Amount = { kind: "quantity"; value: number; text: string } | {
  kind: "share";
  value: number;
  text: string;
};

export interface Threshold {
  signal: Signal;
  amount: Amount;
  /** 0: hard, it is acted on at once. */
  graceMs: number;
  isHard: boolean;
  /** What must be free beyond the threshold before it counts as resolved. */
  minReclaim: Amount | undefined;
}

/** As in the config file, all by signal. */
export interface EvictionWords {
  hard: Readonly<Record<string, string>>;
  soft: Readonly<Record<string, string>>;
  softGracePeriod: Readonly<Record<string, string>>;
  minimumReclaim: Readonly<Record<string, string>>;
}

/** kubelet's on Linux. */
export const HARD_DEFAULTS: Readonly<Partial<Record<Signal, string>>> = {
  "memory.available": "100Mi",
  "nodefs.available": "10%",
  "nodefs.inodesFree": "5%",
  "imagefs.available": "15%",
  "imagefs.inodesFree": "5%",
};

/** `path` names the config section in errors. Signals not named keep their default. */
export function parseThresholds(words: EvictionWords, path: string): Threshold[] {
  const hard = { ...HARD_DEFAULTS, ...words.hard };
  const reclaim = (signal: string) => {
    const text = words.minimumReclaim[signal];
    return text === undefined ? undefined : amountOf(text, `${path}.minimumReclaim.${signal}`);
  };
  for (const signal of Object.keys(words.minimumReclaim)) {
    signalOf(signal, `${path}.minimumReclaim`);
  }
  for (const signal of Object.keys(words.softGracePeriod)) {
    signalOf(signal, `${path}.softGracePeriod`);
    if (words.soft[signal] === undefined) {
      throw invalid(`${path}.softGracePeriod.${signal} must have a soft threshold, got none`);
    }
  }
  const hards = Object.entries(hard).map(([signal, text]): Threshold => ({
    signal: signalOf(signal, `${path}.hard`),
    amount: amountOf(text, `${path}.hard.${signal}`),
    graceMs: 0,
    isHard: true,
    minReclaim: reclaim(signal),
  }));
  const softs = Object.entries(words.soft).map(([signal, text]): Threshold => {
    const grace = words.softGracePeriod[signal];
    if (grace === undefined) {
      throw invalid(`${path}.soft.${signal} must have a softGracePeriod, got none`);
    }
    return {
      signal: signalOf(signal, `${path}.soft`),
      amount: amountOf(text, `${path}.soft.${signal}`),
      graceMs: durationMs(grace, `${path}.softGracePeriod.${signal}`),
      isHard: false,
      minReclaim: reclaim(signal),
    };
  });
  return [...hards, ...softs].filter(({ amount }) =>
    !(amount.kind === "share" && (amount.value <= 0 || amount.value >= 1))
  );
}

function signalOf(text: string, path: string): Signal {
  const found = SIGNALS.find((signal) => signal === text);
  if (found) return found;
  throw invalid(`${path} must name one of ${SIGNALS.join(", ")}, got "${text}"`);
}

function amountOf(text: string, path: string): Amount {
  const share = /^(\d{1,3}(?:\.\d+)?)%$/.exec(text);
  if (share && Number(share[1]) <= 100) {
    return { kind: "share", value: Number(share[1]) / 100, text };
  }
  const quantity = share ? undefined : tryParseQuantity(text);
  const value = quantity ? wholeValue(quantity) : -1;
  if (value >= 0) return { kind: "quantity", value, text };
  throw invalid(
    `${path} must be a quantity such as "100Mi" or a share such as "10%", got "${text}"`,
  );
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Go's way of writing a duration: "1m30s". */
export function durationMs(text: string, path: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  const isWhole = parts.length > 0 && parts.map(([part]) => part).join("") === text;
  if (!isWhole) throw invalid(`${path} must be a duration such as "90s" or "1m30s", got "${text}"`);
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit!]!, 0);
}

function invalid(message: string): AppError {
  return new AppError("invalid", message);
}

/** What an amount comes to where there is `capacity`. */
export function valueOf(amount: Amount, capacity: number): number {
  return amount.kind === "share" ? Math.floor(capacity * amount.value) : amount.value;
}

export function pressureOf(signal: Signal): Pressure {
  if (signal === "memory.available") return "MemoryPressure";
  return signal === "pid.available" ? "PIDPressure" : "DiskPressure";
}

/** The resource as messages name it. */
export function resourceOf(signal: Signal): string {
  switch (signal) {
    case "memory.available":
      return "memory";
    case "pid.available":
      return "pids";
    case "nodefs.available":
    case "imagefs.available":
      return "ephemeral-storage";
    case "nodefs.inodesFree":
    case "imagefs.inodesFree":
      return "inodes";
  }
}
