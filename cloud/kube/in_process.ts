/** KubeClient against our own API server, without a socket: the same requests, the same rules. */
import { HttpKube } from "./http_kube.ts";
import type { KubeClient } from "./port.ts";

/** `fetch` is the API server's, bound to a user (`fetchAs`). */
export function inProcessKube(fetch: typeof globalThis.fetch): KubeClient {
  return new HttpKube({ fetch, baseUrl: "http://kubernetes.in-process" });
}
