/**
 * Whether this node takes a pod it has not seen before: kubelet's last word after the scheduler's.
 * A refused pod is Failed with kubelet's reason and never starts; pods admitted before are never
 * looked at again. `judgePod` is pure; `Admissions` keeps what the admitted ones hold.
 */
import { milliValue, tryParseQuantity, wholeValue } from "../../shared/k8s/quantity.ts";
import type { Pod } from "../../shared/k8s/types.ts";
import { podProblem } from "./husk.ts";
import { type Amounts, podRequest, podRequests } from "./qos.ts";
import { isSafeName, isSafeUid } from "./volumes/paths.ts";

export interface Rejection {
  reason: string;
  message: string;
}

/** What one admitted pod holds. */
export interface Holding extends Amounts {
  title: string;
  /** "TCP/0.0.0.0/8080" */
  hostPorts: string[];
  /** Of local storage, huge pages and whatever else is counted, by resource. */
  others: Readonly<Record<string, number>>;
}

export type Allocatable = Readonly<Record<string, string>>;

export function holdingOf(pod: Pod): Holding {
  const containers = [
    ...pod.spec.containers,
    ...(pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always"),
  ];
  const hostPorts = containers.flatMap((c) => c.ports ?? []).flatMap((port) => {
    const number = port.hostPort || (pod.spec.hostNetwork ? port.containerPort : 0);
    return number ? [`${port.protocol ?? "TCP"}/${port.hostIP || "0.0.0.0"}/${number}`] : [];
  });
  return {
    ...podRequests(pod),
    title: `${pod.metadata.namespace}/${pod.metadata.name}`,
    hostPorts,
    others: otherRequests(pod),
  };
}

/** Resources that a pod names besides cpu and memory. */
function otherRequests(pod: Pod): Record<string, number> {
  const names = new Set(
    [...pod.spec.containers, ...pod.spec.initContainers ?? []].flatMap(({ resources }) => [
      ...Object.keys(resources?.requests ?? {}),
      ...Object.keys(resources?.limits ?? {}),
    ]),
  );
  names.delete("cpu");
  names.delete("memory");
  return Object.fromEntries([...names].map((name) => [name, podRequest(pod, name)]));
}

export function judgePod(
  pod: Pod,
  others: readonly Holding[],
  allocatable: Allocatable,
): Rejection | undefined {
  const problem = specProblem(pod);
  if (problem) return { reason: "InvalidPodSpec", message: `Pod was rejected: ${problem}` };
  const holding = holdingOf(pod);
  return podCountRejection(others, allocatable) ??
    shortage("cpu", holding.cpuMillis, others.reduce((a, o) => a + o.cpuMillis, 0), allocatable) ??
    shortage(
      "memory",
      holding.memoryBytes,
      others.reduce((a, o) => a + o.memoryBytes, 0),
      allocatable,
    ) ?? otherShortage(holding, others, allocatable) ?? portRejection(holding, others);
}

/** What would end in a path or a panic later; the API server refuses all of it. */
export function specProblem(pod: Pod): string | undefined {
  const { name, namespace, uid } = pod.metadata;
  for (const [key, value] of Object.entries({ uid, name, namespace })) {
    if (typeof value !== "string") return `metadata.${key} is no text: ${JSON.stringify(value)}`;
  }
  if (!isSafeUid(uid)) return `metadata.uid is not usable: ${JSON.stringify(uid)}`;
  if (!isSafeName(name)) return `metadata.name is not a name: ${JSON.stringify(name)}`;
  if (!isSafeName(namespace)) {
    return `metadata.namespace is not a name: ${JSON.stringify(namespace)}`;
  }
  const shape = podProblem(pod);
  if (shape) return shape;
  const containers: unknown = pod.spec?.containers;
  if (!Array.isArray(containers) || containers.length === 0) return "spec.containers is empty";
  const seen = new Set<string>();
  for (const container of [...pod.spec.containers, ...pod.spec.initContainers ?? []]) {
    if (!isSafeName(container?.name)) {
      return `container name is not a name: ${JSON.stringify(container?.name)}`;
    }
    if (seen.has(container.name)) return `container name ${container.name} is used twice`;
    seen.add(container.name);
  }
  return undefined;
}

function podCountRejection(
  others: readonly Holding[],
  allocatable: Allocatable,
): Rejection | undefined {
  return shortage("pods", 1, others.length, allocatable);
}

function shortage(
  resource: string,
  requested: number,
  used: number,
  allocatable: Allocatable,
): Rejection | undefined {
  const text = allocatable[resource];
  const quantity = text === undefined ? undefined : tryParseQuantity(text);
  if (!quantity || requested === 0) return undefined;
  const capacity = resource === "cpu" ? milliValue(quantity) : wholeValue(quantity);
  if (used + requested <= capacity) return undefined;
  return {
    reason: `OutOf${resource}`,
    message: `Pod was rejected: Node didn't have enough resource: ${resource}, ` +
      `requested: ${requested}, used: ${used}, capacity: ${capacity}`,
  };
}

/** What the node does not list at all is not its business, as with kubelet. */
function otherShortage(
  holding: Holding,
  others: readonly Holding[],
  allocatable: Allocatable,
): Rejection | undefined {
  for (const [resource, requested] of Object.entries(holding.others)) {
    const used = others.reduce((sum, other) => sum + (other.others[resource] ?? 0), 0);
    const rejection = shortage(resource, requested, used, allocatable);
    if (rejection) return rejection;
  }
  return undefined;
}

function portRejection(holding: Holding, others: readonly Holding[]): Rejection | undefined {
  for (const port of holding.hostPorts) {
    const owner = others.find((o) => o.hostPorts.some((taken) => clash(port, taken)));
    if (!owner) continue;
    return {
      reason: "NodePorts",
      message: "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for " +
        `the requested pod ports: ${port} is held by ${owner.title}`,
    };
  }
  return undefined;
}

function clash(a: string, b: string): boolean {
  const [protocolA, ipA, portA] = a.split("/");
  const [protocolB, ipB, portB] = b.split("/");
  return protocolA === protocolB && portA === portB &&
    (ipA === ipB || ipA === "0.0.0.0" || ipB === "0.0.0.0");
}

export class Admissions {
  readonly #allocatable: () => Allocatable;
  readonly #refusal: (pod: Pod) => Rejection | undefined;
  readonly #held = new Map<string, Holding>();

  /** `refusal`: why the node as it is now takes no such pod. */
  constructor(
    allocatable: () => Allocatable,
    refusal: (pod: Pod) => Rejection | undefined = () => undefined,
  ) {
    this.#allocatable = allocatable;
    this.#refusal = refusal;
  }

  /** For a pod that was admitted in an earlier life of the agent. */
  readmit(pod: Pod): void {
    if (!specProblem(pod)) this.#held.set(pod.metadata.uid!, holdingOf(pod));
  }

  /** Admits, or says why not. */
  admit(pod: Pod): Rejection | undefined {
    const uid = pod.metadata.uid ?? "";
    const others = [...this.#held].filter(([held]) => held !== uid).map(([, holding]) => holding);
    const rejection = judgePod(pod, others, this.#allocatable()) ?? this.#refusal(pod);
    if (!rejection) this.#held.set(uid, holdingOf(pod));
    return rejection;
  }

  release(uid: string): void {
    this.#held.delete(uid);
  }
}
