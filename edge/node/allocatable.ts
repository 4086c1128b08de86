/**
 * What a node has, and what of it pods may use: capacity less what is reserved for the system, for
 * this program, and less what eviction keeps free. kubelet's names and forms. Pure.
 */
import { AppError } from "../../shared/errors.ts";
import {
  formatQuantity,
  milliValue,
  type Quantity,
  tryParseQuantity,
  wholeValue,
} from "../../shared/k8s/quantity.ts";
import type { MachineFacts } from "./port.ts";

/** Resources that can be kept from pods. */
const RESERVABLE = ["cpu", "memory", "ephemeral-storage", "pid"] as const;
type Reservable = typeof RESERVABLE[number];

export type Reserved = Readonly<Partial<Record<Reservable, Quantity>>>;

/** From a config section; `path` names it in errors. */
export function parseReserved(words: Readonly<Record<string, string>>, path: string): Reserved {
  const reserved: Partial<Record<Reservable, Quantity>> = {};
  for (const [name, text] of Object.entries(words)) {
    const resource = RESERVABLE.find((known) => known === name);
    if (!resource) {
      const known = RESERVABLE.join(", ");
      throw new AppError("invalid", `${path} must name one of ${known}, got "${name}"`);
    }
    const quantity = tryParseQuantity(text);
    if (!quantity || quantity.nanos < 0n) {
      throw new AppError("invalid", `${path}.${name} must be a quantity >= 0, got "${text}"`);
    }
    reserved[resource] = quantity;
  }
  return reserved;
}

/** What is kept from pods, altogether. */
export interface Reservations {
  /** systemReserved, kubeReserved. */
  reserved: readonly Reserved[];
  /** What hard eviction keeps free, of so much. */
  keptFree: (resource: "memory" | "ephemeral-storage", capacityBytes: number) => number;
}

export const NOTHING_RESERVED: Reservations = { reserved: [], keptFree: () => 0 };

type Resources = Record<string, string>;

export function nodeResources(
  machine: MachineFacts,
  podsMax: number,
  { reserved, keptFree }: Reservations,
): { capacity: Resources; allocatable: Resources } {
  const { cpus, memoryBytes, disk, hugepages = {} } = machine;
  const sum = (resource: Reservable, value: (quantity: Quantity) => number) =>
    reserved.reduce((total, { [resource]: each }) => total + (each ? value(each) : 0), 0);
  const ofHuge = Object.entries(hugepages);
  const hugeBytes = ofHuge.reduce((total, [, bytes]) => total + bytes, 0);
  const huge = Object.fromEntries(
    ofHuge.map(([size, bytes]) => [`hugepages-${size}`, inBytes(bytes)]),
  );
  const memory = memoryBytes - sum("memory", wholeValue) - keptFree("memory", memoryBytes) -
    hugeBytes;
  const storage = disk.totalBytes - sum("ephemeral-storage", wholeValue) -
    keptFree("ephemeral-storage", disk.totalBytes);
  const pods = String(podsMax);
  return {
    capacity: {
      cpu: String(cpus),
      "ephemeral-storage": kibibytes(disk.totalBytes),
      ...huge,
      memory: kibibytes(memoryBytes),
      pods,
    },
    allocatable: {
      cpu: inCores(cpus * 1_000 - sum("cpu", milliValue)),
      "ephemeral-storage": String(Math.max(0, Math.floor(storage))),
      ...huge,
      memory: kibibytes(Math.max(0, memory)),
      pods,
    },
  };
}

function inCores(millis: number): string {
  const left = Math.max(0, millis);
  return left % 1_000 === 0 ? String(left / 1_000) : `${left}m`;
}

function inBytes(bytes: number): string {
  return formatQuantity({ nanos: BigInt(bytes) * 1_000_000_000n, format: "binarySI" });
}

function kibibytes(bytes: number): string {
  return `${Math.floor(bytes / 1024)}Ki`;
}
