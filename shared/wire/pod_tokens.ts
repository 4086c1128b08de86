/**
 * Service account tokens on their way to a node: one object a pod, beside the pod in what the node
 * must hold. The node keeps it sealed, as it keeps Secrets, and shows it to nobody but the pod.
 */
import type { KubeObject, Pod } from "../k8s/types.ts";
import { objectKey } from "./keys.ts";

const GROUP = "tokens.skerry.dev";
export const POD_TOKENS_API = `${GROUP}/v1`;
export const POD_TOKENS_KIND = "PodTokens";
/** What keys of these objects begin with. */
export const POD_TOKENS_PREFIX = `podtokens.${GROUP}/`;

const EXPIRATION_SECONDS_DEFAULT = 3_600;
/** Projections of tokens in one pod: each is a signature in the cloud. */
const REQUESTS_MAX = 16;

export interface TokenRequest {
  /** "" is the API's own. */
  audience: string;
  expirationSeconds: number;
}

export interface PodToken extends TokenRequest {
  token: string;
  issuedAtMs: number;
  expiresAtMs: number;
}

export interface PodTokens extends KubeObject {
  tokens: PodToken[];
}

/** Of the tokens of the pod with this name. */
export function podTokensKey(namespace: string | undefined, name: string): string {
  return objectKey({ group: GROUP, resource: "podtokens" }, namespace, name);
}

interface Projected {
  sources?: { serviceAccountToken?: Partial<TokenRequest> }[];
}

/** The tokens a pod's volumes ask for, each once. */
export function tokenRequests(pod: Pod): TokenRequest[] {
  const requests: TokenRequest[] = [];
  for (const volume of pod.spec?.volumes ?? []) {
    const projected = volume.projected as Projected | undefined; // core/v1
    for (const { serviceAccountToken } of projected?.sources ?? []) {
      if (!serviceAccountToken) continue;
      const request = tokenRequestOf(serviceAccountToken);
      if (requests.some((one) => isSame(one, request))) continue;
      if (requests.length < REQUESTS_MAX) requests.push(request);
    }
  }
  return requests;
}

/** With what is left out filled in. */
export function tokenRequestOf(source: Partial<TokenRequest>): TokenRequest {
  const { audience = "", expirationSeconds = EXPIRATION_SECONDS_DEFAULT } = source;
  return { audience, expirationSeconds };
}

export function isSame(one: TokenRequest, other: TokenRequest): boolean {
  return one.audience === other.audience && one.expirationSeconds === other.expirationSeconds;
}
