/**
 * `/api/v1/nodes/NAME/proxy/PATH`: a request for what the node itself serves on kubelet's paths,
 * through its tunnel. Reading only. A port or scheme beside the name is left out: there is one way
 * to a node, and it is the node's own.
 */
import { authorize } from "./authorize.ts";
import type { ServerParts } from "./context.ts";
import { methodNotAllowed, notFound } from "./errors.ts";
import type { UserInfo } from "./port.ts";

const NODE_PROXY = /^\/api\/v1\/nodes\/([^/]+)\/proxy(\/.*)?$/;

export interface NodeProxyPath {
  node: string;
  path: string;
}

/** Undefined when `pathname` is another resource's. */
export function parseNodeProxy(pathname: string): NodeProxyPath | undefined {
  const match = NODE_PROXY.exec(pathname);
  if (!match) return undefined;
  try {
    const node = decodeURIComponent(match[1]!).replace(/^https?:/, "").replace(/:\d*$/, "");
    return { node, path: match[2] ?? "/" };
  } catch {
    return undefined; // malformed percent-encoding names nothing
  }
}

export async function proxyToNode(
  parts: ServerParts,
  request: Request,
  user: UserInfo,
  { node, path }: NodeProxyPath,
): Promise<Response> {
  if (request.method !== "GET" && request.method !== "HEAD") throw methodNotAllowed();
  authorize(user, { verb: "get", group: "", resource: "nodes", subresource: "proxy", name: node });
  const nodes = { group: "", resource: "nodes" };
  if (!parts.storage.get(nodes, undefined, node)) {
    throw notFound({ group: "", plural: "nodes" }, node);
  }
  const url = new URL(`http://node${path}`);
  url.search = new URL(request.url).search;
  const { method, signal } = request;
  const accept = request.headers.get("accept");
  const headers = accept === null ? {} : { accept };
  const answer = await parts.nodeProxy.fetch(node, new Request(url, { method, headers, signal }));
  const type = answer.headers.get("content-type");
  return new Response(answer.body, {
    status: answer.status,
    headers: type === null ? {} : { "content-type": type },
  });
}
