/**
 * A node that keeps to no rules: it speaks to the hub in bytes, over the same TLS and HTTP/2 as a
 * real one, so that a test can send what the client library would refuse to send.
 */
import { fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import * as http2 from "node:http2";
import type { IdentityFiles } from "../../../edge/link/port.ts";
import {
  SessionRequestSchema,
  type SessionResponse,
  SessionResponseSchema,
} from "../../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { HUB_SERVER_NAME } from "../../../shared/wire/x509.ts";

export const SESSION_PATH = "/skerry.hub.v1.HubService/Session";
const HEAD_BYTES = 5;
/** Flags of an envelope, as the Connect protocol has them. */
export const PLAIN = 0;
export const COMPRESSED = 1;
const END_OF_STREAM = 2;

/** What the hub said at the end of the call; `code` is Connect's, none when all was well. */
export interface CallEnd {
  code?: string;
  message?: string;
}

type Sent = NonNullable<MessageInitShape<typeof SessionRequestSchema>["message"]>;

/** An envelope around `body`; `length` is what it claims. */
export function envelope(flags: number, body: Uint8Array, length = body.length): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, flags);
  view.setUint32(1, length);
  bytes.set(body, HEAD_BYTES);
  return bytes;
}

export function encodeRequest(message: Sent): Uint8Array<ArrayBuffer> {
  return new Uint8Array(toBinary(SessionRequestSchema, create(SessionRequestSchema, { message })));
}

/** One session call of a node. */
export class RawNode implements Disposable {
  readonly received: SessionResponse["message"][] = [];
  readonly end: Promise<CallEnd>;
  readonly #session: http2.ClientHttp2Session;
  readonly #stream: http2.ClientHttp2Stream;
  #buffer = new Uint8Array();

  constructor(address: string, identity: IdentityFiles) {
    this.#session = http2.connect(`https://${address}`, {
      ca: identity.authority,
      cert: identity.certificate,
      key: identity.privateKey,
      servername: HUB_SERVER_NAME,
    });
    this.#session.on("error", () => {}); // the end of the call tells
    this.#stream = this.#session.request({
      ":method": "POST",
      ":path": SESSION_PATH,
      "content-type": "application/connect+proto",
      "connect-content-encoding": "gzip",
      "connect-accept-encoding": "identity",
    });
    const { promise, resolve } = Promise.withResolvers<CallEnd>();
    this.end = promise;
    this.#stream.on("data", (chunk: Uint8Array) => this.#read(chunk, resolve));
    this.#stream.on("error", (error: Error) => resolve({ code: "cut", message: error.message }));
    this.#stream.on("close", () => resolve({ code: "cut", message: "closed without a word" }));
  }

  send(message: Sent): void {
    this.sendBytes(envelope(PLAIN, encodeRequest(message)));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#stream.write(bytes);
  }

  hello(instanceId: string, sessionNumber: bigint): void {
    this.send({
      case: "hello",
      value: { protocolVersion: 1, instanceId, sessionNumber, digest: "none" },
    });
  }

  count(name: SessionResponse["message"]["case"]): number {
    return this.received.filter((message) => message.case === name).length;
  }

  [Symbol.dispose](): void {
    this.#stream.close();
    this.#session.destroy();
  }

  #read(chunk: Uint8Array, onEnd: (end: CallEnd) => void): void {
    const joined = new Uint8Array(this.#buffer.length + chunk.length);
    joined.set(this.#buffer);
    joined.set(chunk, this.#buffer.length);
    this.#buffer = joined;
    while (this.#buffer.length >= HEAD_BYTES) {
      const view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset);
      const size = view.getUint32(1);
      if (this.#buffer.length < HEAD_BYTES + size) return;
      const body = this.#buffer.slice(HEAD_BYTES, HEAD_BYTES + size);
      const flags = view.getUint8(0);
      this.#buffer = this.#buffer.slice(HEAD_BYTES + size);
      if (flags & END_OF_STREAM) {
        onEnd(JSON.parse(new TextDecoder().decode(body)).error ?? {});
      } else this.received.push(fromBinary(SessionResponseSchema, body).message);
    }
  }
}
