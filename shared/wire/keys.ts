/**
 * Keys of objects as they travel between cloud and node and lie in the edge's ledger:
 * `<plural>[.<group>]/<namespace>/<name>`, with an empty namespace for cluster-scoped objects
 * ("pods/default/web", "nodes//n1", "leases.coordination.k8s.io/kube-node-lease/n1").
 */
import { AppError } from "../errors.ts";

export interface ObjectKeyParts {
  /** Plural, with ".group" behind it outside the core group. */
  resource: string;
  namespace: string;
  name: string;
}

export function qualifiedResource(gvr: { group: string; resource: string }): string {
  return gvr.group === "" ? gvr.resource : `${gvr.resource}.${gvr.group}`;
}

export function objectKey(
  gvr: { group: string; resource: string },
  namespace: string | undefined,
  name: string,
): string {
  return `${qualifiedResource(gvr)}/${namespace ?? ""}/${name}`;
}

export function parseObjectKey(key: string): ObjectKeyParts {
  const parts = key.split("/");
  const [resource, namespace, name] = parts;
  if (parts.length !== 3 || !resource || namespace === undefined || !name) {
    throw new AppError(
      "invalid",
      `Cannot read object key: must be resource/namespace/name, got ${key}`,
    );
  }
  return { resource, namespace, name };
}
