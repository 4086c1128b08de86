/** What the API server needs from the rest of the cloud. */
import type { JsonObject } from "../../shared/json/json.ts";

/** Reaches the kubelet-shaped HTTP handler of a node (`/containerLogs/{ns}/{pod}/{container}`). */
export interface NodeProxy {
  /** AppError "unavailable" when the node is away. */
  fetch(node: string, request: Request): Promise<Response>;
}

export interface UserInfo {
  username: string;
  groups: string[];
  uid?: string;
  extra?: Record<string, string[]>;
}

/** Signs the tokens of service accounts and knows its own; pki/ has the key. */
export interface TokenSigner {
  readonly issuer: string;
  /** Public keys as a JWKS holds them. */
  readonly keys: readonly JsonObject[];
  sign(claims: JsonObject): string;
  /** The claims of a token that was signed here; when it ends is for the caller to judge. */
  verify(token: string): JsonObject | undefined;
}

/** Says who a request is from; undefined when its credentials are wrong or missing. */
export interface Authenticator {
  /** `clientCertificateSubject` is the verified subject ("O=…, CN=…" parsed), if one was shown. */
  authenticate(
    authorization: string | undefined,
    clientCertificate: { commonName: string; organizations: string[] } | undefined,
  ): Promise<UserInfo | undefined>;
}
