/** The quality-of-service class of a pod, from its requests and limits of cpu and memory. */
import { parseQuantity } from "../../../shared/k8s/quantity.ts";
import type { Container, PodSpec, PodStatus } from "../../../shared/k8s/types.ts";

const COUNTED = ["cpu", "memory"];

/** The spec must be defaulted: requests follow limits there. */
export function qosClassOf(spec: PodSpec): NonNullable<PodStatus["qosClass"]> {
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
  if (containers.every((container) => COUNTED.every((name) => isUnset(container, name)))) {
    return "BestEffort";
  }
  const guaranteed = containers.every((container) =>
    COUNTED.every((name) => {
      const { limits, requests } = container.resources ?? {};
      const limit = nanos(limits?.[name]);
      return limit > 0n && nanos(requests?.[name]) === limit;
    })
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}

function isUnset(container: Container, name: string): boolean {
  const { limits, requests } = container.resources ?? {};
  return nanos(limits?.[name]) === 0n && nanos(requests?.[name]) === 0n;
}

function nanos(text: string | undefined): bigint {
  return text === undefined ? 0n : parseQuantity(text).nanos;
}
