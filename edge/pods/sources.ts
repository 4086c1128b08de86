/** Ledger keys of the config maps, secrets, claims and tokens a pod reads. Pure. */
import type { Container, Pod, Volume } from "../../shared/k8s/types.ts";
import { podContainers } from "./pod_containers.ts";
import { podTokensKey, tokenRequests } from "../../shared/wire/pod_tokens.ts";
import { claimOf } from "./volumes/claim.ts";

export function sourceKeys(pod: Pod): string[] {
  const namespace = pod.metadata.namespace ?? "default";
  const keys = new Set<string>();
  const add = (resource: string, name: unknown) => {
    if (typeof name === "string" && name) keys.add(`${resource}/${namespace}/${name}`);
  };
  for (const volume of pod.spec?.volumes ?? []) {
    addVolume(volume, add);
    add("persistentvolumeclaims", claimOf(volume, pod)?.name);
  }
  for (const { container } of podContainers(pod)) addContainer(container, add);
  for (const { name } of pod.spec?.imagePullSecrets ?? []) add("secrets", name);
  const { runtimeClassName } = pod.spec ?? {};
  if (runtimeClassName) keys.add(`runtimeclasses.node.k8s.io//${runtimeClassName}`);
  if (tokenRequests(pod).length > 0) keys.add(podTokensKey(namespace, pod.metadata.name ?? ""));
  return [...keys].sort();
}

type Add = (resource: string, name: unknown) => void;

function addVolume(volume: Volume, add: Add): void {
  add("configmaps", volume.configMap?.name);
  add("secrets", volume.secret?.secretName);
  const projected = volume.projected as { // core/v1
    sources?: { configMap?: { name?: string }; secret?: { name?: string } }[];
  } | undefined;
  for (const source of projected?.sources ?? []) {
    add("configmaps", source.configMap?.name);
    add("secrets", source.secret?.name);
  }
}

function addContainer(container: Container, add: Add): void {
  for (const { valueFrom } of container.env ?? []) {
    add("configmaps", valueFrom?.configMapKeyRef?.name);
    add("secrets", valueFrom?.secretKeyRef?.name);
  }
  for (const { configMapRef, secretRef } of container.envFrom ?? []) {
    add("configmaps", configMapRef?.name);
    add("secrets", secretRef?.name);
  }
}
