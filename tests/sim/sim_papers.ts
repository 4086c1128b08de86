/**
 * Certificates of the simulated world: readable text in place of X.509, judged by the same rules
 * (who, which key, from when to when, with the grace that renewal has). Signing is left to the unit
 * tests of cloud/pki; what is simulated is time.
 */
import { CLOCK_SKEW_MS, RENEWAL_GRACE_MS } from "../../cloud/pki/profiles.ts";
import type { NodeIdentities } from "../../cloud/hub/port.ts";
import type { Connection } from "../../edge/link/dial.ts";
import { renewalTime } from "../../edge/link/identity.ts";
import type { IdentityFiles } from "../../edge/link/port.ts";
import type { LinkIdentity } from "../../edge/link/transport.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { Random } from "../../shared/random.ts";
import { fromConnectError } from "../../shared/wire/rpc_errors.ts";

const DAY_MS = 86_400_000;
const LIFETIME_MS = 365 * DAY_MS;

interface Paper {
  node: string;
  notBeforeMs: number;
  notAfterMs: number;
}

export function issue(node: string, nowMs: number): string {
  const paper: Paper = {
    node,
    notBeforeMs: nowMs - CLOCK_SKEW_MS,
    notAfterMs: nowMs + LIFETIME_MS,
  };
  return JSON.stringify(paper);
}

/** The authority of the world; its records never get lost. */
export function simIdentities(clock: Clock): NodeIdentities {
  return {
    authorityCertificate: "authority",
    enroll: () => Promise.reject(new AppError("unimplemented", "Nobody enrols in this world")),
    renew: (node) => Promise.resolve(issue(node, clock.nowMs())),
    identify: (certificate, purpose) => {
      const text = new TextDecoder().decode(certificate);
      const { node, notBeforeMs, notAfterMs } = JSON.parse(text) as Paper; // issued above
      const now = clock.nowMs();
      const graceMs = purpose === "renew" ? RENEWAL_GRACE_MS : 0;
      if (now < notBeforeMs - CLOCK_SKEW_MS || now > notAfterMs + graceMs) {
        const message = "Client certificate is not valid now";
        return Promise.reject(new AppError("unauthenticated", message));
      }
      return Promise.resolve({ node, keyHash: `key of ${node}` });
    },
  };
}

export class SimIdentity implements LinkIdentity {
  #files: IdentityFiles;
  readonly #share: number;
  readonly #onRenewed: (certificate: string) => Promise<void>;

  constructor(
    files: IdentityFiles,
    onRenewed: (certificate: string) => Promise<void>,
    random: Random,
  ) {
    this.#files = files;
    this.#onRenewed = onRenewed;
    this.#share = 0.7 + 0.2 * random.float();
  }

  get files(): IdentityFiles {
    return this.#files;
  }

  get dates(): Paper {
    return JSON.parse(this.#files.certificate) as Paper; // issued above
  }

  get renewAtMs(): number {
    return renewalTime(this.dates, this.#share);
  }

  async renew(connection: Connection, signal: AbortSignal): Promise<void> {
    let certificate: string;
    try {
      const answer = await connection.hub.renew({ certificateRequest: "request" }, { signal });
      certificate = answer.certificate;
    } catch (cause) {
      throw new AppError("unavailable", "Cannot renew the node's certificate", {}, {
        cause: fromConnectError(cause),
      });
    }
    await this.#onRenewed(certificate);
    this.#files = { ...this.#files, certificate };
  }
}
