/**
 * The kinds the server serves, as a table. To add one: its messages in schema/tables, a file with a
 * `defineKind()` here, its line below, and its columns in shared/k8s/table/columns.ts.
 */
import { CONFIG_MAP } from "./config_map.ts";
import { DEVICE } from "./device.ts";
import { DEVICE_ALPHA, DEVICE_MODEL_ALPHA } from "./device_alpha.ts";
import { DEVICE_MODEL } from "./device_model.ts";
import { DEVICE_STATUS } from "./device_status.ts";
import { EVENT } from "./event.ts";
import { IMAGE_PREPULL_JOB } from "./image_prepull_job.ts";
import type { KindInfo } from "./kind_info.ts";
import { LEASE } from "./lease.ts";
import { NAMESPACE } from "./namespace.ts";
import { ENDPOINTS, SERVICE, SERVICE_ACCOUNT } from "./network_kinds.ts";
import { NODE } from "./node.ts";
import { POD } from "./pod.ts";
import { RULE, RULE_ENDPOINT } from "./rule.ts";
import { RUNTIME_CLASS } from "./runtime_class.ts";
import { SECRET } from "./secret.ts";
import { PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS } from "./storage_kinds.ts";

const KINDS: readonly KindInfo[] = [
  CONFIG_MAP,
  ENDPOINTS,
  EVENT,
  NAMESPACE,
  NODE,
  PERSISTENT_VOLUME,
  PERSISTENT_VOLUME_CLAIM,
  POD,
  SECRET,
  SERVICE_ACCOUNT,
  SERVICE,
  LEASE,
  RUNTIME_CLASS,
  STORAGE_CLASS,
  DEVICE,
  DEVICE_MODEL,
  DEVICE_STATUS,
  DEVICE_ALPHA,
  DEVICE_MODEL_ALPHA,
  RULE,
  RULE_ENDPOINT,
  IMAGE_PREPULL_JOB,
];

const BY_PATH: ReadonlyMap<string, KindInfo> = new Map(
  KINDS.map((kind) => [`${kind.group}/${kind.version}/${kind.plural}`, kind]),
);

/** All kinds, core group first, in the order discovery lists them. */
export function allKinds(): readonly KindInfo[] {
  return KINDS;
}

/** The kind behind a path, or undefined. */
export function findKind(group: string, version: string, plural: string): KindInfo | undefined {
  return BY_PATH.get(`${group}/${version}/${plural}`);
}
