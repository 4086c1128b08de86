/**
 * Who the edge is to the servers its devices push to. A Device is read by many, so nothing secret
 * is in it: the operator's file has it, YAML, one entry a kind of destination, or a kind and an
 * address, of which the second goes first:
 *
 *     influxdb2: { token: … }
 *     "redis 10.0.0.5:6379": { username: …, password: … }
 *
 * It is read anew for each connection: what is changed in it needs no restart.
 */
import { parse } from "yaml";
import { AppError } from "../../shared/errors.ts";
import { isJsonObject } from "../../shared/json/json.ts";
import type { Credentials, Destination } from "./port.ts";

const FILE_BYTES_MAX = 256 * 1024;
const FIELDS: readonly (keyof Credentials)[] = ["username", "password", "token"];

/** None where no file is named. Errors: `invalid`, with the place, never with what stands there. */
export async function readCredentials(
  file: string,
  { kind, address }: Destination,
): Promise<Credentials> {
  if (file === "") return {};
  const { size } = await Deno.stat(file);
  if (size > FILE_BYTES_MAX) {
    throw new AppError("invalid", `${file} must be at most ${FILE_BYTES_MAX} bytes, got ${size}`);
  }
  return pickCredentials(
    parseFile(await Deno.readTextFile(file), file),
    `${kind} ${address}`,
    file,
  );
}

function parseFile(text: string, file: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = parse(text);
  } catch {
    // the parser's message quotes what it read
    throw new AppError("invalid", `Cannot read ${file}: it is not YAML`);
  }
  if (parsed === null || parsed === undefined) return {};
  if (isJsonObject(parsed)) return parsed;
  throw new AppError("invalid", `Cannot read ${file}: it must be a mapping`);
}

function pickCredentials(
  entries: Record<string, unknown>,
  name: string,
  file: string,
): Credentials {
  const kind = name.slice(0, name.indexOf(" "));
  const key = [name, kind].find((each) => Object.hasOwn(entries, each));
  const entry = key === undefined ? {} : entries[key];
  if (!isJsonObject(entry)) throw new AppError("invalid", `${file}: ${key} must be a mapping`);
  const credentials: Credentials = {};
  for (const [field, value] of Object.entries(entry)) {
    const known = FIELDS.find((each) => each === field);
    if (!known) throw new AppError("invalid", `${file}: ${key}.${field} is not known`);
    if (typeof value !== "string") {
      throw new AppError("invalid", `${file}: ${key}.${field} must be a string`);
    }
    credentials[known] = value;
  }
  return credentials;
}
