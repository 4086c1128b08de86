/**
 * Issues certificates under the authority. The signer writes every subject itself: of a request
 * only the key is used, after its signature has shown that the asker holds it.
 */
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { Random } from "../../shared/random.ts";
import {
  exportPrivateKey,
  generateKeyPair,
  HUB_SERVER_NAME,
  loadX509,
  NODE_USER_PREFIX,
  NODES_ORGANIZATION,
  sha256Hex,
  SIGNATURE_ALGORITHM,
} from "../../shared/wire/x509.ts";
import type { Authority } from "./authority.ts";
import {
  ADMIN_LIFETIME_MS,
  ADMINS_ORGANIZATION,
  alternativeNames,
  checkNodeName,
  CLIENT_AUTH,
  CLOCK_SKEW_MS,
  NODE_LIFETIME_MS,
  randomSerial,
  SERVER_AUTH,
} from "./profiles.ts";

const REQUEST_CHARS_MAX = 16 * 1024;

export interface KeyAndCertificate {
  /** PEM */
  certificate: string;
  /** PEM, PKCS#8 */
  privateKey: string;
}

export interface CertificateRequest {
  publicKey: CryptoKey;
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  keyHash: string;
}

export interface SignerOptions {
  authority: Authority;
  clock: Clock;
  random: Random;
  nodeLifetimeMs?: number;
}

interface Leaf {
  /** One attribute each, in order. */
  subject: Record<string, string[]>[];
  publicKey: CryptoKey;
  usage: string;
  dates: { notBefore: Date; notAfter: Date };
  names?: readonly string[];
}

/** RFC 5280's way to say: from the beginning of time, and without an end. */
const NO_DATES = {
  notBefore: new Date("1970-01-01T00:00:00Z"),
  notAfter: new Date("9999-12-31T23:59:59Z"),
};

export class Signer {
  readonly #options: SignerOptions;

  constructor(options: SignerOptions) {
    this.#options = options;
  }

  /**
   * A server certificate for `names` (host names and addresses) beside the fixed hub name, valid as
   * long as the authority: it is made anew at every start and never kept.
   */
  async issueServer(names: readonly string[]): Promise<KeyAndCertificate> {
    const lifetimeMs = this.#options.authority.notAfterMs - this.#options.clock.nowMs();
    return await this.#server({
      names: [HUB_SERVER_NAME, ...names],
      dates: this.#dates(lifetimeMs),
    });
  }

  /**
   * The hub's own certificate: for its fixed name alone, and without dates, so that a node whose
   * clock is years off, or whose cloud's clock was when this was made, can still dial and be told
   * the time. Dates would protect nothing here: the key is made anew at every start and never kept,
   * and whoever takes it from the running cloud could take the authority's.
   */
  async issueHub(): Promise<KeyAndCertificate> {
    return await this.#server({ names: [HUB_SERVER_NAME], dates: NO_DATES });
  }

  async #server(of: Pick<Leaf, "names" | "dates">): Promise<KeyAndCertificate> {
    const keys = await generateKeyPair();
    const certificate = await this.#issue({
      subject: [{ CN: ["skerry-cloud"] }],
      publicKey: keys.publicKey,
      usage: SERVER_AUTH,
      ...of,
    });
    return { certificate, privateKey: await exportPrivateKey(keys.privateKey) };
  }

  /** A client certificate of the group system:masters. */
  async issueAdmin(user: string): Promise<KeyAndCertificate> {
    const keys = await generateKeyPair();
    const certificate = await this.#issue({
      subject: [{ O: [ADMINS_ORGANIZATION] }, { CN: [user] }],
      publicKey: keys.publicKey,
      usage: CLIENT_AUTH,
      dates: this.#dates(ADMIN_LIFETIME_MS),
    });
    return { certificate, privateKey: await exportPrivateKey(keys.privateKey) };
  }

  /**
   * PEM of a client certificate that says: node `name`. It ends no earlier than `formerEndMs`, the
   * end of the one it takes the place of: a clock that is years behind must not hand out papers
   * that lock the fleet out once it is right again.
   */
  async issueNode(name: string, publicKey: CryptoKey, formerEndMs = 0): Promise<string> {
    checkNodeName(name);
    return await this.#issue({
      subject: [{ O: [NODES_ORGANIZATION] }, { CN: [NODE_USER_PREFIX + name] }],
      publicKey,
      usage: CLIENT_AUTH,
      dates: this.#dates(this.#options.nodeLifetimeMs ?? NODE_LIFETIME_MS, formerEndMs),
    });
  }

  #dates(lifetimeMs: number, formerEndMs = 0): Leaf["dates"] {
    const { authority, clock } = this.#options;
    const now = clock.nowMs();
    const endMs = Math.min(Math.max(now + lifetimeMs, formerEndMs), authority.notAfterMs);
    return { notBefore: new Date(now - CLOCK_SKEW_MS), notAfter: new Date(endMs) };
  }

  async #issue(leaf: Leaf): Promise<string> {
    const x509 = await loadX509();
    const { authority, random } = this.#options;
    const names = alternativeNames(leaf.names ?? []);
    const certificate = await x509.X509CertificateGenerator.create({
      subject: new x509.Name(leaf.subject).toString(),
      issuer: authority.subject,
      publicKey: leaf.publicKey,
      signingKey: authority.privateKey,
      signingAlgorithm: SIGNATURE_ALGORITHM,
      serialNumber: randomSerial(random),
      ...leaf.dates,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([leaf.usage]),
        await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      ],
    });
    return certificate.toString("pem") + "\n";
  }
}

/** Reads a PKCS#10 request and checks that its sender holds the key. */
export async function parseRequest(pem: string): Promise<CertificateRequest> {
  const x509 = await loadX509();
  const refuse = (why: string, cause?: unknown) =>
    new AppError("invalid", `Cannot read certificate request: ${why}`, {}, { cause });
  if (pem.length > REQUEST_CHARS_MAX) throw refuse(`must be <= ${REQUEST_CHARS_MAX} characters`);
  try {
    const request = new x509.Pkcs10CertificateRequest(pem);
    const algorithm = request.publicKey.algorithm as EcKeyAlgorithm; // checked by the next line
    if (algorithm.name !== "ECDSA" || algorithm.namedCurve !== "P-256") {
      throw refuse("key must be ECDSA P-256");
    }
    if (!await request.verify()) throw refuse("its signature is not by its key");
    const publicKey = await request.publicKey.export();
    return { publicKey, keyHash: await sha256Hex(request.publicKey.rawData) };
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw refuse("not a PKCS#10 request in PEM", error);
  }
}
