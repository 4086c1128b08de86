/** What the API server needs from the rest of the cloud. */

/** Reaches the kubelet-shaped HTTP handler of a node (`/containerLogs/{ns}/{pod}/{container}`). */
export interface NodeProxy {
  /** AppError "unavailable" when the node is away. */
  fetch(node: string, request: Request): Promise<Response>;
}

export interface UserInfo {
  username: string;
  groups: string[];
}

/** Says who a request is from; undefined when its credentials are wrong or missing. */
export interface Authenticator {
  /** `clientCertificateSubject` is the verified subject ("O=…, CN=…" parsed), if one was shown. */
  authenticate(
    authorization: string | undefined,
    clientCertificate: { commonName: string; organizations: string[] } | undefined,
  ): Promise<UserInfo | undefined>;
}
