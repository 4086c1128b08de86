/**
 * Runtime endpoints as Kubernetes writes them: `unix:///run/containerd/containerd.sock`. Only
 * absolute Unix sockets are accepted: there is no CRI runtime on Linux that listens on anything
 * else.
 */
import { AppError } from "../../shared/errors.ts";

const SCHEME = "unix://";

/** The longest path `struct sockaddr_un` carries on Linux (108 bytes with the closing NUL). */
const SOCKET_PATH_BYTES_MAX = 107;

/** The socket path in `endpoint`; throws "invalid", naming the endpoint, for anything else. */
export function parseRuntimeEndpoint(endpoint: string): string {
  const path = endpoint.startsWith(SCHEME) ? endpoint.slice(SCHEME.length) : "";
  if (!path.startsWith("/") || path.endsWith("/")) {
    throw new AppError(
      "invalid",
      `Cannot use runtime endpoint: must be unix:///absolute/path/to.sock, got "${endpoint}"`,
      { endpoint },
    );
  }
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    throw new AppError(
      "invalid",
      `Cannot use runtime endpoint ${endpoint}: ` +
        `socket path must be <= ${SOCKET_PATH_BYTES_MAX} bytes, got ${bytes}`,
      { endpoint },
    );
  }
  return path;
}
