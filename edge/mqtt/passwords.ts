/**
 * Users of the embedded broker, in mosquitto's password file: `name:$7$iterations$salt$hash`, which
 * is PBKDF2 over SHA-512. The file is read again when it has changed, so that a user who was taken
 * out is out. Who is not in it costs the same time as who is.
 */
import { pbkdf2, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { AppError } from "../../shared/errors.ts";
import type { Random } from "../../shared/random.ts";

const derive = promisify(pbkdf2);

export const HASH_BYTES = 64;
const SALT_BYTES = 12;
const ITERATIONS = 10_000;
/** More would be a way to keep the edge busy. */
const ITERATIONS_MAX = 1_000_000;
const FILE_BYTES_MAX = 1_024 * 1_024;
/** Longer ones are refused unread. */
const PASSWORD_BYTES_MAX = 1_024;

export interface PasswordHash {
  iterations: number;
  salt: Uint8Array;
  hash: Uint8Array;
}

/** One line of a password file, for a password somebody chose. */
export async function formatUser(name: string, password: string, random: Random): Promise<string> {
  if (name === "" || /[:\s]/.test(name)) {
    throw new AppError("invalid", `A user's name must have no colon and no space, got "${name}"`);
  }
  const salt = random.bytes(SALT_BYTES);
  const hash = await derive(password, salt, ITERATIONS, HASH_BYTES, "sha512");
  return `${name}:$7$${ITERATIONS}$${base64(salt)}$${base64(hash)}`;
}

/** AppError "invalid" names the line. */
export function parseUsers(text: string): Map<string, PasswordHash> {
  const users = new Map<string, PasswordHash>();
  for (const [index, line] of text.split("\n").entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const match = /^([^:]+):\$7\$(\d{1,7})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)$/.exec(trimmed);
    const iterations = Number(match?.[2]);
    const hash = bytesOf(match?.[4]);
    const salt = bytesOf(match?.[3]);
    if (
      !match || iterations < 1 || iterations > ITERATIONS_MAX || hash?.length !== HASH_BYTES ||
      !salt
    ) {
      const where = `line ${index + 1} of the users file`;
      throw new AppError(
        "invalid",
        `Cannot read ${where}: it must be name:$7$iterations$salt$hash`,
      );
    }
    users.set(match[1]!, { iterations, salt, hash }); // a group that matched
  }
  return users;
}

export class Users {
  readonly #file: string;
  /** Rises when other users, or other passwords, are known. */
  version = 0;
  #users = new Map<string, PasswordHash>();
  #mark = "";

  constructor(file: string) {
    this.#file = file;
  }

  /** AppError when the file cannot be used; the users known before stay. */
  async load(): Promise<void> {
    try {
      const { size, mtime, ino } = await Deno.stat(this.#file);
      const mark = `${size} ${mtime?.getTime()} ${ino}`;
      if (mark === this.#mark) return;
      if (size > FILE_BYTES_MAX) {
        throw new AppError("invalid", `size must be <= ${FILE_BYTES_MAX} bytes, got ${size}`);
      }
      this.#users = parseUsers(await Deno.readTextFile(this.#file));
      this.#mark = mark;
      this.version++;
    } catch (cause) {
      throw new AppError("unavailable", `Cannot use users file ${this.#file}`, {}, { cause });
    }
  }

  /** Differs when the user has another password; undefined when there is none of that name. */
  proofOf(name: string): string | undefined {
    const known = this.#users.get(name);
    return known && `${known.iterations} ${base64(known.salt)} ${base64(known.hash)}`;
  }

  async verify(name: string, password: Uint8Array): Promise<boolean> {
    const known = this.#users.get(name);
    if (password.length > PASSWORD_BYTES_MAX) return false;
    const { iterations, salt, hash } = known ?? NOBODY;
    const derived = await derive(password, salt, iterations, HASH_BYTES, "sha512");
    return timingSafeEqual(derived, hash) && known !== undefined;
  }
}

const NOBODY: PasswordHash = {
  iterations: ITERATIONS,
  salt: new Uint8Array(SALT_BYTES),
  hash: new Uint8Array(HASH_BYTES),
};

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

function bytesOf(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined;
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return undefined; // not base64
  }
}
