/**
 * Protobuf bodies (application/vnd.kubernetes.protobuf, what kubectl >= 1.32 sends for typed
 * creates) into the JSON form of the object. Writers encode zero values of plain fields, so a zero
 * is kept only where the schema says it means something; unknown field numbers come from newer
 * clients and are skipped.
 */
import { isJsonObject, type JsonObject, setOwn } from "../../../shared/json/json.ts";
import { badRequest } from "./bad_request.ts";
import {
  type FieldSchema,
  isLeafType,
  messageNamed,
  messageOfKind,
  type MessageSchema,
} from "./message_table.ts";
import { readFields, readPacked, readText, type WireValue } from "./wire_reader.ts";

export const PROTOBUF_CONTENT_TYPE = "application/vnd.kubernetes.protobuf";

export interface DecodedProtobuf {
  apiVersion: string;
  kind: string;
  /** JSON form, with apiVersion and kind set. DeleteOptions, Eviction … have no metadata. */
  object: JsonObject;
}

/** "k8s" and NUL. */
const MAGIC = [0x6b, 0x38, 0x73, 0x00];

/** Throws AppError "invalid" with `facts.reason` "BadRequest" (HTTP 400). */
export function decodeProtobuf(bytes: Uint8Array): DecodedProtobuf {
  if (!MAGIC.every((byte, index) => bytes[index] === byte)) {
    throw badRequest("Cannot read protobuf body: it must begin with the bytes 6b 38 73 00");
  }
  const envelope = readEnvelope(bytes.subarray(MAGIC.length));
  const { apiVersion, kind } = envelope;
  if (envelope.contentEncoding !== "") {
    throw badRequest(
      `Cannot read protobuf body: content encoding ${envelope.contentEncoding} is not known`,
    );
  }
  const schema = messageOfKind(apiVersion, kind);
  if (!schema) {
    throw badRequest(`no kind "${kind}" is registered for version "${apiVersion}"`);
  }
  return { apiVersion, kind, object: { apiVersion, kind, ...readMessage(schema, envelope.raw) } };
}

interface Envelope {
  apiVersion: string;
  kind: string;
  raw: Uint8Array;
  contentEncoding: string;
}

function readEnvelope(bytes: Uint8Array): Envelope {
  const envelope: Envelope = {
    apiVersion: "",
    kind: "",
    raw: new Uint8Array(),
    contentEncoding: "",
  };
  for (const { number, value } of readFields(bytes)) {
    if (value.kind !== "bytes") continue;
    if (number === 1) {
      for (const part of readFields(value.value)) {
        if (part.value.kind !== "bytes") continue;
        if (part.number === 1) envelope.apiVersion = readText(part.value.value);
        if (part.number === 2) envelope.kind = readText(part.value.value);
      }
    } else if (number === 2) envelope.raw = value.value;
    else if (number === 3) envelope.contentEncoding = readText(value.value);
  }
  return envelope;
}

function readMessage(schema: MessageSchema, bytes: Uint8Array): JsonObject {
  const result: JsonObject = {};
  for (const { number, value } of readFields(bytes)) {
    const field = schema.byNumber.get(number);
    if (!field) continue;
    if (field.inline) Object.assign(result, readMessage(messageNamed(field.type), bytesOf(value)));
    else if (field.shape === "list") addToList(result, field, value);
    else if (field.shape === "map") addToMap(result, field, value);
    else {
      const item = readValue(field, value);
      if (item !== undefined) result[field.name] = item;
    }
  }
  return result;
}

function addToList(result: JsonObject, field: FieldSchema, value: WireValue): void {
  const found = result[field.name];
  const list: unknown[] = Array.isArray(found) ? found : [];
  result[field.name] = list;
  const scalarNumber = field.type === "int32" || field.type === "int64" || field.type === "bool";
  if (value.kind === "bytes" && scalarNumber) {
    for (const item of readPacked(value.value)) {
      list.push(readValue(field, { kind: "varint", value: item }, true));
    }
    return;
  }
  list.push(readValue(field, value, true) ?? zeroText(field));
}

/** A map entry is a message {key 1, value 2}; a missing value is the zero value. */
function addToMap(result: JsonObject, field: FieldSchema, value: WireValue): void {
  const found = result[field.name];
  const map: JsonObject = isJsonObject(found) ? found : {};
  result[field.name] = map;
  let key = "";
  let item: unknown = isLeafType(field.type) ? zeroText(field) : {};
  for (const part of readFields(bytesOf(value))) {
    if (part.number === 1) key = readText(bytesOf(part.value));
    if (part.number === 2) item = readValue(field, part.value, true) ?? item;
  }
  setOwn(map, key, item);
}

function zeroText(field: FieldSchema): unknown {
  return field.type === "Quantity" ? "0" : "";
}

/** The JSON value; undefined where a zero stands for "not set". */
function readValue(field: FieldSchema, value: WireValue, keepZero = field.keepZero): unknown {
  switch (field.type) {
    case "string":
      return readText(bytesOf(value)) || undefined;
    case "bytes":
      return toBase64(bytesOf(value)) || undefined;
    case "bool":
      return keepZero || varintOf(value) !== 0n ? varintOf(value) !== 0n : undefined;
    case "int32":
    case "int64": {
      const number = Number(BigInt.asIntN(64, varintOf(value)));
      return keepZero || number !== 0 ? number : undefined;
    }
    case "Quantity":
      return stringAt(bytesOf(value), 1) || undefined;
    case "Time":
      return readTime(bytesOf(value), 0);
    case "MicroTime":
      return readTime(bytesOf(value), 6);
    case "IntOrString":
      return readIntOrString(bytesOf(value), keepZero);
    case "FieldsV1":
      return readFieldsV1(bytesOf(value));
    case "any":
    case "double": // in no message that has a protobuf form
      return undefined;
    default:
      return readMessage(messageNamed(field.type), bytesOf(value));
  }
}

function bytesOf(value: WireValue): Uint8Array {
  if (value.kind === "bytes") return value.value;
  throw badRequest("Cannot read protobuf body: a field has the wrong wire type");
}

function varintOf(value: WireValue): bigint {
  if (value.kind === "varint") return value.value;
  throw badRequest("Cannot read protobuf body: a field has the wrong wire type");
}

function stringAt(bytes: Uint8Array, number: number): string {
  let text = "";
  for (const field of readFields(bytes)) {
    if (field.number === number) text = readText(bytesOf(field.value));
  }
  return text;
}

function varintsAt(bytes: Uint8Array, number: number): bigint {
  let value = 0n;
  for (const field of readFields(bytes)) {
    if (field.number === number) value = BigInt.asIntN(64, varintOf(field.value));
  }
  return value;
}

/** Zero and empty both mean "not set". */
function readTime(bytes: Uint8Array, digits: number): string | undefined {
  const seconds = Number(varintsAt(bytes, 1));
  const nanos = Number(varintsAt(bytes, 2));
  // 253402300799 s is the end of the year 9999: later is no RFC 3339 time
  if (Math.abs(seconds) > 253_402_300_799) throw badRequest("Cannot read protobuf body: bad time");
  if (seconds === 0 && nanos === 0) return undefined;
  const text = new Date(seconds * 1000).toISOString().slice(0, 19);
  if (digits === 0) return `${text}Z`;
  return `${text}.${String(nanos).padStart(9, "0").slice(0, digits)}Z`;
}

function readIntOrString(bytes: Uint8Array, keepZero: boolean): number | string | undefined {
  if (varintsAt(bytes, 1) === 1n) return stringAt(bytes, 3) || undefined;
  const number = Number(varintsAt(bytes, 2));
  return keepZero || number !== 0 ? number : undefined;
}

function readFieldsV1(bytes: Uint8Array): unknown {
  const text = stringAt(bytes, 1);
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw badRequest("Cannot read protobuf body: managedFields hold text that is not JSON");
  }
}

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  // 8 KiB: String.fromCharCode takes its bytes as arguments, and their number is limited
  for (let start = 0; start < bytes.length; start += 8_192) {
    binary += String.fromCharCode(...bytes.subarray(start, start + 8_192));
  }
  return btoa(binary);
}
