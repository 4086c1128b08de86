/** The version both programs carry. */
export const VERSION = "0.1.0";

/** The Kubernetes release whose API and kubelet conventions are followed. */
export const KUBERNETES_VERSION = "v1.33.0";
