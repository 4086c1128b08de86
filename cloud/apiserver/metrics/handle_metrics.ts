/**
 * metrics.k8s.io/v1beta1: what `kubectl top` and autoscalers ask, answered from the nodes' own
 * resource metrics at the moment of the question. Nodes that are away are left out, as with
 * metrics-server.
 */
import { toTime } from "../../../shared/clock.ts";
import type { KubeObject, Node, Pod } from "../../../shared/k8s/types.ts";
import { authorize } from "../authorize.ts";
import { jsonResponse, type ServerParts } from "../context.ts";
import { methodNotAllowed, notFound, unknownPath } from "../errors.ts";
import { selectorOf } from "../handle_read.ts";
import type { KindInfo } from "../kinds/kind_info.ts";
import { findKind } from "../kinds/registry.ts";
import type { UserInfo } from "../port.ts";
import type { ResourcePath } from "../resource_path.ts";
import { kindId } from "../writer.ts";
import type { NodeUsage, NodeUsageReport, Usage } from "./node_usage.ts";

export const METRICS_GROUP = "metrics.k8s.io";
const API_VERSION = `${METRICS_GROUP}/v1beta1`;

/** For discovery. */
export const METRICS_RESOURCES = [
  { group: METRICS_GROUP, version: "v1beta1", kind: "NodeMetrics", plural: "nodes" },
  { group: METRICS_GROUP, version: "v1beta1", kind: "PodMetrics", plural: "pods" },
] as const;

export interface MetricsQuestion {
  request: Request;
  user: UserInfo;
  path: ResourcePath;
}

export async function serveMetrics(
  parts: ServerParts,
  usage: NodeUsage,
  { request, user, path }: MetricsQuestion,
): Promise<Response> {
  const known = METRICS_RESOURCES.find(({ plural }) => plural === path.resource);
  const isNamespaced = path.resource === "pods";
  if (!known || path.version !== known.version || path.subresource !== undefined) {
    throw unknownPath();
  }
  if (!isNamespaced && path.namespace !== undefined) throw unknownPath();
  if (isNamespaced && path.name !== undefined && path.namespace === undefined) throw unknownPath();
  if (request.method !== "GET") throw methodNotAllowed();
  authorize(user, { verb: path.name === undefined ? "list" : "get", ...path });
  const kind = findKind("", "v1", path.resource)!; // nodes and pods are always served
  const objects = selected(parts, kind, path, new URL(request.url).searchParams);
  const items = isNamespaced
    ? await podMetrics(usage, objects as Pod[], request.signal) // what lies under pods is a Pod
    : await nodeMetrics(usage, objects as Node[], request.signal);
  if (path.name === undefined) {
    return jsonResponse({
      kind: `${known.kind}List`,
      apiVersion: API_VERSION,
      metadata: {},
      items,
    });
  }
  const [item] = items;
  if (!item) throw notFound({ group: METRICS_GROUP, plural: path.resource }, path.name);
  return jsonResponse({ kind: known.kind, apiVersion: API_VERSION, ...item });
}

function selected(
  parts: ServerParts,
  kind: KindInfo,
  { namespace, name }: ResourcePath,
  query: URLSearchParams,
): KubeObject[] {
  if (name !== undefined) {
    const found = parts.storage.get(kindId(kind), namespace, name);
    if (!found) throw notFound({ group: METRICS_GROUP, plural: kind.plural }, name);
    return [found];
  }
  const selector = selectorOf(kind, query);
  return parts.storage.list(kindId(kind), namespace, parts.storage.revision)
    .filter(selector.matches);
}

async function nodeMetrics(
  usage: NodeUsage,
  nodes: readonly Node[],
  signal: AbortSignal,
): Promise<object[]> {
  const reports = await usage.of(nodes.map(({ metadata }) => metadata.name ?? ""), signal);
  return nodes.flatMap((node) => {
    const used = reports.get(node.metadata.name ?? "")?.node;
    return used ? [{ ...head(node, used), usage: quantities(used) }] : [];
  });
}

async function podMetrics(
  usage: NodeUsage,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<object[]> {
  const running = pods.filter(({ status, spec }) => status?.phase === "Running" && spec.nodeName);
  const reports = await usage.of(running.map(({ spec }) => spec.nodeName!), signal);
  return running.flatMap((pod) => {
    const containers = containersOf(pod, reports.get(pod.spec.nodeName!));
    const [, first] = containers[0] ?? [];
    if (!first) return [];
    const list = containers.map(([name, used]) => ({ name, usage: quantities(used) }));
    return [{ ...head(pod, first), containers: list }];
  });
}

function containersOf(pod: Pod, report: NodeUsageReport | undefined): [string, Usage][] {
  const { namespace, name } = pod.metadata;
  return [...report?.pods.get(`${namespace}/${name}`) ?? []];
}

function head({ metadata }: KubeObject, { atMs, windowMs }: Usage): object {
  const { name, namespace, labels } = metadata;
  return {
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      creationTimestamp: toTime(atMs),
      ...(labels ? { labels } : {}),
    },
    timestamp: toTime(atMs),
    window: `${(windowMs / 1_000).toFixed(3).replace(/\.?0+$/, "")}s`,
  };
}

function quantities({ nanoCores, memoryBytes }: Usage): { cpu: string; memory: string } {
  const isKibi = memoryBytes % 1024 === 0;
  return {
    cpu: nanoCores === 0 ? "0" : `${nanoCores}n`,
    memory: isKibi && memoryBytes > 0 ? `${memoryBytes / 1024}Ki` : String(memoryBytes),
  };
}
