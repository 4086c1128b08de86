/** The rules, by what sets them off. Pure. A rule whose endpoints are not there does nothing. */
import type { Rule, RuleEndpoint } from "./port.ts";

export interface RuleName {
  namespace: string;
  name: string;
}

export type RestTarget =
  | { kind: "eventbus"; topic: string }
  | { kind: "servicebus"; port: number; path: string };

export interface RestRule extends RuleName {
  path: string;
  target: RestTarget;
}

export interface TopicRule extends RuleName {
  node: string;
  /** Filter of the node's broker, "<namespace>/<topic>". */
  filter: string;
  url: string;
}

export interface RequestRule extends RuleName {
  node: string;
  /** What applications of the node ask for: a name, not where the request goes. */
  targetUrl: string;
  url: string;
}

export class RuleTable {
  readonly #rest: RestRule[] = [];
  readonly #topics: TopicRule[] = [];
  readonly #requests: RequestRule[] = [];

  constructor(rules: Iterable<Rule>, endpoints: ReadonlyMap<string, RuleEndpoint>) {
    for (const rule of [...rules].sort(oldestFirst)) {
      const { namespace = "", name = "" } = rule.metadata;
      const { source, sourceResource = {}, target, targetResource = {} } = rule.spec;
      const from = endpoints.get(`${namespace}/${source}`)?.spec.ruleEndpointType;
      const to = endpoints.get(`${namespace}/${target}`)?.spec;
      if (from === "rest" && to) {
        const found = restTarget(to, targetResource);
        const path = trimmed(sourceResource["path"]);
        if (found && path !== "") this.#rest.push({ namespace, name, path, target: found });
      }
      if (to?.ruleEndpointType !== "rest") continue;
      const { topic = "", target_url: targetUrl = "", node_name: node = "" } = sourceResource;
      const url = targetResource["resource"] ?? "";
      if (node === "" || !URL.canParse(url)) continue;
      if (from === "eventbus" && topic !== "") {
        const filter = [namespace, ...parts(topic)].join("/");
        this.#topics.push({ namespace, name, node, filter, url });
      }
      if (from === "servicebus" && targetUrl !== "") {
        this.#requests.push({ namespace, name, node, targetUrl, url });
      }
    }
  }

  /**
   * The rule with the longest path that `path` is or is below, and what is left of it. A part in
   * braces stands for any one part; nothing of such a path is taken off, as in KubeEdge.
   */
  forRest(namespace: string, path: string): { rule: RestRule; suffix: string } | undefined {
    let best: RestRule | undefined;
    for (const rule of this.#rest) {
      if (rule.namespace !== namespace || !isBelow(path, rule.path)) continue;
      if (!best || isNearer(rule.path, best.path)) best = rule;
    }
    if (!best) return undefined;
    const suffix = PARAMETER.test(best.path) ? `/${path}` : path.slice(best.path.length);
    return { rule: best, suffix };
  }

  forTopic(node: string, filter: string): TopicRule[] {
    return this.#topics.filter((rule) => rule.node === node && rule.filter === filter);
  }

  topicRule({ namespace, name }: RuleName): TopicRule | undefined {
    return this.#topics.find((rule) => rule.namespace === namespace && rule.name === name);
  }

  /** The one rule that answers: of two namespaces' the older, so that none takes another's over. */
  forRequest(node: string, targetUrl: string): RequestRule | undefined {
    return this.#requests.find((rule) => rule.node === node && rule.targetUrl === targetUrl);
  }

  requestRule({ namespace, name }: RuleName): RequestRule | undefined {
    return this.#requests.find((rule) => rule.namespace === namespace && rule.name === name);
  }

  /** What applications of a node may ask for, in order. */
  urlsOf(node: string): string[] {
    const urls = this.#requests.filter((rule) => rule.node === node);
    return [...new Set(urls.map(({ targetUrl }) => targetUrl))].sort();
  }

  /** What a node has to take messages of, in order. */
  topicsOf(node: string): string[] {
    const filters = this.#topics.filter((rule) => rule.node === node).map(({ filter }) => filter);
    return [...new Set(filters)].sort();
  }

  nodes(): Set<string> {
    return new Set([...this.#topics, ...this.#requests].map(({ node }) => node));
  }
}

/** A part of a path such as {id}. */
const PARAMETER = /\{[^{}/]+\}/;

function parts(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}

function isBelow(path: string, rulePath: string): boolean {
  const [given, wanted] = [path.split("/"), rulePath.split("/")];
  return given.length >= wanted.length &&
    wanted.every((part, i) => part === given[i] || (PARAMETER.test(part) && given[i] !== ""));
}

/** More parts first; of as many the one that names more of them. */
function isNearer(path: string, than: string): boolean {
  const [a, b] = [path.split("/"), than.split("/")];
  if (a.length !== b.length) return a.length > b.length;
  const named = (all: string[]) => all.filter((part) => !PARAMETER.test(part)).length;
  return named(a) > named(b);
}

function oldestFirst({ metadata: a }: Rule, { metadata: b }: Rule): number {
  const [x, y] = [a, b].map(({ creationTimestamp = "", namespace = "", name = "" }) =>
    `${creationTimestamp} ${namespace} ${name}`
  );
  return x! < y! ? -1 : 1; // there are two
}

function restTarget(
  { ruleEndpointType, properties = {} }: RuleEndpoint["spec"],
  resource: Record<string, string>,
): RestTarget | undefined {
  if (ruleEndpointType === "eventbus") {
    const topic = resource["topic"] ?? "";
    return topic === "" ? undefined : { kind: "eventbus", topic };
  }
  const port = Number(properties["service_port"]);
  if (ruleEndpointType !== "servicebus" || !Number.isInteger(port)) return undefined;
  return { kind: "servicebus", port, path: trimmed(resource["path"]) };
}

function trimmed(path = ""): string {
  return path.replace(/^\/+|\/+$/g, "");
}
