/** Service accounts over the storage: who shows a token, and what a new pod is given. */
import type { KubeObject, Pod } from "../../../shared/k8s/types.ts";
import { nameSuffix, type Random } from "../../../shared/random.ts";
import type { ServerParts } from "../context.ts";
import { POD } from "../kinds/pod.ts";

import type { UserInfo } from "../port.ts";
import type { ObjectStorage } from "../storage.ts";
import type { Admission } from "../writer.ts";
import { admitPod } from "./admit_pod.ts";
import { userOfClaims } from "./token_claims.ts";

const ACCOUNTS = { group: "", resource: "serviceaccounts" };

export function admissionOf(storage: ObjectStorage, random: Random): Admission {
  return (kind, object): KubeObject => {
    if (kind !== POD) return object;
    const { namespace } = object.metadata;
    const account = (name: string) => storage.get(ACCOUNTS, namespace, name);
    return admitPod(object as Pod, account, () => nameSuffix(random)); // stored under pods
  };
}

/** The account whose token stands in the header, if it is a token of ours that still holds. */
export function serviceAccountOf(
  { tokenSigner, storage, clock }: Pick<ServerParts, "tokenSigner" | "storage" | "clock">,
  authorization: string | undefined,
): UserInfo | undefined {
  const token = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
  const claims = token && tokenSigner?.verify(token);
  if (!claims || !tokenSigner) return undefined;
  return userOfClaims(claims, {
    issuer: tokenSigner.issuer,
    nowMs: clock.nowMs(),
    find: (resource, namespace, name) => storage.get({ group: "", resource }, namespace, name),
  });
}
