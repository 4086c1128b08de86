/** What people and programs send about devices, parsed; every fault is named. */
import { AppError } from "../../../shared/errors.ts";
import { parseDurationMs } from "../../../shared/cli/duration.ts";
import type {
  Aggregate,
  DeviceReport,
  HistoryPoint,
  HistoryQuestion,
  ReportedValue,
} from "../../twins/port.ts";

/** A value has 64 KiB; in JSON each of its bytes may take six. A report may have many. */
export const BODY_BYTES_MAX = 1024 * 1024;
const PROPERTIES_MAX = 1_000;
const AGGREGATES: readonly Aggregate[] = ["min", "max", "avg", "last", "count"];
const KINDS: readonly HistoryPoint["kind"][] = [
  "reported",
  "desired",
  "state",
  "added",
  "removed",
];

export async function readBody(request: Request): Promise<Record<string, unknown>> {
  const length = Number(request.headers.get("content-length") ?? "0");
  if (length > BODY_BYTES_MAX) throw tooLong();
  const bytes = await readBounded(request);
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new AppError("invalid", "Cannot read the request: its body is not JSON", {}, { cause });
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new AppError("invalid", "Cannot read the request: its body must be a JSON object");
  }
  return { ...body };
}

async function readBounded(request: Request): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) throw tooLong();
    chunks.push(chunk);
  }
  if (chunks.length === 1) return chunks[0]!;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function tooLong(): AppError {
  return new AppError(
    "invalid",
    `Cannot read the request: its body must be <= ${BODY_BYTES_MAX} bytes`,
  );
}

/** A value as text: numbers and truth as JSON writes them, structures as JSON. */
export function toValue(value: unknown, what: string): string {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
      throw wrong(what, "a text where a whole number has more than 15 digits", value);
    }
    return String(value);
  }
  if (typeof value === "object" && value !== null) return JSON.stringify(value);
  throw wrong(what, "a text, a number, true or false", value);
}

export function toReport(body: Record<string, unknown>): DeviceReport {
  const { reported, timestamp, partial } = body;
  if (typeof reported !== "object" || reported === null || Array.isArray(reported)) {
    throw wrong("reported", "an object of properties", reported);
  }
  const entries = Object.entries(reported);
  if (entries.length > PROPERTIES_MAX) {
    throw wrong("reported", `of at most ${PROPERTIES_MAX} properties`, entries.length);
  }
  return {
    twins: Object.fromEntries(
      entries.map(([property, value]) => [property, toReported(value, `reported.${property}`)]),
    ),
    ...toTimestamp(timestamp),
    ...(partial === true ? { partial } : {}),
  };
}

export function toTimestamp(timestamp: unknown): { timestampMs?: number } {
  if (timestamp === undefined) return {};
  const ms = typeof timestamp === "string" ? Date.parse(timestamp) : timestamp;
  if (typeof ms !== "number" || !Number.isFinite(ms)) {
    throw wrong("timestamp", "RFC 3339, or milliseconds since 1970", timestamp);
  }
  return { timestampMs: ms };
}

/** A bare value, or `{"value", "metadata", "version"}`. */
export function toReported(value: unknown, what: string): ReportedValue {
  const isWhole = typeof value === "object" && value !== null && "value" in value;
  if (!isWhole) return { value: toValue(value, what) };
  const { value: inner, metadata, version } = value as Record<string, unknown>; // shown above
  if (version !== undefined && !Number.isSafeInteger(version)) {
    throw wrong(`${what}.version`, "a whole number", version);
  }
  return {
    value: toValue(inner, `${what}.value`),
    ...(metadata === undefined ? {} : { metadata: toMetadata(metadata, `${what}.metadata`) }),
    ...(typeof version === "number" ? { version } : {}),
  };
}

function toMetadata(value: unknown, what: string): Record<string, string> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(what, "an object of texts", value);
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, text]) => [key, toValue(text, `${what}.${key}`)]),
  );
}

export function toVersion(version: unknown): { version?: number } {
  if (version === undefined) return {};
  if (!Number.isSafeInteger(version)) throw wrong("version", "a whole number", version);
  return { version: Number(version) };
}

export function toQuestion(query: URLSearchParams): HistoryQuestion {
  const text = (name: string) => query.get(name) ?? undefined;
  const aggregates = text("aggregate")?.split(",").map((word) => {
    const aggregate = AGGREGATES.find((known) => known === word.trim());
    if (!aggregate) throw wrong("aggregate", `of ${AGGREGATES.join(", ")}`, word);
    return aggregate;
  });
  const kind = text("kind");
  const known = KINDS.find((each) => each === kind);
  if (kind !== undefined && !known) throw wrong("kind", `one of ${KINDS.join(", ")}`, kind);
  const step = text("step");
  if (aggregates && step === undefined) {
    throw new AppError("invalid", "Cannot read the request: aggregate needs a step");
  }
  return {
    ...optional("property", text("property")),
    ...optional("kind", known),
    ...optional("fromMs", toTimeMs("from", text("from"))),
    ...optional("toMs", toTimeMs("to", text("to"))),
    ...optional("stepMs", toStepMs(step)),
    ...optional("aggregates", aggregates),
    ...optional("after", toCount("after", text("after"))),
    ...optional("limit", toCount("limit", text("limit"))),
  };
}

export function toTimeMs(what: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = Date.parse(text);
  if (!/^\d{4}-\d\d-\d\dT/.test(text) || Number.isNaN(ms)) {
    throw wrong(what, "a time in RFC 3339, as 2026-01-31T12:00:00Z", text);
  }
  return ms;
}

export function toCount(what: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count)) {
    throw wrong(what, "a whole number", text);
  }
  return count;
}

/** "10s", "5m", "1h", or seconds. */
function toStepMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : parseDurationMs(text, "step");
  if (!ms || !Number.isFinite(ms) || ms < 1) {
    throw wrong("step", "a time above zero, as 10s, 5m or 1h", text);
  }
  return ms;
}

function optional<K extends string, T>(key: K, value: T | undefined): { [P in K]?: T } {
  return value === undefined ? {} : { [key]: value } as { [P in K]?: T }; // its one key
}

function wrong(what: string, want: string, got: unknown): AppError {
  const shown = JSON.stringify(got)?.slice(0, 80) ?? "nothing";
  return new AppError(
    "invalid",
    `Cannot read the request: ${what} must be ${want}, got ${shown}`,
  );
}
