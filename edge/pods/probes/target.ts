/**
 * Where a probe or hook goes: ports by name, hosts and URLs as kubelet makes them. Pure; what names
 * no port or nothing at all is an AppError.
 */
import { AppError } from "../../../shared/errors.ts";
import type { Container, HttpGetAction, Probe } from "../../../shared/k8s/types.ts";
import { expand } from "../env.ts";

export interface HttpTarget {
  kind: "http";
  url: URL;
  /** The URL as kubelet prints it, with its port. */
  shown: string;
  headers: Record<string, string>;
}

export type ProbeTarget =
  | { kind: "exec"; command: string[] }
  | HttpTarget
  | { kind: "tcp"; host: string; port: number }
  | { kind: "grpc"; host: string; port: number; service: string };

export function probeTarget(
  probe: Probe,
  container: Container,
  podIp: string,
  userAgent: string,
): ProbeTarget {
  if (probe.exec) return { kind: "exec", command: execCommand(probe.exec.command, container) };
  if (probe.httpGet) return httpTarget(probe.httpGet, container, podIp, userAgent);
  if (probe.tcpSocket) {
    const { host, port } = probe.tcpSocket;
    return { kind: "tcp", host: host || needIp(podIp), port: portNumber(port, container) };
  }
  if (probe.grpc) {
    const { port, service = "" } = probe.grpc;
    return { kind: "grpc", host: needIp(podIp), port: portNumber(port, container), service };
  }
  throw new AppError("invalid", `missing probe handler for container ${container.name}`);
}

/** Words of a command, with `$(VAR)` of the container's plain values put in. */
export function execCommand(command: string[] | undefined, container: Container): string[] {
  const env = new Map<string, string>();
  for (const { name, value } of container.env ?? []) {
    if (value !== undefined) env.set(name, expand(value, env));
  }
  return (command ?? []).map((word) => expand(String(word), env));
}

export function httpTarget(
  action: HttpGetAction,
  container: Container,
  podIp: string,
  userAgent: string,
): HttpTarget {
  const scheme = (action.scheme || "HTTP").toLowerCase();
  if (scheme !== "http" && scheme !== "https") {
    throw new AppError("invalid", `httpGet scheme must be HTTP or HTTPS, got ${action.scheme}`);
  }
  const host = action.host || needIp(podIp);
  const port = portNumber(action.port, container);
  const path = action.path || "/";
  const slash = path.startsWith("/") ? "" : "/";
  const shown = `${scheme}://${joinHostPort(host, port)}${slash}${path}`;
  const url = URL.parse(shown);
  if (!url) throw new AppError("invalid", `httpGet names no URL: ${shown}`);
  const headers: Record<string, string> = { "user-agent": userAgent, accept: "*/*" };
  for (const { name, value } of action.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  // An empty value asks for the header to be left out.
  for (const name of ["user-agent", "accept"]) if (headers[name] === "") delete headers[name];
  return { kind: "http", url, shown, headers };
}

function needIp(podIp: string): string {
  if (podIp) return podIp;
  throw new AppError("not_found", "the pod has no address yet");
}

export function portNumber(port: number | string, container: Container): number {
  const number = typeof port === "number" || /^\d+$/.test(port)
    ? Number(port)
    : container.ports?.find((p) => p.name === port)?.containerPort;
  if (number === undefined) throw new AppError("invalid", `couldn't find port: ${port}`);
  if (number > 0 && number < 65_536) return number;
  throw new AppError("invalid", `invalid port number: ${number}`);
}

/** `host:port` as Go prints it. */
export function joinHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
