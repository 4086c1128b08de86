/**
 * Tokens for the pods of a node, made here and sent down with them. One token is a function of the
 * pod, the account, the reader and the moment it was issued at, its `id` included, so that a cloud
 * that starts anew says the same again.
 */
import { createHash } from "node:crypto";
import type { KubeObject, Pod } from "../../../shared/k8s/types.ts";
import type { TokenSigner } from "../port.ts";
import { API_ACCESS_SECONDS } from "./admit_pod.ts";
import { claimsOf } from "./token_claims.ts";

/** As Kubernetes does for the volume it adds itself: programs that read their token only once. */
const EXTENDED_SECONDS = 365 * 86_400;

export class PodTokenIssuer {
  readonly #signer: TokenSigner;

  constructor(signer: TokenSigner) {
    this.#signer = signer;
  }

  /** How long a token is good that a pod asks for with these words. */
  lifeSeconds(audience: string, expirationSeconds: number): number {
    return this.#isExtended(audience, expirationSeconds) ? EXTENDED_SECONDS : expirationSeconds;
  }

  issue(
    pod: Pod,
    account: KubeObject,
    { audience, expirationSeconds }: { audience: string; expirationSeconds: number },
    issuedAtMs: number,
  ): string {
    const { issuer } = this.#signer;
    const { name = "", uid = "" } = pod.metadata;
    const print = [uid, account.metadata.uid, audience, expirationSeconds, issuedAtMs].join();
    const id = createHash("sha256").update(print).digest("hex").slice(0, 32);
    const wish = {
      account,
      audiences: [audience || issuer],
      issuedAtMs,
      lifeSeconds: this.lifeSeconds(audience, expirationSeconds),
      ...(this.#isExtended(audience, expirationSeconds)
        ? { warnAfterSeconds: expirationSeconds }
        : {}),
      bound: { kind: "Pod" as const, name, uid },
      id: id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"),
    };
    return this.#signer.sign(claimsOf(wish, issuer));
  }

  #isExtended(audience: string, expirationSeconds: number): boolean {
    const isForApi = audience === "" || audience === this.#signer.issuer;
    return isForApi && expirationSeconds === API_ACCESS_SECONDS;
  }
}
