/**
 * The connection to a runtime: gRPC's to its Unix socket. Every request says the plain content type
 * of gRPC: CRI-O tells gRPC from what else comes to its socket by exactly that, and closes the
 * connection on "application/grpc+proto", which means the same.
 */
import { UNIX_AUTHORITY, UnixSessions } from "../../shared/wire/unix_sessions.ts";

export const AUTHORITY = UNIX_AUTHORITY;

const CONTENT_TYPE = "application/grpc";

type Request = UnixSessions["request"];

export class RuntimeSessions extends UnixSessions {
  override request(...[method, path, headers, options]: Parameters<Request>): ReturnType<Request> {
    return super.request(method, path, { ...headers, "content-type": CONTENT_TYPE }, options);
  }
}
