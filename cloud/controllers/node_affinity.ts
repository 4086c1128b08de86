/** Node selectors and node affinity, by Kubernetes' rules. Pure. */
import type {
  Node,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  Pod,
} from "../../shared/k8s/types.ts";

/** True when the node meets the pod's nodeSelector and its required node affinity. */
export function meetsAffinity(pod: Pod, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  for (const [key, value] of Object.entries(pod.spec.nodeSelector ?? {})) {
    if (labels[key] !== value) return false;
  }
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  // No terms at all match no node; one matching term is enough.
  return !required || meetsTerms(required.nodeSelectorTerms, node);
}

/** True when the node meets one of the terms. */
export function meetsTerms(terms: readonly NodeSelectorTerm[], node: Node): boolean {
  return terms.some((term) => meetsTerm(term, node));
}

/** Sum of the weights of the preferred terms the node meets. */
export function preferredWeight(pod: Pod, node: Node): number {
  const preferred = pod.spec.affinity?.nodeAffinity
    ?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return preferred.reduce(
    (sum, { weight, preference }) => meetsTerm(preference, node) ? sum + weight : sum,
    0,
  );
}

/** All of a term's requirements must hold; an empty term matches nothing. */
function meetsTerm(term: NodeSelectorTerm, node: Node): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return false;
  return expressions.every((r) => meets(r, node.metadata.labels?.[r.key])) &&
    fields.every((r) => r.key === "metadata.name" && meets(r, node.metadata.name));
}

function meets(requirement: NodeSelectorRequirement, value: string | undefined): boolean {
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return compareWhole(value, values[0], (a, b) => a > b);
    case "Lt":
      return compareWhole(value, values[0], (a, b) => a < b);
    default:
      return false;
  }
}

function compareWhole(
  value: string | undefined,
  bound: string | undefined,
  holds: (a: bigint, b: bigint) => boolean,
): boolean {
  const isWhole = (text: string | undefined) => text !== undefined && /^[+-]?\d{1,19}$/.test(text);
  if (!isWhole(value) || !isWhole(bound)) return false;
  return holds(BigInt(value!.replace("+", "")), BigInt(bound!.replace("+", ""))); // both whole
}
