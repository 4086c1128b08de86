/** Config maps and secrets a pod cannot start without. Pure. */
import type { Container, Pod } from "../../../shared/k8s/types.ts";

export interface Need {
  resource: "configmaps" | "secrets";
  name: string;
}

interface Source {
  name?: string;
  optional?: boolean;
}

export function neededObjects(pod: Pod): Need[] {
  const needs = new Map<string, Need>();
  const add = (resource: Need["resource"], source: Source | undefined) => {
    const { name, optional } = source ?? {};
    if (name && !optional) needs.set(`${resource}/${name}`, { resource, name });
  };
  for (const { configMap, secret, projected } of pod.spec.volumes ?? []) {
    add("configmaps", configMap);
    if (secret) add("secrets", { ...secret, name: secret.secretName ?? "" });
    const { sources = [] } = Object(projected) as { // core/v1
      sources?: { configMap?: Source; secret?: Source }[];
    };
    for (const source of sources) {
      add("configmaps", source.configMap);
      add("secrets", source.secret);
    }
  }
  for (const container of [...pod.spec.initContainers ?? [], ...pod.spec.containers]) {
    addOfContainer(container, add);
  }
  return [...needs.values()];
}

function addOfContainer(
  container: Container,
  add: (resource: Need["resource"], source: Source | undefined) => void,
): void {
  for (const { valueFrom } of container.env ?? []) {
    add("configmaps", valueFrom?.configMapKeyRef);
    add("secrets", valueFrom?.secretKeyRef);
  }
  for (const { configMapRef, secretRef } of container.envFrom ?? []) {
    add("configmaps", configMapRef);
    add("secrets", secretRef);
  }
}
