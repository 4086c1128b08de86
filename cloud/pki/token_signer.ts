/**
 * The key that signs service account tokens (JWT, ES256), in `<data-dir>/pki/service-account.key`:
 * made where it is missing, never overwritten. Only a token this key signed is believed; whether it
 * is still good (its end, its account, its pod) is for the API server to say.
 */
import { createHash, createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import { isJsonObject, type JsonObject } from "../../shared/json/json.ts";
import type { Random } from "../../shared/random.ts";
import { exportPrivateKey, generateKeyPair } from "../../shared/wire/x509.ts";
import type { TokenSigner } from "../apiserver/port.ts";
import { createFile, makeSecretDir, readIfPresent } from "./files.ts";

/** What Kubernetes' own API servers name themselves by default. */
export const TOKEN_ISSUER = "https://kubernetes.default.svc.cluster.local";

const ALGORITHM = "ES256";
/** Far above what claims need; a longer header is not worth decoding. */
const TOKEN_CHARS_MAX = 8 * 1024;

/** Reads the key, or makes it where there is none. */
export async function openTokenSigner(dataDir: string, random: Random): Promise<TokenSigner> {
  const dir = join(dataDir, "pki");
  const file = join(dir, "service-account.key");
  await makeSecretDir(dir);
  if (await readIfPresent(file) === undefined) {
    const { privateKey } = await generateKeyPair();
    // false: another process made it meanwhile, and that one holds
    await createFile(file, await exportPrivateKey(privateKey), random);
  }
  return tokenSignerOf(await readIfPresent(file) ?? "", file);
}

/** `pem`: an ECDSA P-256 key, PKCS#8; `file` names it in errors. */
export function tokenSignerOf(pem: string, file: string): TokenSigner {
  const { key, publicKey, jwk } = readKey(pem, file);
  const kid = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" }))
    .digest("base64url");
  const header = encode({ alg: ALGORITHM, kid });
  return {
    issuer: TOKEN_ISSUER,
    keys: [{ use: "sig", kty: "EC", kid, alg: ALGORITHM, crv: "P-256", x: jwk.x, y: jwk.y }],
    sign: (claims) => {
      const signed = `${header}.${encode(claims)}`;
      const bytes = sign("sha256", new TextEncoder().encode(signed), {
        key,
        dsaEncoding: "ieee-p1363",
      });
      return `${signed}.${bytes.toString("base64url")}`;
    },
    verify: (token) => {
      const [head, body, signature, ...rest] = token.split(".");
      if (!head || !body || !signature || rest.length > 0) return undefined;
      if (token.length > TOKEN_CHARS_MAX || head !== header) return undefined;
      const good = verify(
        "sha256",
        new TextEncoder().encode(`${head}.${body}`),
        { key: publicKey, dsaEncoding: "ieee-p1363" },
        fromBase64Url(signature),
      );
      return good ? claimsOf(body) : undefined;
    },
  };
}

function readKey(pem: string, file: string) {
  try {
    const key = createPrivateKey(pem);
    const publicKey = createPublicKey(pem);
    const jwk = publicKey.export({ format: "jwk" });
    if (jwk.crv !== "P-256") throw new AppError("invalid", `its curve is ${jwk.crv}`);
    return { key, publicKey, jwk };
  } catch (cause) {
    const message = `Cannot read ${file}: not an ECDSA P-256 key in PEM`;
    throw new AppError("invalid", message, { file }, { cause });
  }
}

function encode(value: JsonObject): string {
  return new TextEncoder().encode(JSON.stringify(value)).toBase64({
    alphabet: "base64url",
    omitPadding: true,
  });
}

function fromBase64Url(text: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(text, { alphabet: "base64url" });
  } catch {
    return new Uint8Array(); // no signature by anyone
  }
}

function claimsOf(body: string): JsonObject | undefined {
  const claims: unknown = JSON.parse(new TextDecoder().decode(fromBase64Url(body)));
  return isJsonObject(claims) ? claims : undefined;
}
