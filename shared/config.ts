/**
 * Config files, parsed once into a typed, frozen value. A schema is a tree of small parsers; each
 * takes what YAML gave and the path to it, and throws AppError "invalid" naming that path. Unknown
 * keys are errors, missing ones take the schema's default.
 */
import { parse as parseYaml, stringify as stringifyYaml } from "yaml";
import { AppError, errorChain } from "./errors.ts";

export const CONFIG_API_VERSION = "config.skerry.dev/v1alpha1";

/** Largest config file that is read; a config is a page, not a database. */
const CONFIG_BYTES_MAX = 256 * 1024;

/** Parses `value` found at `path` (dotted); `undefined` means the key is absent. */
export type Parser<T> = (value: unknown, path: string) => T;

export function text(fallback?: string): Parser<string> {
  return (value, path) => {
    const given = value ?? fallback;
    if (typeof given !== "string") throw wrong(path, "a string", value);
    return given;
  };
}

/** A whole number within [min, max]. */
export function whole(fallback: number, min: number, max: number): Parser<number> {
  return (value, path) => {
    const given = value ?? fallback;
    if (typeof given !== "number" || !Number.isInteger(given) || given < min || given > max) {
      throw wrong(path, `a whole number from ${min} to ${max}`, value);
    }
    return given;
  };
}

export function flag(fallback: boolean): Parser<boolean> {
  return (value, path) => {
    const given = value ?? fallback;
    if (typeof given !== "boolean") throw wrong(path, "true or false", value);
    return given;
  };
}

export function oneOf<const T extends string>(fallback: T, values: readonly T[]): Parser<T> {
  return (value, path) => {
    const given = value ?? fallback;
    const found = values.find((candidate) => candidate === given);
    if (found === undefined) throw wrong(path, `one of ${values.join(", ")}`, value);
    return found;
  };
}

export function list<T>(item: Parser<T>, fallback: T[] = []): Parser<T[]> {
  return (value, path) => {
    if (value === undefined || value === null) return [...fallback];
    if (!Array.isArray(value)) throw wrong(path, "a list", value);
    return value.map((entry, index) => item(entry, `${path}[${index}]`));
  };
}

export function mapOf<T>(item: Parser<T>): Parser<Record<string, T>> {
  return (value, path) => {
    if (value === undefined || value === null) return {};
    if (!isRecord(value)) throw wrong(path, "a map", value);
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]) => [key, item(entry, `${path}.${key}`)]),
    );
  };
}

type Parsers<T> = { [K in keyof T]-?: Parser<T[K]> };

/** An object with exactly these keys. */
export function section<T extends object>(keys: Parsers<T>): Parser<T> {
  return (value, path) => {
    const record = value ?? {};
    if (!isRecord(record)) throw wrong(path, "a map", value);
    for (const key of Object.keys(record)) {
      if (!Object.hasOwn(keys, key)) {
        const known = Object.keys(keys).join(", ");
        throw new AppError(
          "invalid",
          `Cannot read config: unknown key ${join(path, key)} (known here: ${known})`,
        );
      }
    }
    const parsed: Partial<T> = {};
    for (const key of Object.keys(keys) as (keyof T & string)[]) { // own keys of a literal
      parsed[key] = keys[key](record[key], join(path, key));
    }
    return Object.freeze(parsed) as T; // every key of T has just been set
  };
}

/** "HOST:PORT" with an IPv4 address, name or bracketed IPv6 address; port 0 means any free one. */
export function address(fallback?: string): Parser<string> {
  return (value, path) => {
    const given = text(fallback)(value, path);
    if (given !== "") parseAddress(given, path);
    return given;
  };
}

export interface HostPort {
  hostname: string;
  port: number;
}

export function parseAddress(value: string, what = "address"): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s/]+)):(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) throw wrong(what, "HOST:PORT", value);
  return { hostname: match[1] ?? match[2] ?? "", port };
}

export function formatAddress(address: HostPort): string {
  const host = address.hostname.includes(":") ? `[${address.hostname}]` : address.hostname;
  return `${host}:${address.port}`;
}

/** Reads a config of `kind`; errors name the file and the path in it. */
export async function loadConfig<T>(
  file: string,
  kind: string,
  schema: Parser<T>,
): Promise<T> {
  let raw: string;
  try {
    const { size } = await Deno.stat(file);
    if (size > CONFIG_BYTES_MAX) {
      throw new AppError("invalid", `size must be <= ${CONFIG_BYTES_MAX} bytes, got ${size}`);
    }
    raw = await Deno.readTextFile(file);
  } catch (cause) {
    throw new AppError("invalid", `Cannot read config ${file}`, { file }, { cause });
  }
  try {
    return parseConfig(raw, kind, schema);
  } catch (cause) {
    throw new AppError("invalid", `Cannot use config ${file}`, { file }, { cause });
  }
}

/** Parses config text of `kind`; the header keys apiVersion and kind are checked and taken off. */
export function parseConfig<T>(raw: string, kind: string, schema: Parser<T>): T {
  let value: unknown;
  try {
    value = parseYaml(raw);
  } catch (cause) {
    throw new AppError("invalid", `Cannot read YAML: ${errorChain(cause)}`, {}, { cause });
  }
  if (!isRecord(value)) throw wrong("config", "a map", value);
  const { apiVersion, kind: gotKind, ...rest } = value;
  if (apiVersion !== CONFIG_API_VERSION) throw wrong("apiVersion", CONFIG_API_VERSION, apiVersion);
  if (gotKind !== kind) throw wrong("kind", kind, gotKind);
  return schema(rest, "");
}

/** YAML text of a config with its header. */
export function formatConfig(kind: string, config: object): string {
  return stringifyYaml({ apiVersion: CONFIG_API_VERSION, kind, ...config });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function wrong(path: string, want: string, got: unknown): AppError {
  const shown = got === undefined ? "nothing" : JSON.stringify(got)?.slice(0, 80);
  return new AppError("invalid", `Cannot read config: ${path} must be ${want}, got ${shown}`);
}
