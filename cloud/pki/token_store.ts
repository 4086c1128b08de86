/**
 * Join tokens on disk, one file each under `<data-dir>/tokens`, so that `token create`, `list` and
 * `revoke` by one process work while another serves the same folder. Every change holds the
 * folder's lock (flock): a use can neither be spent twice nor bring back a token that was just
 * revoked.
 */
import { join } from "@std/path";
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { Random } from "../../shared/random.ts";
import { formatToken, parseToken, toBase64Url } from "../../shared/wire/join_token.ts";
import { sha256Hex } from "../../shared/wire/x509.ts";
import { fileError, makeSecretDir, readIfPresent, replaceFile, SECRET_MODE } from "./files.ts";
import { checkNodeName } from "./profiles.ts";
import { checkUse, parseRecord, type TokenRecord } from "./tokens.ts";

const SECRET_BYTES = 32;
const ID_CHARS = 10;
const ID = /^[a-z0-9]{10}$/;
/** A token that is over is listed for a week, so that its error can still say why. */
const KEPT_MS = 7 * 86_400_000;
const USES_MAX = 100_000;

export interface TokenStoreOptions {
  /** `<data-dir>/tokens` */
  dir: string;
  clock: Clock;
  random: Random;
}

export interface NewToken {
  /** Authority.hash */
  authorityHash: string;
  ttlMs: number;
  uses: number;
  node?: string;
}

/** A record without its hash. */
export type TokenInfo = Omit<TokenRecord, "secretHash" | "version">;

export class TokenStore {
  readonly #options: TokenStoreOptions;

  constructor(options: TokenStoreOptions) {
    this.#options = options;
  }

  /** Makes a token; the only moment its text is known. */
  async create(request: NewToken): Promise<{ token: string; info: TokenInfo }> {
    const { clock, random } = this.#options;
    if (request.node !== undefined) checkNodeName(request.node);
    if (!Number.isInteger(request.uses) || request.uses < 1 || request.uses > USES_MAX) {
      const message = `Cannot create token: uses must be 1 to ${USES_MAX}, got ${request.uses}`;
      throw new AppError("invalid", message);
    }
    if (!(request.ttlMs > 0)) {
      throw new AppError(
        "invalid",
        `Cannot create token: ttl must be > 0, got ${request.ttlMs} ms`,
      );
    }
    const id = Array.from(random.bytes(ID_CHARS), (b) => (b % 36).toString(36)).join("");
    const secret = toBase64Url(random.bytes(SECRET_BYTES));
    const now = clock.nowMs();
    const record: TokenRecord = {
      version: 1,
      id,
      secretHash: await hashSecret(secret),
      ...(request.node === undefined ? {} : { node: request.node }),
      createdAtMs: now,
      expiresAtMs: now + request.ttlMs,
      uses: request.uses,
      usesLeft: request.uses,
    };
    await this.#locked(async () => {
      await this.#prune(now);
      await this.#write(record);
    });
    const token = formatToken({ authorityHash: request.authorityHash, id, secret });
    return { token, info: toInfo(record) };
  }

  /** Newest first; a file that cannot be read is an error that names it. */
  async list(): Promise<TokenInfo[]> {
    const records = await this.#records();
    return records.sort((a, b) => b.createdAtMs - a.createdAtMs).map(toInfo);
  }

  /** False when there is no such token. */
  async revoke(id: string): Promise<boolean> {
    if (!ID.test(id)) return false;
    return await this.#locked(async () => {
      try {
        await Deno.remove(this.#file(id));
        return true;
      } catch (cause) {
        if (cause instanceof Deno.errors.NotFound) return false;
        throw fileError("remove", this.#file(id), cause);
      }
    });
  }

  /** Spends one use, durably, for `node`; AppError with the reason when it may not. */
  async spend(token: string, node: string): Promise<TokenInfo> {
    const { id, secret } = parseToken(token);
    const secretHash = await hashSecret(secret);
    return await this.#locked(async () => {
      const text = await readIfPresent(this.#file(id));
      const record = text === undefined ? undefined : parseRecord(text, this.#file(id));
      checkUse(record, { secretHash, node, nowMs: this.#options.clock.nowMs() });
      const spent = { ...record, usesLeft: record.usesLeft - 1 };
      await this.#write(spent);
      return toInfo(spent);
    });
  }

  #file(id: string): string {
    return join(this.#options.dir, `${id}.json`);
  }

  async #write(record: TokenRecord): Promise<void> {
    const text = JSON.stringify(record) + "\n";
    await replaceFile(this.#file(record.id), text, this.#options.random);
  }

  async #records(): Promise<TokenRecord[]> {
    const records = await Promise.all((await this.#ids()).map((id) => this.#read(id)));
    return records.filter((record) => record !== undefined);
  }

  /** Undefined when it was revoked between the listing and the reading. */
  async #read(id: string): Promise<TokenRecord | undefined> {
    const text = await readIfPresent(this.#file(id));
    return text === undefined ? undefined : parseRecord(text, this.#file(id));
  }

  async #ids(): Promise<string[]> {
    const ids: string[] = [];
    await makeSecretDir(this.#options.dir);
    for await (const entry of Deno.readDir(this.#options.dir)) {
      const id = entry.name.replace(/\.json$/, "");
      if (entry.isFile && id !== entry.name && ID.test(id)) ids.push(id);
    }
    return ids;
  }

  /** A damaged record stays for list() to name, and keeps nobody from making a new token. */
  async #prune(nowMs: number): Promise<void> {
    for (const id of await this.#ids()) {
      const record = await this.#read(id).catch(() => undefined);
      if (!record || nowMs < record.expiresAtMs + KEPT_MS) continue;
      await Deno.remove(this.#file(record.id)).catch(() => {}); // it is worth nothing either way
    }
  }

  async #locked<T>(work: () => Promise<T>): Promise<T> {
    await makeSecretDir(this.#options.dir);
    const path = join(this.#options.dir, ".lock");
    // not `using`: the bundler's minifier loses it
    const file = await Deno.open(path, { write: true, create: true, mode: SECRET_MODE });
    try {
      await file.lock(true);
      return await work();
    } finally {
      file.close(); // which gives the lock back
    }
  }
}

async function hashSecret(secret: string): Promise<string> {
  return await sha256Hex(new TextEncoder().encode(secret));
}

function toInfo({ version: _v, secretHash: _s, ...info }: TokenRecord): TokenInfo {
  return info;
}
