/** The words of `GET /v1/history` as a query, refused by name where they make no sense. Pure. */
import { AppError } from "../../../shared/errors.ts";
import type { HistoryQuery } from "../port.ts";

const KINDS = ["pod_status", "pod_gone", "event", "link", "twin"] as const;
const LIMIT_MAX = 1_000;
const WORDS = ["from", "to", "kind", "subject", "limit", "after"];
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;

export function parseHistoryQuery(params: URLSearchParams): HistoryQuery {
  for (const name of params.keys()) {
    if (!WORDS.includes(name)) {
      throw new AppError("invalid", `Unknown parameter "${name}"; known: ${WORDS.join(", ")}`);
    }
  }
  const fromMs = time(params, "from");
  const toMs = time(params, "to");
  if (fromMs !== undefined && toMs !== undefined && toMs <= fromMs) {
    throw new AppError("invalid", `"to" must be later than "from", got ${params.get("to")}`);
  }
  const kind = kindOf(params.get("kind"));
  const subject = params.get("subject");
  const after = whole(params, "after", Number.MAX_SAFE_INTEGER);
  return {
    limit: whole(params, "limit", LIMIT_MAX) ?? 100,
    ...(fromMs === undefined ? {} : { fromMs }),
    ...(toMs === undefined ? {} : { toMs }),
    ...(kind === undefined ? {} : { kind }),
    ...(subject === null ? {} : { subject }),
    ...(after === undefined ? {} : { after }),
  };
}

function time(params: URLSearchParams, name: string): number | undefined {
  const text = params.get(name);
  if (text === null) return undefined;
  const ms = TIME.test(text) ? Date.parse(text) : NaN;
  if (!Number.isNaN(ms)) return ms;
  throw new AppError(
    "invalid",
    `"${name}" must be an RFC 3339 time such as 2026-01-31T08:00:00Z, got "${text}"`,
  );
}

function whole(params: URLSearchParams, name: string, max: number): number | undefined {
  const text = params.get(name);
  if (text === null) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= (name === "limit" ? 1 : 0) && value <= max) return value;
  const least = name === "limit" ? 1 : 0;
  throw new AppError(
    "invalid",
    `"${name}" must be a number from ${least} to ${max}, got "${text}"`,
  );
}

function kindOf(text: string | null): HistoryQuery["kind"] {
  if (text === null) return undefined;
  const kind = KINDS.find((each) => each === text);
  if (kind !== undefined) return kind;
  throw new AppError("invalid", `"kind" must be one of ${KINDS.join(", ")}, got "${text}"`);
}
