/**
 * The admin token of the embedded API: one random secret in a file only root can read, shown in the
 * admin kubeconfig. Compared by hash, so that timing tells nothing.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import type { Random } from "../../shared/random.ts";
import type { Authenticator, UserInfo } from "../apiserver/port.ts";
import { createFile, makeSecretDir, readIfPresent } from "./files.ts";

const TOKEN_BYTES = 32;

/** Reads `<dataDir>/pki/admin-token`, making it where it is missing. */
export async function loadAdminToken(dataDir: string, random: Random): Promise<string> {
  const file = join(dataDir, "pki", "admin-token");
  await makeSecretDir(join(dataDir, "pki"));
  const fresh = Array.from(random.bytes(TOKEN_BYTES), (b) => b.toString(16).padStart(2, "0"));
  if (await readIfPresent(file) === undefined) {
    await createFile(file, fresh.join("") + "\n", random);
  }
  const token = (await readIfPresent(file) ?? "").trim();
  if (token === "") throw new AppError("invalid", `Cannot use admin token ${file}: it is empty`);
  return token;
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
