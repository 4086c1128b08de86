/**
 * The admin token of the embedded API: one random secret in a file only root can read, shown in the
 * admin kubeconfig. Compared by hash, so that timing tells nothing.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { Authenticator, UserInfo } from "../apiserver/port.ts";
import { createFile, makeSecretDir, readIfPresent, replaceFile } from "./files.ts";

const TOKEN_BYTES = 32;
/** Half of one we make: what is shorter, or cannot be sent, is what damage left of a token. */
const TOKEN = /^[\x21-\x7e]{32,}$/;

const log = roomLogger("cloud", "pki");

/**
 * Reads `<dataDir>/pki/admin-token`, making it where it is missing. For the program that serves:
 * what damage left of a token is replaced, the admin kubeconfig written anew, and copies of it end.
 */
export async function openAdminToken(dataDir: string, random: Random): Promise<string> {
  const { file, token } = await readToken(dataDir, random);
  if (TOKEN.test(token)) return token;
  log.error("Admin token was damaged and is replaced; earlier kubeconfigs end", { file });
  const fresh = makeToken(random);
  await replaceFile(file, `${fresh}\n`, random);
  return fresh;
}

/** The same for commands, which change nothing under a program that serves. */
export async function loadAdminToken(dataDir: string, random: Random): Promise<string> {
  const { file, token } = await readToken(dataDir, random);
  if (TOKEN.test(token)) return token;
  const message =
    `Cannot use admin token ${file}: it is damaged; a start of skerry-cloud replaces it`;
  throw new AppError("invalid", message, { file });
}

async function readToken(
  dataDir: string,
  random: Random,
): Promise<{ file: string; token: string }> {
  const file = join(dataDir, "pki", "admin-token");
  await makeSecretDir(join(dataDir, "pki"));
  if (await readIfPresent(file) === undefined) {
    // false: another process made it meanwhile, and that one holds
    await createFile(file, `${makeToken(random)}\n`, random);
  }
  return { file, token: (await readIfPresent(file) ?? "").trim() };
}

function makeToken(random: Random): string {
  const bytes = Array.from(random.bytes(TOKEN_BYTES), (b) => b.toString(16).padStart(2, "0"));
  return bytes.join("");
}

/** Bearer of the admin token, or holder of a client certificate this cloud's CA signed. */
export class AdminAuthenticator implements Authenticator {
  readonly #tokenHash: Uint8Array;

  constructor(adminToken: string) {
    this.#tokenHash = sha256(adminToken);
  }

  authenticate(
    authorization: string | undefined,
    certificate: { commonName: string; organizations: string[] } | undefined,
  ): Promise<UserInfo | undefined> {
    if (certificate) {
      const groups = [...certificate.organizations, "system:authenticated"];
      return Promise.resolve({ username: certificate.commonName, groups });
    }
    const token = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
    if (!token || !timingSafeEqual(sha256(token), this.#tokenHash)) {
      return Promise.resolve(undefined);
    }
    return Promise.resolve({
      username: "skerry-admin",
      groups: ["system:masters", "system:authenticated"],
    });
  }
}

function sha256(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
