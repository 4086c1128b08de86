/** The connection to a runtime: gRPC's to its Unix socket. */
import { UNIX_AUTHORITY, UnixSessions } from "../../shared/wire/unix_sessions.ts";

export const AUTHORITY = UNIX_AUTHORITY;

export class RuntimeSessions extends UnixSessions {}
