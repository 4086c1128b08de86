/**
 * Request bodies: read within a bound, then parsed by content type (JSON, YAML, Kubernetes
 * protobuf). Nothing here knows a kind; decoding against a schema is the next step.
 */
import { Lexer, parse as parseYaml, Parser } from "yaml";
import { errorChain } from "../../shared/errors.ts";
import { isJsonObject, type JsonObject } from "../../shared/json/json.ts";
import { badRequest, bodyTooLarge, unsupportedMediaType } from "./errors.ts";
import { decodeProtobuf } from "./schema/decode_protobuf.ts";

/** 3 MiB, as the kube-apiserver: one object of the largest size and what a patch may add. */
export const BODY_BYTES_MAX = 3 * 1024 * 1024;

export const PROTOBUF_CONTENT_TYPE = "application/vnd.kubernetes.protobuf";
const YAML_TYPES = ["application/yaml", "application/x-yaml", "text/yaml"];

export interface ParsedBody {
  value: unknown;
  /** The raw text of a JSON body, for finding duplicate keys. */
  text: string | undefined;
  protobuf: boolean;
}

/** Content type without parameters, lower case; "" when there is none. */
export function contentTypeOf(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
}

export async function readBody(request: Request): Promise<Uint8Array> {
  const declared = Number(request.headers.get("content-length") ?? "0");
  if (declared > BODY_BYTES_MAX) throw bodyTooLarge(BODY_BYTES_MAX);
  if (!request.body) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) throw bodyTooLarge(BODY_BYTES_MAX);
    chunks.push(chunk);
  }
  const out = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** An object body: what creates, updates and options send. */
export function parseObjectBody(bytes: Uint8Array, contentType: string): ParsedBody {
  if (contentType === PROTOBUF_CONTENT_TYPE) {
    return { value: decodeProtobuf(bytes).object, text: undefined, protobuf: true };
  }
  const yaml = YAML_TYPES.includes(contentType);
  if (!yaml && contentType !== "" && contentType !== "application/json") {
    throw unsupportedMediaType(["application/json", "application/yaml", PROTOBUF_CONTENT_TYPE]);
  }
  const text = decodeText(bytes);
  const value = yaml ? parseYamlText(text) : parseJsonText(text);
  if (!isJsonObject(value)) throw badRequest("the body of the request must be one object");
  return { value, text: yaml ? undefined : text, protobuf: false };
}

/** A patch body: JSON, or YAML (of which JSON is a part) for apply. */
export function parsePatchBody(bytes: Uint8Array, yaml: boolean): ParsedBody {
  const text = decodeText(bytes);
  const value = yaml ? parseJsonOrYaml(text) : parseJsonText(text);
  return { value, text: undefined, protobuf: false };
}

/** The body of a DELETE: options, or nothing. */
export function parseOptionsBody(bytes: Uint8Array, contentType: string): JsonObject {
  if (bytes.length === 0) return {};
  const { value } = parseObjectBody(bytes, contentType);
  return isJsonObject(value) ? value : {};
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw badRequest("the body of the request is not valid UTF-8");
  }
}

function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badRequest(`the body of the request is not valid JSON: ${errorChain(error)}`);
  }
}

/** Deeper than any manifest; the parser's time grows with the square of the depth. */
const YAML_DEPTH_MAX = 500;

function checkYamlDepth(text: string): void {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(text)) {
    for (const _ of parser.next(lexeme)) { /* only its depth counts here */ }
    if (parser.stack.length > YAML_DEPTH_MAX) {
      throw new RangeError(`must be nested at most ${YAML_DEPTH_MAX} deep`);
    }
  }
}

function parseYamlText(text: string): unknown {
  try {
    checkYamlDepth(text);
    // 100 aliases: far more than any manifest needs, far fewer than a bomb
    return parseYaml(text, { maxAliasCount: 100 });
  } catch (error) {
    throw badRequest(`the body of the request is not valid YAML: ${errorChain(error)}`);
  }
}

function parseJsonOrYaml(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return parseYamlText(text); // an apply is YAML; JSON is only its commonest form
  }
}
