/**
 * The node's certificate as the link uses it, and when to renew it: at a moment between 70 and 90 %
 * of its life, drawn once per process so that a fleet made on one day does not renew on one day.
 * Renewal keeps the key; an answer lost on the way then costs nothing.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { AppError } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import { fromConnectError } from "../../shared/wire/rpc_errors.ts";
import { createRequest, importKeyPair } from "../../shared/wire/x509.ts";
import type { Connection } from "./dial.ts";
import type { IdentityFiles } from "./port.ts";

const CALL_MS = 20_000;

const log = roomLogger("edge", "link");

export interface CertificateDates {
  notBeforeMs: number;
  notAfterMs: number;
}

export class Identity {
  #files: IdentityFiles;
  #dates: CertificateDates;
  #isKept = true;
  readonly #share: number;
  readonly #onRenewed: (certificate: string) => Promise<void>;

  constructor(
    files: IdentityFiles,
    onRenewed: (certificate: string) => Promise<void>,
    random: Random,
  ) {
    checkIdentity(files);
    this.#files = files;
    this.#dates = certificateDates(files.certificate);
    this.#share = 0.7 + 0.2 * random.float();
    this.#onRenewed = onRenewed;
  }

  get files(): IdentityFiles {
    return this.#files;
  }

  get dates(): CertificateDates {
    return this.#dates;
  }

  /** By the wall clock; wrong clocks renew too early or are told by the hub. */
  get renewAtMs(): number {
    return this.#isKept ? renewalTime(this.#dates, this.#share) : 0;
  }

  /** Gets a new certificate over `connection`, has it kept, and uses it from the next dial on. */
  async renew(connection: Connection, signal: AbortSignal): Promise<void> {
    const keys = await importKeyPair(this.#files.privateKey);
    const certificateRequest = await createRequest(keys, "renewal");
    let certificate: string;
    try {
      const answer = await connection.hub.renew({ certificateRequest }, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(CALL_MS)]),
      });
      certificate = answer.certificate;
    } catch (cause) {
      throw new AppError("unavailable", "Cannot renew the node's certificate", {}, {
        cause: fromConnectError(cause),
      });
    }
    const files = { ...this.#files, certificate };
    checkIdentity(files); // kept, another one would lock this node out
    const dates = certificateDates(certificate);
    // it is good from here on, also where the disk takes nothing; keeping it is then tried again
    this.#files = files;
    this.#dates = dates;
    this.#isKept = false;
    await this.#onRenewed(certificate);
    this.#isKept = true;
    log.info("Certificate renewed", { notAfter: new Date(dates.notAfterMs).toISOString() });
  }
}

/**
 * A dial with a damaged file would only say that TLS failed: the file is named here instead, as it
 * is called in the data folder.
 */
export function checkIdentity({ certificate, privateKey, authority }: IdentityFiles): void {
  const own = readPart("certificate pki/node.crt", () => new X509Certificate(certificate));
  const key = readPart("key pki/node.key", () => createPrivateKey(privateKey));
  const theirs = readPart("authority pki/ca.crt", () => new X509Certificate(authority));
  if (!own.checkPrivateKey(key)) {
    throw new AppError(
      "invalid",
      "Cannot use the node's key pki/node.key: its certificate pki/node.crt is for another",
    );
  }
  if (!isSignedBy(own, theirs)) {
    throw new AppError(
      "invalid",
      "Cannot use the node's certificate pki/node.crt: it is not by the authority pki/ca.crt",
    );
  }
}

function isSignedBy(own: X509Certificate, authority: X509Certificate): boolean {
  try {
    return own.verify(authority.publicKey);
  } catch {
    return false; // a key of another kind
  }
}

function readPart<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new AppError("invalid", `Cannot read the node's ${what}`, {}, { cause });
  }
}

export function renewalTime(dates: CertificateDates, share: number): number {
  return dates.notBeforeMs + (dates.notAfterMs - dates.notBeforeMs) * share;
}

export function certificateDates(pem: string): CertificateDates {
  const { validFrom, validTo } = readPart("certificate", () => new X509Certificate(pem));
  return { notBeforeMs: Date.parse(validFrom), notAfterMs: Date.parse(validTo) };
}
