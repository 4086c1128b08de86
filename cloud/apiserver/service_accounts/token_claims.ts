/**
 * What a service account's token says, and whether what it says still holds. Claims are those of
 * Kubernetes' bound tokens. Pure: objects come in through `Find`.
 */
import { isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import type { UserInfo } from "../port.ts";

export const ACCOUNT_PREFIX = "system:serviceaccount:";
const ACCOUNTS_GROUP = "system:serviceaccounts";
const PRIVATE = "kubernetes.io";
/** The clocks of those who check may be behind by as much. */
const LEEWAY_SECONDS = 10;

/** An object a token dies with. */
export interface BoundObject {
  kind: "Pod" | "Secret" | "Node";
  name: string;
  uid: string;
}

export interface TokenWish {
  account: KubeObject;
  audiences: readonly string[];
  issuedAtMs: number;
  lifeSeconds: number;
  /** Says when a longer token was meant to be renewed. */
  warnAfterSeconds?: number;
  bound?: BoundObject;
  /** Names this one token. */
  id: string;
}

export function claimsOf(wish: TokenWish, issuer: string): JsonObject {
  const { account, bound } = wish;
  const { name = "", namespace = "", uid = "" } = account.metadata;
  const iat = Math.floor(wish.issuedAtMs / 1_000);
  const warnAfter = wish.warnAfterSeconds;
  return {
    aud: [...wish.audiences],
    exp: iat + wish.lifeSeconds,
    iat,
    iss: issuer,
    jti: wish.id,
    [PRIVATE]: {
      namespace,
      ...(bound ? { [bound.kind.toLowerCase()]: { name: bound.name, uid: bound.uid } } : {}),
      serviceaccount: { name, uid },
      ...(warnAfter === undefined ? {} : { warnafter: iat + warnAfter }),
    },
    nbf: iat,
    sub: `${ACCOUNT_PREFIX}${namespace}:${name}`,
  };
}

export type Find = (
  resource: string,
  namespace: string | undefined,
  name: string,
) => KubeObject | undefined;

/** Who shows these claims; undefined when they hold no longer, or are meant for others. */
export function userOfClaims(
  claims: JsonObject,
  { issuer, nowMs, find }: { issuer: string; nowMs: number; find: Find },
): UserInfo | undefined {
  const now = nowMs / 1_000;
  const { iss, aud, exp, nbf, jti } = claims;
  if (iss !== issuer || !Array.isArray(aud) || !aud.includes(issuer)) return undefined;
  if (typeof exp !== "number" || exp + LEEWAY_SECONDS < now) return undefined;
  if (typeof nbf !== "number" || nbf - LEEWAY_SECONDS > now) return undefined;
  const details = claims[PRIVATE];
  if (!isJsonObject(details) || typeof details.namespace !== "string") return undefined;
  const { namespace } = details;
  const account = refOf(details.serviceaccount);
  if (!account || !isThere(find("serviceaccounts", namespace, account.name), account.uid)) {
    return undefined;
  }
  const extra: Record<string, string[]> = {};
  if (typeof jti === "string") extra["authentication.kubernetes.io/credential-id"] = [`JTI=${jti}`];
  for (const kind of ["pod", "secret", "node"]) {
    if (details[kind] === undefined) continue;
    const bound = refOf(details[kind]);
    const place = kind === "node" ? undefined : namespace;
    if (!bound || !isThere(find(`${kind}s`, place, bound.name), bound.uid)) return undefined;
    extra[`authentication.kubernetes.io/${kind}-name`] = [bound.name];
    extra[`authentication.kubernetes.io/${kind}-uid`] = [bound.uid];
  }
  return {
    username: `${ACCOUNT_PREFIX}${namespace}:${account.name}`,
    uid: account.uid,
    groups: [ACCOUNTS_GROUP, `${ACCOUNTS_GROUP}:${namespace}`],
    extra,
  };
}

function refOf(value: unknown): { name: string; uid: string } | undefined {
  if (!isJsonObject(value)) return undefined;
  const { name, uid } = value;
  return typeof name === "string" && typeof uid === "string" ? { name, uid } : undefined;
}

/** Another object of the same name is not the one that was meant. */
function isThere(object: KubeObject | undefined, uid: string): boolean {
  return object?.metadata.uid === uid;
}
