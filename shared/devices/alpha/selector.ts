/**
 * The node of a v1alpha2 device. Its selector has the shape of a node selector, but KubeEdge only
 * ever took the first value of the first expression as the name of a node. Here an expression on
 * a name is that name, and any other selector selects by labels, which only the cloud can resolve.
 * Pure.
 */
import type { AlphaSelector } from "./shapes.ts";

/** Keys under which manifests give the name of the node itself. */
export const NAME_KEYS: ReadonlySet<string> = new Set([
  "",
  "name",
  "nodeName",
  "metadata.name",
  "kubernetes.io/hostname",
]);

/** The node a selector names; undefined where it selects by labels. */
export function nodeOf(selector: AlphaSelector | undefined): string | undefined {
  const terms = selector?.nodeSelectorTerms ?? [];
  const expressions = terms[0]?.matchExpressions ?? [];
  const [first] = expressions;
  if (terms.length !== 1 || expressions.length !== 1 || first?.values?.length !== 1) return;
  return first.operator === "In" && NAME_KEYS.has(first.key) ? first.values[0] : undefined;
}

export function selectorOf(node: string): AlphaSelector {
  const expression = { key: "", operator: "In", values: [node] };
  return { nodeSelectorTerms: [{ matchExpressions: [expression] }] };
}

/** True when a selector says something that is no single name. */
export function selectsByLabels(selector: AlphaSelector | undefined): boolean {
  return (selector?.nodeSelectorTerms ?? []).length > 0 && nodeOf(selector) === undefined;
}
