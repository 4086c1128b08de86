/** Kubeconfig texts of the embedded API. */
import { stringify } from "yaml";

export interface KubeconfigFacts {
  /** https://HOST:PORT */
  server: string;
  /** PEM */
  caCertificate: string;
  token: string;
}

export function formatKubeconfig({ server, caCertificate, token }: KubeconfigFacts): string {
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "skerry",
    clusters: [{
      name: "skerry",
      cluster: { server, "certificate-authority-data": btoa(caCertificate) },
    }],
    users: [{ name: "skerry-admin", user: { token } }],
    contexts: [{ name: "skerry", context: { cluster: "skerry", user: "skerry-admin" } }],
    preferences: {},
  });
}
