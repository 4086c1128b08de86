/**
 * Service account tokens that a node holds for the pods bound to it: one object a pod, made when
 * the pod is projected and anew when a token has lived 80 % of its life or a day. When a token was
 * issued follows from the pod's age alone, so a cloud that starts anew changes nothing; what a
 * token says decides the version of the item, never the signature. Bounded by the pods: `forget`.
 */
import { createHash } from "node:crypto";
import type { KubeObject, Pod } from "../../shared/k8s/types.ts";
import type { DesiredItem } from "../../shared/wire/desired.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import {
  POD_TOKENS_API,
  POD_TOKENS_KIND,
  type PodToken,
  type PodTokens,
  podTokensKey,
  type TokenRequest,
  tokenRequests,
} from "../../shared/wire/pod_tokens.ts";
import type { PodTokenIssuer } from "./port.ts";

const RENEW_MS_MAX = 86_400_000;
/** Of a token's life; the rest is for a link that is away. */
const RENEW_SHARE = 0.8;
const VERSION_DIGITS = 32;

interface Made {
  stored: string;
  item: DesiredItem;
  renewAtMs: number;
}

export class ProjectedTokens {
  readonly #issuer: PodTokenIssuer;
  readonly #made = new Map<string, Made>();

  constructor(issuer: PodTokenIssuer) {
    this.#issuer = issuer;
  }

  /** The pod's tokens at `nowMs`; undefined when it asks for none. */
  of(pod: Pod, account: KubeObject, nowMs: number): DesiredItem | undefined {
    const requests = tokenRequests(pod);
    if (requests.length === 0) return undefined;
    const key = podTokensKey(pod.metadata.namespace, pod.metadata.name ?? "");
    const stored = `${pod.metadata.uid} ${account.metadata.uid}`;
    const before = this.#made.get(key);
    if (before?.stored === stored && nowMs < before.renewAtMs) return before.item;
    const made = { stored, ...this.#make(pod, account, requests, nowMs) };
    this.#made.set(key, made);
    return made.item;
  }

  /** When the pod's tokens are to be made anew; undefined when it has none. */
  renewAtMs(pod: Pod): number | undefined {
    return this.#made.get(podTokensKey(pod.metadata.namespace, pod.metadata.name ?? ""))?.renewAtMs;
  }

  forget(pod: Pod): void {
    this.#made.delete(podTokensKey(pod.metadata.namespace, pod.metadata.name ?? ""));
  }

  #make(pod: Pod, account: KubeObject, requests: readonly TokenRequest[], nowMs: number) {
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    const bornMs = Date.parse(pod.metadata.creationTimestamp ?? "") || 0;
    let renewAtMs = Infinity;
    const tokens = requests.map((request): PodToken => {
      const lifeSeconds = this.#issuer.lifeSeconds(request.audience, request.expirationSeconds);
      const everyMs = Math.min(RENEW_MS_MAX, Math.floor(lifeSeconds * 1_000 * RENEW_SHARE));
      const turns = Math.max(0, Math.floor((nowMs - bornMs) / everyMs));
      const issuedAtMs = bornMs + turns * everyMs;
      renewAtMs = Math.min(renewAtMs, issuedAtMs + everyMs);
      const token = this.#issuer.issue(pod, account, request, issuedAtMs);
      return { ...request, token, issuedAtMs, expiresAtMs: issuedAtMs + lifeSeconds * 1_000 };
    });
    const prints = tokens.map(({ token: _, ...print }) => print);
    const version = createHash("sha256")
      .update(JSON.stringify([uid, account.metadata.uid, prints])).digest("hex");
    const resourceVersion = version.slice(0, VERSION_DIGITS);
    const object: PodTokens = {
      apiVersion: POD_TOKENS_API,
      kind: POD_TOKENS_KIND,
      // the node looks at the volumes again when this differs
      metadata: { name, namespace, uid, resourceVersion },
      tokens,
    };
    const item = { key: podTokensKey(namespace, name), uid, resourceVersion, object };
    return { item, renewAtMs };
  }
}

/** Key of the account whose tokens a pod asks for; undefined when it asks for none. */
export function accountKey(pod: Pod): string | undefined {
  if (tokenRequests(pod).length === 0) return undefined;
  const accounts = { group: "", resource: "serviceaccounts" };
  return objectKey(accounts, pod.metadata.namespace, pod.spec.serviceAccountName || "default");
}
