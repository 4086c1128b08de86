/**
 * Paths of the Kubernetes API into what they name. Pure; knows no kinds. A path that does not have
 * the shape of a resource path gives undefined.
 */

export interface ResourcePath {
  group: string;
  version: string;
  /** Undefined: all namespaces, or a cluster-scoped resource. */
  namespace: string | undefined;
  /** Plural. */
  resource: string;
  name: string | undefined;
  subresource: string | undefined;
}

export type ApiPath =
  /** "/api/v1", "/apis/apps/v1" */
  | { kind: "version"; group: string; version: string }
  /** "/apis/apps" */
  | { kind: "group"; group: string }
  | { kind: "resource"; path: ResourcePath };

/** Parses "/api/…" and "/apis/…"; segments are percent-decoded. */
export function parseApiPath(pathname: string): ApiPath | undefined {
  const segments = decodeSegments(pathname);
  if (!segments) return undefined;
  const [root, ...rest] = segments;
  if (root === "api") {
    const [version, ...tail] = rest;
    if (version === undefined) return undefined;
    return withVersion("", version, tail);
  }
  if (root !== "apis") return undefined;
  const [group, version, ...tail] = rest;
  if (!group) return undefined;
  if (version === undefined) return { kind: "group", group };
  return withVersion(group, version, tail);
}

function decodeSegments(pathname: string): string[] | undefined {
  const trimmed = pathname.replace(/^\//, "").replace(/\/$/, "");
  try {
    const segments = trimmed.split("/").map(decodeURIComponent);
    return segments.includes("") ? undefined : segments;
  } catch {
    return undefined; // malformed percent-encoding names nothing
  }
}

function withVersion(group: string, version: string, tail: string[]): ApiPath | undefined {
  if (tail.length === 0) return { kind: "version", group, version };
  const path = resourceOf(tail);
  return path && { kind: "resource", path: { group, version, ...path } };
}

function resourceOf(tail: string[]): Omit<ResourcePath, "group" | "version"> | undefined {
  // "namespaces/x/status" and "namespaces/x/finalize" are subresources of the namespace itself
  const ofNamespace = tail[0] === "namespaces" &&
    (tail.length < 3 || (tail.length === 3 && ["status", "finalize"].includes(tail[2]!)));
  if (tail[0] === "namespaces" && !ofNamespace) {
    const [, namespace, resource, name, subresource] = tail;
    if (tail.length > 5) return undefined;
    return { namespace, resource: resource!, name, subresource };
  }
  const [resource, name, subresource] = tail;
  if (tail.length > 3) return undefined;
  return { namespace: undefined, resource: resource!, name, subresource };
}
