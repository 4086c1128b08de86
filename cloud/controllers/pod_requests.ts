/**
 * What a pod asks of a node, in plain numbers: cpu in thousandths, everything else in whole units.
 * Pure.
 */
import { milliValue, tryParseQuantity, wholeValue } from "../../shared/k8s/quantity.ts";
import type { Container, Pod } from "../../shared/k8s/types.ts";

export type Amounts = Record<string, number>;

export interface HostPort {
  protocol: string;
  /** "0.0.0.0" for all. */
  address: string;
  port: number;
}

export interface PodRequests {
  amounts: Amounts;
  hostPorts: HostPort[];
}

/** What a container counts for in scoring when it asks for nothing (kube-scheduler's numbers). */
const SCORE_CPU_MILLIS = 100;
const SCORE_MEMORY_BYTES = 200 * 1024 * 1024;

/** An amount that cannot be read counts as nothing: the API refuses such objects anyway. */
export function readAmount(resource: string, text: string | undefined): number {
  const quantity = text === undefined ? undefined : tryParseQuantity(String(text));
  if (!quantity) return 0;
  return resource === "cpu" ? milliValue(quantity) : wholeValue(quantity);
}

export function readAmounts(texts: Record<string, string> | undefined): Amounts {
  const amounts: Amounts = {};
  for (const [resource, text] of Object.entries(texts ?? {})) {
    amounts[resource] = readAmount(resource, text);
  }
  return amounts;
}

/**
 * The sum over containers and sidecars, or the most any moment of the init phase needs (one init
 * container beside the sidecars started before it), whichever is more; and the overhead.
 */
export function podRequests(pod: Pod): PodRequests {
  const { spec } = pod;
  const running: Amounts = {};
  const sidecars: Amounts = {};
  const initPeak: Amounts = {};
  for (const container of spec.containers ?? []) add(running, containerAmounts(container));
  for (const container of spec.initContainers ?? []) {
    const amounts = containerAmounts(container);
    if (container.restartPolicy === "Always") {
      add(sidecars, amounts);
      raise(initPeak, sidecars);
    } else {
      const moment = { ...sidecars };
      add(moment, amounts);
      raise(initPeak, moment);
    }
  }
  add(running, sidecars);
  raise(running, initPeak);
  const overhead = (spec as { overhead?: Record<string, string> }).overhead; // set by RuntimeClass
  add(running, readAmounts(overhead));
  return { amounts: running, hostPorts: hostPorts(pod) };
}

/** Amounts for scoring: nobody counts as nothing. */
export function scoreAmounts(amounts: Amounts): { cpu: number; memory: number } {
  return {
    cpu: amounts.cpu || SCORE_CPU_MILLIS,
    memory: amounts.memory || SCORE_MEMORY_BYTES,
  };
}

export function portsClash(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.address === b.address || a.address === "0.0.0.0" || b.address === "0.0.0.0";
}

/** A limit without a request is a request. */
function containerAmounts(container: Container): Amounts {
  const { requests, limits } = container.resources ?? {};
  return readAmounts({ ...limits, ...requests });
}

function hostPorts(pod: Pod): HostPort[] {
  const containers = [...pod.spec.initContainers ?? [], ...pod.spec.containers ?? []];
  return containers.flatMap((container) => container.ports ?? []).flatMap((declared) => {
    const port = declared.hostPort ?? (pod.spec.hostNetwork ? declared.containerPort : 0);
    const { protocol = "TCP", hostIP } = declared;
    return port > 0 ? [{ protocol, port, address: hostIP || "0.0.0.0" }] : [];
  });
}

function add(into: Amounts, amounts: Amounts): void {
  for (const [resource, n] of Object.entries(amounts)) into[resource] = (into[resource] ?? 0) + n;
}

function raise(into: Amounts, amounts: Amounts): void {
  for (const [resource, n] of Object.entries(amounts)) {
    into[resource] = Math.max(into[resource] ?? 0, n);
  }
}
