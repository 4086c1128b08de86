/**
 * Which pods are bound to which node, and which nodes use a ConfigMap or Secret, kept up to date
 * pod by pod, so that one change leads straight to the nodes it concerns. Bounded by the pods there
 * are.
 */
import type { Pod } from "../../shared/k8s/types.ts";
import { accountKey } from "./pod_tokens.ts";
import { neededKeys, podKey } from "./project_node.ts";
import type { ObjectChange } from "./port.ts";

export class NodeIndex {
  readonly #podsOfNode = new Map<string, Map<string, Pod>>();
  /** Needed key -> node -> how many of its pods name it. */
  readonly #users = new Map<string, Map<string, number>>();

  /** Takes one step of a pod; returns the nodes whose projection may differ now. */
  apply({ before, after }: ObjectChange<Pod>): string[] {
    const touched = new Set<string>();
    if (before?.spec.nodeName) {
      this.#remove(before.spec.nodeName, before);
      touched.add(before.spec.nodeName);
    }
    if (after?.spec.nodeName) {
      this.#add(after.spec.nodeName, after);
      touched.add(after.spec.nodeName);
    }
    return [...touched];
  }

  nodes(): Iterable<string> {
    return this.#podsOfNode.keys();
  }

  podsOf(node: string): Iterable<Pod> {
    return this.#podsOfNode.get(node)?.values() ?? [];
  }

  /** Nodes with a pod that names `key`. */
  usersOf(key: string): Iterable<string> {
    return this.#users.get(key)?.keys() ?? [];
  }

  #add(node: string, pod: Pod): void {
    let pods = this.#podsOfNode.get(node);
    if (!pods) this.#podsOfNode.set(node, pods = new Map());
    pods.set(podKey(pod), pod);
    for (const key of followedKeys(pod)) {
      let users = this.#users.get(key);
      if (!users) this.#users.set(key, users = new Map());
      users.set(node, (users.get(node) ?? 0) + 1);
    }
  }

  #remove(node: string, pod: Pod): void {
    const pods = this.#podsOfNode.get(node);
    if (!pods?.delete(podKey(pod))) return;
    if (pods.size === 0) this.#podsOfNode.delete(node);
    for (const key of followedKeys(pod)) {
      const users = this.#users.get(key);
      const left = (users?.get(node) ?? 0) - 1;
      if (left > 0) users?.set(node, left);
      else users?.delete(node);
      if (users?.size === 0) this.#users.delete(key);
    }
  }
}

/** Objects whose change may change what a node of this pod must hold. */
function followedKeys(pod: Pod): string[] {
  const account = accountKey(pod);
  return account === undefined ? neededKeys(pod) : [...neededKeys(pod), account];
}
