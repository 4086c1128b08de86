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
        this.#topics.push({ namespace, name, node, filter: `${namespace}/${topic}`, url });
      }
      if (from === "servicebus" && targetUrl !== "") {
        this.#requests.push({ namespace, name, node, targetUrl, url });
      }
    }
  }

  /** The rule with the longest path that `path` is or is below, and what is left of it. */
  forRest(namespace: string, path: string): { rule: RestRule; suffix: string } | undefined {
    let best: RestRule | undefined;
    for (const rule of this.#rest) {
      if (rule.namespace !== namespace || rule.path.length < (best?.path.length ?? 0)) continue;
      if (path === rule.path || path.startsWith(`${rule.path}/`)) best = rule;
    }
    return best && { rule: best, suffix: path.slice(best.path.length) };
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
