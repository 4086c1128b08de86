/** The resolver settings of a pod by its dnsPolicy and dnsConfig, within kubelet's limits. Pure. */
import type { Pod } from "../../shared/k8s/types.ts";

export interface DnsSettings {
  servers: string[];
  searches: string[];
  options: string[];
}

export interface DnsContext {
  clusterDns: readonly string[];
  clusterDomain: string;
  host: DnsSettings;
}

const SERVERS_MAX = 3;
const SEARCHES_MAX = 32;
const SEARCH_CHARS_MAX = 2048;

export function parseResolvConf(text: string): DnsSettings {
  const settings: DnsSettings = { servers: [], searches: [], options: [] };
  for (const line of text.split("\n")) {
    const [word, ...rest] = line.replace(/[#;].*$/, "").trim().split(/\s+/);
    if (word === "nameserver" && rest[0]) settings.servers.push(rest[0]);
    else if (word === "search" || word === "domain") settings.searches = rest;
    else if (word === "options") settings.options = rest;
  }
  return settings;
}

/** True when the pod asks for cluster DNS and none is configured: it gets the host's instead. */
export function lacksClusterDns(pod: Pod, context: DnsContext): boolean {
  return wantsCluster(pod) && context.clusterDns.length === 0;
}

function wantsCluster(pod: Pod): boolean {
  const policy = pod.spec.dnsPolicy ?? "ClusterFirst";
  return policy === "ClusterFirstWithHostNet" ||
    (policy === "ClusterFirst" && pod.spec.hostNetwork !== true);
}

export function dnsSettings(pod: Pod, context: DnsContext): DnsSettings {
  const base = baseSettings(pod, context);
  const { nameservers = [], searches = [], options = [] } = pod.spec.dnsConfig ?? {};
  const byName = new Map(base.options.map((o) => [o.split(":")[0]!, o]));
  for (const { name, value } of options) {
    byName.set(name, value === undefined || value === "" ? name : `${name}:${value}`);
  }
  return {
    servers: unique([...base.servers, ...nameservers]).slice(0, SERVERS_MAX),
    searches: fit(unique([...base.searches, ...searches])),
    options: [...byName.values()],
  };
}

function baseSettings(pod: Pod, context: DnsContext): DnsSettings {
  if (pod.spec.dnsPolicy === "None") return { servers: [], searches: [], options: [] };
  if (!wantsCluster(pod) || context.clusterDns.length === 0) return context.host;
  const { clusterDomain: domain } = context;
  const namespace = pod.metadata.namespace ?? "default";
  const cluster = domain ? [`${namespace}.svc.${domain}`, `svc.${domain}`, domain] : [];
  return {
    servers: [...context.clusterDns],
    searches: [...cluster, ...context.host.searches],
    options: ["ndots:5"],
  };
}

function fit(searches: string[]): string[] {
  const kept: string[] = [];
  let chars = 0;
  for (const search of searches.slice(0, SEARCHES_MAX)) {
    chars += search.length + 1;
    if (chars > SEARCH_CHARS_MAX) break;
    kept.push(search);
  }
  return kept;
}

function unique(items: string[]): string[] {
  return [...new Set(items)];
}
