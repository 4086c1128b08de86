/**
 * One call of `grpc.health.v1.Health/Check` over cleartext HTTP/2. The two messages have one field
 * each (`string service = 1`, `ServingStatus status = 1`), so they are written and read here.
 */
import http2 from "node:http2";
import { KUBERNETES_VERSION } from "../../../shared/version.ts";
import type { CheckAnswer } from "./network_checks.ts";
import { joinHostPort } from "./target.ts";

const STATUS_NAMES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING = 1;
const UNIMPLEMENTED = "12";
/** The answer is a few bytes; more is no health service. */
const ANSWER_BYTES_MAX = 4096;

interface Reply {
  grpcStatus: string;
  grpcMessage: string;
  httpStatus: number;
  body: Uint8Array;
}

export async function checkGrpc(
  target: { host: string; port: number; service: string },
  signal: AbortSignal,
): Promise<CheckAnswer> {
  const place = joinHostPort(target.host, target.port);
  const session = http2.connect(`http://${place}`);
  const onAbort = () => session.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return judge(await call(session, target.service));
  } catch (error) {
    signal.throwIfAborted();
    const why = error instanceof Error ? error.message : String(error);
    return { ok: false, message: `error: health rpc probe failed: ${why}` };
  } finally {
    signal.removeEventListener("abort", onAbort);
    session.destroy();
  }
}

function judge(reply: Reply): CheckAnswer {
  if (reply.grpcStatus === UNIMPLEMENTED || reply.httpStatus === 404) {
    const message = "error: this server does not implement the grpc health protocol " +
      `(grpc.health.v1.Health): ${reply.grpcMessage}`;
    return { ok: false, message };
  }
  if (reply.grpcStatus !== "0") {
    const why = reply.grpcMessage || `status ${reply.grpcStatus || reply.httpStatus}`;
    return { ok: false, message: `error: health rpc probe failed: ${why}` };
  }
  const status = servingStatus(reply.body);
  if (status === SERVING) return { ok: true, message: "" };
  const name = STATUS_NAMES[status] ?? String(status);
  return { ok: false, message: `service unhealthy (responded with "${name}")` };
}

function call(session: http2.ClientHttp2Session, service: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    session.on("error", reject);
    session.on("close", () => reject(new Error("connection closed before the answer")));
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      "user-agent": `kube-probe/${KUBERNETES_VERSION.replace(/^v(\d+\.\d+).*/, "$1")}`,
      te: "trailers",
    });
    const reply: Reply = { grpcStatus: "", grpcMessage: "", httpStatus: 0, body: new Uint8Array() };
    const take = (headers: http2.IncomingHttpHeaders) => {
      const status = headers["grpc-status"];
      if (typeof status === "string") reply.grpcStatus = status;
      const message = headers["grpc-message"];
      if (typeof message === "string") reply.grpcMessage = unescape(message);
    };
    stream.on("response", (headers) => {
      reply.httpStatus = Number(headers[":status"] ?? 0);
      take(headers);
    });
    stream.on("trailers", take);
    stream.on("data", (chunk: Uint8Array) => {
      if (reply.body.length + chunk.length > ANSWER_BYTES_MAX) {
        reject(new Error("the answer is too long for a health check"));
        return;
      }
      const body = new Uint8Array(reply.body.length + chunk.length);
      body.set(reply.body);
      body.set(chunk, reply.body.length);
      reply.body = body;
    });
    stream.on("end", () => resolve(reply));
    stream.on("error", reject);
    stream.end(request(service));
  });
}

/** HealthCheckRequest in a gRPC frame: uncompressed, length, then field 1 unless it is empty. */
function request(service: string): Uint8Array {
  const name = new TextEncoder().encode(service);
  const message = name.length === 0 ? [] : [0x0a, ...varint(name.length), ...name];
  const frame = new Uint8Array(5 + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, 5);
  return frame;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let left = value; left > 0; left = Math.floor(left / 128)) {
    bytes.push(left % 128 + (left >= 128 ? 128 : 0));
  }
  return bytes;
}

/** Field 1 of HealthCheckResponse; 0 (UNKNOWN) when it is not there. */
function servingStatus(body: Uint8Array): number {
  return body[5] === 0x08 ? body[6] ?? 0 : 0;
}

function unescape(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    // Not escaped as gRPC has it: shown as it is.
    return message;
  }
}
