/**
 * The environment of a container: envFrom, env, valueFrom, and `$(VAR)` expansion in the order
 * kubelet does it. Pure: config maps and secrets are handed in; a missing one that is not optional
 * is an AppError in kubelet's words, which the caller shows as CreateContainerConfigError.
 */
import { AppError } from "../../shared/errors.ts";
import type { ConfigMap, Container, EnvVar, Pod, Secret } from "../../shared/k8s/types.ts";
import { fieldValue, type PodFacts, resourceValue } from "./downward.ts";
import { apiVariables } from "./service_env.ts";

/** Objects of the pod's namespace, by name. */
export interface ConfigSource {
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
}

const ENV_NAME = /^[-._a-zA-Z][-._a-zA-Z0-9]*$/;

export function resolveEnv(
  pod: Pod,
  container: Container,
  source: ConfigSource,
  facts: PodFacts,
): Map<string, string> {
  const env = new Map<string, string>(apiVariables(facts.kubernetesApi ?? ""));
  for (const from of container.envFrom ?? []) {
    for (const [key, value] of envFromValues(pod, from, source)) {
      const name = (from.prefix ?? "") + key;
      if (ENV_NAME.test(name)) env.set(name, value);
    }
  }
  for (const entry of container.env ?? []) {
    const value = entry.valueFrom
      ? valueFrom(pod, container, entry, { source, facts })
      : expand(entry.value ?? "", env);
    if (value !== undefined) env.set(entry.name, value);
  }
  return env;
}

type EnvFrom = NonNullable<Container["envFrom"]>[number];

function envFromValues(pod: Pod, from: EnvFrom, source: ConfigSource): [string, string][] {
  if (from.configMapRef) {
    const { name = "", optional } = from.configMapRef;
    return Object.entries(wanted("configmap", name, source.configMap(name), optional)?.data ?? {});
  }
  if (from.secretRef) {
    const { name = "", optional } = from.secretRef;
    const secret = wanted("secret", name, source.secret(name), optional);
    return Object.entries(secret?.data ?? {}).map(([k, v]) => [k, decodeText(v)]);
  }
  throw new AppError("invalid", `envFrom of pod ${pod.metadata.name} names no source`);
}

function wanted<T>(kind: string, name: string, found: T | undefined, optional?: boolean) {
  if (found === undefined && !optional) {
    throw new AppError("not_found", `${kind} "${name}" not found`);
  }
  return found;
}

function valueFrom(
  pod: Pod,
  container: Container,
  entry: EnvVar,
  given: { source: ConfigSource; facts: PodFacts },
): string | undefined {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = entry.valueFrom!;
  if (fieldRef) return fieldValue(pod, fieldRef.fieldPath, given.facts);
  if (resourceFieldRef) {
    const name = resourceFieldRef.containerName;
    const of = name
      ? [...pod.spec.containers, ...pod.spec.initContainers ?? []].find((c) => c.name === name)
      : container;
    if (!of) throw new AppError("invalid", `container ${name} not found`);
    return resourceValue(of, resourceFieldRef, given.facts);
  }
  const namespace = pod.metadata.namespace;
  if (configMapKeyRef) {
    const { name = "", key, optional } = configMapKeyRef;
    const map = wanted("configmap", name, given.source.configMap(name), optional);
    if (!map) return undefined;
    return keyOf(
      map.data,
      key,
      optional,
      `couldn't find key ${key} in ConfigMap ${namespace}/${name}`,
    );
  }
  if (secretKeyRef) {
    const { name = "", key, optional } = secretKeyRef;
    const secret = wanted("secret", name, given.source.secret(name), optional);
    if (!secret) return undefined;
    const problem = `couldn't find key ${key} in Secret ${namespace}/${name}`;
    const value = keyOf(secret.data, key, optional, problem);
    return value === undefined ? undefined : decodeText(value);
  }
  throw new AppError("invalid", `valueFrom of env ${entry.name} names no source`);
}

function keyOf(
  data: Record<string, string> | undefined,
  key: string,
  optional: boolean | undefined,
  problem: string,
): string | undefined {
  const value = data && Object.hasOwn(data, key) ? data[key] : undefined;
  if (value === undefined && !optional) throw new AppError("not_found", problem);
  return value;
}

/** Secrets carry base64; what is no base64 is taken as it stands rather than lost. */
export function decodeText(base64: string): string {
  return new TextDecoder().decode(decodeBase64(base64));
}

export function decodeBase64(base64: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  } catch {
    // The API server refuses such data; a value that got through is shown as it came.
    return new TextEncoder().encode(base64);
  }
}

/** `$(VAR)` becomes its value, unknown ones stay, `$$` is one `$`. */
export function expand(text: string, env: ReadonlyMap<string, string>): string {
  return text.replace(/\$(\$|\(([^)]*)\))/g, (whole, inner: string, name: string | undefined) => {
    if (inner === "$") return "$";
    return env.get(name ?? "") ?? whole;
  });
}
