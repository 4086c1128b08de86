/** What every handler is handed: the server's parts, and one request, parsed. */
import type { Clock } from "../../shared/clock.ts";
import type { Random } from "../../shared/random.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { badRequest } from "./errors.ts";
import type { KindInfo } from "./kinds/kind_info.ts";
import { chooseForm, type Form, writeObject } from "./negotiate.ts";
import type { NodeProxy, TokenSigner, UserInfo } from "./port.ts";
import type { ResourcePath } from "./resource_path.ts";
import { decodeJson, type FieldValidation } from "./schema/decode_json.ts";
import type { ParsedBody } from "./body.ts";
import type { ObjectStorage } from "./storage.ts";
import type { ObjectWriter } from "./writer.ts";

export interface ServerParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly storage: ObjectStorage;
  readonly writer: ObjectWriter;
  readonly nodeProxy: NodeProxy;
  /** Without one service accounts have no tokens. */
  readonly tokenSigner?: TokenSigner;
}

export interface ApiRequest {
  readonly request: Request;
  readonly query: URLSearchParams;
  readonly user: UserInfo;
  readonly kind: KindInfo;
  readonly path: ResourcePath;
  readonly form: Form;
}

export type Handler = (parts: ServerParts, request: ApiRequest) => Promise<Response> | Response;

export function newApiRequest(
  request: Request,
  user: UserInfo,
  kind: KindInfo,
  path: ResourcePath,
): ApiRequest {
  const query = new URL(request.url).searchParams;
  const form = chooseForm(request.headers.get("accept"), query.get("includeObject"));
  return { request, query, user, kind, path, form };
}

/** A query parameter that is a boolean: "true", "1" and the bare name are true. */
export function flag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value !== null && value !== "false" && value !== "0";
}

/** A query parameter that is a whole number >= 0; throws 400 otherwise. */
export function wholeNumber(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  if (value === null || value === "") return undefined;
  if (!/^\d{1,15}$/.test(value)) {
    throw badRequest(`invalid value for ${name}: must be a whole number >= 0, got "${value}"`);
  }
  return Number(value);
}

/** True for dryRun=All; throws 400 for anything else but nothing. */
export function dryRunOf(values: readonly string[]): boolean {
  const unknown = values.find((value) => value !== "All");
  if (unknown !== undefined) {
    throw badRequest(`invalid value for dryRun: must be "All", got "${unknown}"`);
  }
  return values.length > 0;
}

const VALIDATIONS: readonly FieldValidation[] = ["Strict", "Warn", "Ignore"];

export function fieldValidationOf(query: URLSearchParams): FieldValidation {
  const value = query.get("fieldValidation");
  if (value === null || value === "") return "Warn";
  const known = VALIDATIONS.find((name) => name === value);
  if (known) return known;
  throw badRequest(
    `invalid value for fieldValidation: must be one of Strict, Warn, Ignore, got "${value}"`,
  );
}

/** A body as an object of `kind`; warnings are collected for the reply. */
export function decodeObject(
  kind: KindInfo,
  body: ParsedBody,
  query: URLSearchParams,
  warnings: string[],
): KubeObject {
  const decoded = decodeJson(kind, body.value, {
    fieldValidation: body.protobuf ? "Ignore" : fieldValidationOf(query),
    ...(body.text === undefined ? {} : { text: body.text }),
  });
  warnings.push(...decoded.warnings);
  const object = decoded.object;
  return object.metadata ? object : { ...object, metadata: {} };
}

/** The object in the form the client asked for. */
export function objectResponse(
  parts: ServerParts,
  { kind, form }: ApiRequest,
  object: KubeObject,
  options: { status?: number; warnings?: readonly string[] } = {},
): Response {
  if (form.as === "object" && !kind.view) {
    return textResponse(parts.storage.texts.of(object), options);
  }
  const body = writeObject(kind, object, form, parts.clock.nowMs());
  return jsonResponse(body, options);
}

export function jsonResponse(
  body: unknown,
  options: { status?: number; warnings?: readonly string[] } = {},
): Response {
  return textResponse(JSON.stringify(body), options);
}

function textResponse(
  text: string,
  options: { status?: number; warnings?: readonly string[] },
): Response {
  const headers = new Headers({ "content-type": "application/json" });
  for (const warning of options.warnings ?? []) {
    headers.append("warning", `299 - "${quotedString(warning)}"`);
  }
  return new Response(text + "\n", { status: options.status ?? 200, headers });
}

/** Header text: quotes and backslashes escaped, everything outside printable ASCII replaced. */
function quotedString(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").replace(/["\\]/g, "\\$&");
}
