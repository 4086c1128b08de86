/**
 * The files of configMap, secret, downwardAPI and projected volumes. Pure. What is missing and not
 * optional is an AppError in kubelet's words; paths that climb out are refused.
 */
import { AppError } from "../../../shared/errors.ts";
import type { KeyToPath, Pod, Volume } from "../../../shared/k8s/types.ts";
import { fieldValue, type PodFacts, resourceValue } from "../downward.ts";
import { type ConfigSource, decodeBase64 } from "../env.ts";
import type { StorageSource } from "./claim.ts";
import {
  isSame,
  type PodToken,
  type TokenRequest,
  tokenRequestOf,
} from "../../../shared/wire/pod_tokens.ts";
import { safeRelative } from "./paths.ts";

export interface PayloadFile {
  bytes: Uint8Array;
  mode: number;
}

/** Files by relative path. */
export type Payload = Map<string, PayloadFile>;

export interface PayloadContext {
  pod: Pod;
  source: ConfigSource;
  facts: PodFacts;
  /** Claims and the volumes they are bound to. */
  storage?: StorageSource;
  /** Service account tokens that were sent down for this pod. */
  tokens?: readonly PodToken[];
}

const MODE_DEFAULT = 0o644;

interface DownwardItem {
  path: string;
  fieldRef?: { fieldPath: string };
  resourceFieldRef?: { containerName?: string; resource: string; divisor?: string };
  mode?: number;
}

interface ProjectedSource {
  configMap?: { name?: string; items?: KeyToPath[]; optional?: boolean };
  secret?: { name?: string; items?: KeyToPath[]; optional?: boolean };
  downwardAPI?: { items?: DownwardItem[] };
  serviceAccountToken?: Partial<TokenRequest> & { path?: string };
  [source: string]: unknown;
}

type Sourced<K extends string, T> = { [key in K]?: T[] } & { defaultMode?: number };

/** Undefined when the volume is of another kind. */
export function volumePayload(volume: Volume, context: PayloadContext): Payload | undefined {
  const { configMap, secret } = volume;
  const payload: Payload = new Map();
  if (configMap) {
    addConfigMap(payload, configMap, configMap.defaultMode ?? MODE_DEFAULT, context);
  } else if (secret) {
    const named = { ...secret, name: secret.secretName ?? "" };
    addSecret(payload, named, secret.defaultMode ?? MODE_DEFAULT, context);
  } else if (volume.downwardAPI) {
    const downward = volume.downwardAPI as Sourced<"items", DownwardItem>; // core/v1
    addDownward(payload, downward.items ?? [], downward.defaultMode ?? MODE_DEFAULT, context);
  } else if (volume.projected) {
    const projected = volume.projected as Sourced<"sources", ProjectedSource>; // core/v1
    const mode = projected.defaultMode ?? MODE_DEFAULT;
    for (const source of projected.sources ?? []) addProjected(payload, source, mode, context);
  } else {
    return undefined;
  }
  return payload;
}

function addProjected(
  payload: Payload,
  source: ProjectedSource,
  mode: number,
  context: PayloadContext,
): void {
  if (source.configMap) addConfigMap(payload, source.configMap, mode, context);
  else if (source.secret) addSecret(payload, source.secret, mode, context);
  else if (source.downwardAPI) addDownward(payload, source.downwardAPI.items ?? [], mode, context);
  else if (source.serviceAccountToken) addToken(payload, source.serviceAccountToken, mode, context);
  else {
    throw new AppError(
      "unimplemented",
      `projected source ${Object.keys(source).join(", ") || "(none)"} is not supported`,
    );
  }
}

/**
 * The token as it was sent last, whether it has run out or not: a node that is cut off starts its
 * pods all the same. Readable beyond its owner only where the pod's user is not root.
 */
function addToken(
  payload: Payload,
  source: Partial<TokenRequest> & { path?: string },
  mode: number,
  { pod, tokens = [] }: PayloadContext,
): void {
  const request = tokenRequestOf(source);
  const found = tokens.find((token) => isSame(token, request));
  if (!found) {
    const account = pod.spec.serviceAccountName ?? "default";
    throw new AppError(
      "not_found",
      `token of service account "${account}" has not come from the cloud yet`,
    );
  }
  const bytes = new TextEncoder().encode(found.token);
  payload.set(filePath(source.path ?? ""), { bytes, mode });
}

interface KeyedSource {
  name?: string;
  items?: KeyToPath[];
  optional?: boolean;
}

function addConfigMap(
  payload: Payload,
  from: KeyedSource,
  mode: number,
  { pod, source }: PayloadContext,
): void {
  const map = source.configMap(from.name ?? "");
  if (!map) return missing("configmap", from);
  const encoder = new TextEncoder();
  const data = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(map.data ?? {})) data.set(key, encoder.encode(value));
  for (const [key, value] of Object.entries(map.binaryData ?? {})) {
    data.set(key, decodeBase64(value));
  }
  addKeys(payload, data, {
    ...from,
    mode,
    title: `configmap ${pod.metadata.namespace}/${from.name}`,
  });
}

function addSecret(
  payload: Payload,
  from: KeyedSource,
  mode: number,
  { pod, source }: PayloadContext,
): void {
  const secret = source.secret(from.name ?? "");
  if (!secret) return missing("secret", from);
  const data = new Map(
    Object.entries(secret.data ?? {}).map(([k, v]) => [k, decodeBase64(v)] as const),
  );
  addKeys(payload, data, { ...from, mode, title: `secret ${pod.metadata.namespace}/${from.name}` });
}

function missing(kind: string, from: KeyedSource): void {
  if (!from.optional) throw new AppError("not_found", `${kind} "${from.name ?? ""}" not found`);
}

function addKeys(
  payload: Payload,
  data: ReadonlyMap<string, Uint8Array>,
  from: KeyedSource & { mode: number; title: string },
): void {
  if (!from.items?.length) {
    for (const [key, bytes] of data) {
      payload.set(safeRelative(key, "key"), { bytes, mode: from.mode });
    }
    return;
  }
  for (const { key, path, mode } of from.items) {
    const bytes = data.get(key);
    if (bytes) payload.set(filePath(path), { bytes, mode: mode ?? from.mode });
    else if (!from.optional) {
      throw new AppError("not_found", `references non-existent key "${key}" in ${from.title}`);
    }
  }
}

function addDownward(
  payload: Payload,
  items: readonly DownwardItem[],
  mode: number,
  { pod, facts }: PayloadContext,
): void {
  for (const item of items) {
    const bytes = new TextEncoder().encode(downwardValue(pod, item, facts));
    payload.set(filePath(item.path), { bytes, mode: item.mode ?? mode });
  }
}

function downwardValue(pod: Pod, item: DownwardItem, facts: PodFacts): string {
  if (item.fieldRef) return fieldValue(pod, item.fieldRef.fieldPath, facts);
  const ref = item.resourceFieldRef;
  const container = pod.spec.containers.find((c) => c.name === ref?.containerName);
  if (!ref || !container) {
    throw new AppError("invalid", `downwardAPI item ${item.path} names no field and no container`);
  }
  return resourceValue(container, ref, facts);
}

/** A path of an item; ".." prefixed names are the atomic writer's own. */
function filePath(path: string): string {
  const safe = safeRelative(path, "path of a volume item");
  if (safe === "" || safe.startsWith("..")) {
    throw new AppError("invalid", `path of a volume item must name a file, got "${path}"`);
  }
  return safe;
}
