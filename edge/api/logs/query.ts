/** PodLogOptions as they stand in a query string, the same for kubectl and for the kubelet API. */
import { AppError } from "../../../shared/errors.ts";
import type { LogOptions } from "./read_log.ts";

export interface LogQuery {
  container?: string;
  previous: boolean;
  options: LogOptions;
}

/** Errors are "invalid" and name the parameter. */
export function parseLogQuery(params: URLSearchParams, nowMs: number): LogQuery {
  const tailLines = wholeParam(params, "tailLines", 0);
  const limitBytes = wholeParam(params, "limitBytes", 1);
  const sinceMs = since(params, nowMs);
  const stream = streamParam(params);
  const container = params.get("container") || undefined;
  return {
    ...(container === undefined ? {} : { container }),
    previous: flagParam(params, "previous"),
    options: {
      follow: flagParam(params, "follow"),
      timestamps: flagParam(params, "timestamps"),
      ...(tailLines === undefined ? {} : { tailLines }),
      ...(limitBytes === undefined ? {} : { limitBytes }),
      ...(sinceMs === undefined ? {} : { sinceMs }),
      ...(stream === undefined ? {} : { stream }),
    },
  };
}

function since(params: URLSearchParams, nowMs: number): number | undefined {
  const seconds = wholeParam(params, "sinceSeconds", 1);
  const time = params.get("sinceTime");
  const timeMs = time === null ? undefined : Date.parse(time);
  if (timeMs !== undefined && Number.isNaN(timeMs)) {
    throw bad("sinceTime", "an RFC 3339 time", time);
  }
  const secondsMs = seconds === undefined ? undefined : nowMs - seconds * 1_000;
  if (timeMs === undefined || secondsMs === undefined) return timeMs ?? secondsMs;
  return Math.max(timeMs, secondsMs);
}

function wholeParam(params: URLSearchParams, name: string, min: number): number | undefined {
  const value = params.get(name);
  if (value === null || value === "") return undefined;
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < min) {
    throw bad(name, `a whole number >= ${min}`, value);
  }
  return number;
}

function flagParam(params: URLSearchParams, name: string): boolean {
  const value = params.get(name);
  if (value === null || ["false", "0", "f", "F", "False", "FALSE"].includes(value)) return false;
  if (["", "true", "1", "t", "T", "True", "TRUE"].includes(value)) return true;
  throw bad(name, "true or false", value);
}

function streamParam(params: URLSearchParams): "stdout" | "stderr" | undefined {
  const value = params.get("stream");
  if (value === null || value === "" || value === "All") return undefined;
  if (value === "Stdout") return "stdout";
  if (value === "Stderr") return "stderr";
  throw bad("stream", "All, Stdout or Stderr", value);
}

function bad(name: string, want: string, got: string | null): AppError {
  return new AppError("invalid", `Cannot read log options: ${name} must be ${want}, got ${got}`);
}
