/**
 * Topics of the event bus, as KubeEdge names them. Pure. A device has two levels, namespace and
 * name; clients of older KubeEdge say the name alone, and are answered on the topic they used.
 */

/** What the bus listens to; the node's own name stands in for `+` of a node's topics. */
export const DEVICE_FILTERS: readonly string[] = [
  "$hw/events/device/+/+/state/update",
  "$hw/events/device/+/+/twin/+",
  "$hw/events/device/+/state/update",
  "$hw/events/device/+/twin/+",
  "$hw/events/node/+/membership/get",
];

/** Messages of applications to the cloud, and of old mappers. */
export const APP_FILTERS: readonly string[] = [
  "$hw/events/upload/#",
  "SYS/dis/upload_records",
  "+/user/#",
];

/** Longest topic that is looked at; a name has 253 characters. */
export const TOPIC_CHARS_MAX = 1_024;
export const TOPIC_LEVELS_MAX = 32;

const DEVICE_PREFIX = "$hw/events/device/";
const NODE_PREFIX = "$hw/events/node/";

/** How a device was called: "namespace/name", or "name" alone. */
export interface DeviceId {
  namespace?: string;
  name: string;
}

export type Request =
  | { kind: "twin_get" | "twin_update" | "state_update"; device: DeviceId }
  | { kind: "membership_get"; node: string };

const DEVICE_VERBS: Readonly<Record<string, "twin_get" | "twin_update" | "state_update">> = {
  "twin/get": "twin_get",
  "twin/update": "twin_update",
  "state/update": "state_update",
};

/** Undefined for topics that ask nothing of the bus. */
export function parseRequest(topic: string): Request | undefined {
  if (topic.length > TOPIC_CHARS_MAX) return undefined;
  if (topic.startsWith(DEVICE_PREFIX)) return parseDevice(topic.slice(DEVICE_PREFIX.length));
  if (!topic.startsWith(NODE_PREFIX)) return undefined;
  const [node, ...rest] = topic.slice(NODE_PREFIX.length).split("/");
  return node && rest.join("/") === "membership/get" ? { kind: "membership_get", node } : undefined;
}

function parseDevice(rest: string): Request | undefined {
  const levels = rest.split("/");
  const kind = DEVICE_VERBS[levels.slice(-2).join("/")];
  if (!kind) return undefined;
  const [first = "", second] = levels.slice(0, -2);
  if (levels.length === 3 && first !== "") return { kind, device: { name: first } };
  if (levels.length !== 4 || first === "" || !second) return undefined;
  return { kind, device: { namespace: first, name: second } };
}

export function deviceId({ namespace, name }: DeviceId): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

export type DeviceTopic =
  | "twin/get/result"
  | "twin/update/result"
  | "twin/update/delta"
  | "twin/update/document"
  | "state/update/result"
  | "updated";

export function deviceTopic(device: DeviceId, topic: DeviceTopic): string {
  return `${DEVICE_PREFIX}${deviceId(device)}/${topic}`;
}

export function membershipTopic(node: string, topic: "get/result" | "updated"): string {
  return `${NODE_PREFIX}${node}/membership/${topic}`;
}

/** MQTT's matching of a topic against a filter. */
export function topicMatches(filter: string, topic: string): boolean {
  if (topic.startsWith("$") && !filter.startsWith("$")) return false;
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (const [index, level] of wanted.entries()) {
    if (level === "#") return true;
    if (index >= levels.length) return false;
    if (level !== "+" && level !== levels[index]) return false;
  }
  return wanted.length === levels.length;
}

/** True when every topic that `inner` matches is one that `outer` matches too. */
export function filterCovers(outer: string, inner: string): boolean {
  if (inner.startsWith("$") !== outer.startsWith("$")) return false;
  const wanted = outer.split("/");
  const levels = inner.split("/");
  for (const [index, level] of wanted.entries()) {
    if (level === "#") return true;
    const other = levels[index];
    // beyond its own end "a/b" has nothing, but "a/b/#" has "a/b" itself
    if (other === undefined || other === "#") return false;
    if (level !== "+" && level !== other) return false;
  }
  return wanted.length === levels.length;
}

/** Why a filter or pattern cannot be one, or undefined. */
export function filterProblem(filter: string): string | undefined {
  if (filter === "" || filter.length > TOPIC_CHARS_MAX || filter.includes("\0")) {
    return `must have 1 to ${TOPIC_CHARS_MAX} characters`;
  }
  const levels = filter.split("/");
  if (levels.length > TOPIC_LEVELS_MAX) return `must have at most ${TOPIC_LEVELS_MAX} levels`;
  const isBad = levels.some((level, index) =>
    (level.length > 1 && /[+#]/.test(level)) || (level === "#" && index < levels.length - 1)
  );
  return isBad ? "must have + and # alone in a level, and # in the last" : undefined;
}
