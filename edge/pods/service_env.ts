/**
 * The variables by which clients in containers find the Kubernetes API. There is no cluster network
 * at the edge that would lead to it: they are set only where the operator has said an address that
 * pods can reach. Variables of other services are never set, for the same reason. Pure.
 */
import { parseAddress } from "../../shared/config.ts";

/** As kubelet names them for the service `kubernetes`; nothing for no address. */
export function apiVariables(address: string): [name: string, value: string][] {
  if (address === "") return [];
  const { hostname, port } = parseAddress(address);
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  const url = `tcp://${host}:${port}`;
  const named = `KUBERNETES_PORT_${port}_TCP`;
  return [
    ["KUBERNETES_SERVICE_HOST", hostname],
    ["KUBERNETES_SERVICE_PORT", String(port)],
    ["KUBERNETES_SERVICE_PORT_HTTPS", String(port)],
    ["KUBERNETES_PORT", url],
    [named, url],
    [`${named}_PROTO`, "tcp"],
    [`${named}_PORT`, String(port)],
    [`${named}_ADDR`, hostname],
  ];
}
