/**
 * What is not yet as it should be, once nothing goes wrong any more: empty when every node is live
 * and holds its projection, nothing waits in an outbox, every pod is what its spec says, in the
 * cloud's words as in the node's, and nothing runs that should not.
 */
import { mergePodStatus } from "../../cloud/controllers/pod_status.ts";
import { deepEqual } from "../../shared/json/json.ts";
import type { Event, Node, Pod } from "../../shared/k8s/types.ts";
import type { SimEdge } from "./sim_edge.ts";
import type { World } from "./world.ts";
import { LABEL } from "../../edge/pods/marks.ts";

const PODS = { group: "", resource: "pods" };
const NODES = { group: "", resource: "nodes" };

export function whatDiffers(world: World): string[] {
  const { cloud } = world.cloud;
  if (!cloud || !world.cloud.kube) return ["the cloud does not serve"];
  const pods = cloud.api.storage.list(PODS, undefined) as Pod[]; // the kind of the resource
  const problems: string[] = [];
  const hasConfig = (resource: string, name: string | undefined) =>
    name === undefined ||
    cloud.api.storage.get({ group: "", resource }, "default", name) !== undefined;
  const hasAll = (pod: Pod) =>
    (pod.spec.volumes ?? []).every(({ configMap, secret }) =>
      hasConfig("configmaps", configMap?.name) && hasConfig("secrets", secret?.secretName)
    );
  for (const pod of pods) problems.push(...ofPod(pod, hasAll(pod)));
  for (const edge of world.edges) {
    const own = pods.filter((pod) => pod.spec.nodeName === edge.name);
    problems.push(
      ...ofEvents(world, edge),
      ...ofLink(world, edge),
      ...ofContainers(edge, own, hasAll),
      ...ofRecords(edge, own),
    );
    const node = cloud.api.storage.get(NODES, undefined, edge.name) as Node | undefined; // as above
    const ready = node?.status?.conditions?.find(({ type }) => type === "Ready");
    if (ready?.status !== "True") problems.push(`node ${edge.name} is not Ready`);
    if (node?.spec?.taints?.some(({ key }) => key?.includes("unreachable"))) {
      problems.push(`node ${edge.name} is tainted unreachable`);
    }
  }
  return problems;
}

function ofLink(world: World, { name, edge }: SimEdge): string[] {
  if (!edge) return [`${name} is down`];
  const state = edge.link()?.status().state;
  if (state !== "live") return [`${name}'s link is ${state}`];
  const { generation, digest } = edge.memory.ledger.head;
  const wanted = world.cloud.cloud!.controllers.desired.projection(name); // looked at above
  const problems: string[] = [];
  if (generation !== wanted.generation || digest !== wanted.digest) {
    problems.push(`${name} holds generation ${generation}, should hold ${wanted.generation}`);
  }
  for (const { id, state } of edge.memory.intents.list()) {
    if (state === "merged" || state === "conflict") continue;
    problems.push(`${name} has an undecided site edit: ${id}, ${state}`);
  }
  const { depth } = edge.memory.outbox.stats();
  if (depth > 0) {
    const waiting = edge.memory.outbox.pending(0, 3).map(({ key, sequence }) =>
      `${key}@${sequence}`
    );
    problems.push(`${name} has ${depth} unacknowledged reports: ${waiting.join(", ")}`);
  }
  return problems;
}

function ofPod(pod: Pod, hasAll: boolean): string[] {
  const { name, deletionTimestamp } = pod.metadata;
  if (deletionTimestamp) return [`pod ${name} is still ending`];
  if (!pod.spec.nodeName) return [`pod ${name} is not placed`];
  const phase = pod.status?.phase ?? "nothing";
  const script = pod.spec.containers[0]?.command?.at(-1) ?? "";
  const isServer = script.endsWith("sleep infinity");
  // those of the long night take half a day, and may be at it still
  const isJob = pod.spec.restartPolicy === "Never" && script.startsWith("sleep 20;");
  // whoever names a config that nobody made waits for it, and that is right
  const isWaiting = phase === "Pending" && !hasAll;
  if (isServer && phase !== "Running" && !isWaiting) return [`pod ${name} is ${phase}`];
  // a job whose node lost power has failed, as it must
  const isOver = phase === "Succeeded" || phase === "Failed";
  if (isJob && !isOver && !isWaiting) return [`job ${name} is ${phase}`];
  return [];
}

function ofContainers(
  { name, world }: SimEdge,
  own: readonly Pod[],
  hasAll: (pod: Pod) => boolean,
): string[] {
  const uids = new Set(own.map((pod) => pod.metadata.uid));
  const problems: string[] = [];
  for (const { config } of world.sandboxes.values()) {
    if (!uids.has(config.labels[LABEL.podUid])) {
      problems.push(`${name} still has a sandbox of ${config.metadata?.name}, which is deleted`);
    }
  }
  for (const pod of own) {
    // one whose config is gone cannot be started again, and says so in its status
    if (pod.status?.phase !== "Running" || !hasAll(pod)) continue;
    const script = pod.spec.containers[0]?.command?.at(-1) ?? "";
    if (!script.endsWith("sleep infinity")) continue;
    const isLive = [...world.containers.values()].some(({ state, config }) =>
      state.kind === "running" && config.labels[LABEL.podUid] === pod.metadata.uid
    );
    if (!isLive) problems.push(`pod ${pod.metadata.name} is called Running and nothing runs`);
  }
  return problems;
}

/** What the node says of a pod is what the cloud says of it. */
function ofRecords({ name, edge }: SimEdge, own: readonly Pod[]): string[] {
  const problems: string[] = [];
  for (const pod of own) {
    const record = edge?.memory.records.get(pod.metadata.uid ?? "");
    if (!record) continue;
    if (!deepEqual(mergePodStatus(pod.status, record.status), pod.status)) {
      problems.push(`${name} and the cloud say different things of pod ${pod.metadata.name}`);
    }
  }
  return problems;
}

/** An event was counted as often as it happened: none of its reports was applied twice. */
function ofEvents(world: World, { name, edge, isDamaged }: SimEdge): string[] {
  // a node whose disk lost something may count anew what the cloud has counted already
  if (!edge || isDamaged) return [];
  const problems: string[] = [];
  const storage = world.cloud.cloud!.api.storage; // it serves: asked for first of all
  for (const { metadata, count, reason, involvedObject } of edge.memory.events.list()) {
    const { kind, namespace, name: subject = "", uid } = involvedObject;
    // the last events of a pod that is gone may come too late for the cloud, and are dropped
    const isGone = kind === "Pod" && storage.get(PODS, namespace, subject)?.metadata.uid !== uid;
    if (isGone) continue;
    const stored = storage
      .get({ group: "", resource: "events" }, metadata.namespace, metadata.name ?? "");
    const known = (stored as Event | undefined)?.count ?? 1; // the kind of the resource
    // one that the cloud does not have is of a pod that was gone, or expired there
    if (stored && known !== (count ?? 1)) {
      problems.push(`${name} counts event ${reason} ${count} times, the cloud ${known}`);
    }
  }
  return problems;
}
