/**
 * Who a node is: enrolment by token, renewal by the enrolled key, and the judgement on a
 * certificate that a connection shows. The hub trusts nothing else about a peer. A token's use is
 * durable before the certificate exists.
 */
import type { X509Certificate } from "@peculiar/x509";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, isAppError } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import { parseToken } from "../../shared/wire/join_token.ts";
import {
  loadX509,
  NODE_USER_PREFIX,
  NODES_ORGANIZATION,
  sha256Hex,
} from "../../shared/wire/x509.ts";
import type { Authority } from "./authority.ts";
import type { NodeRecord, NodeRegistry } from "./node_registry.ts";
import { checkNodeName, CLIENT_AUTH, RENEWAL_GRACE_MS } from "./profiles.ts";
import { parseRequest, type Signer } from "./signer.ts";
import type { TokenStore } from "./token_store.ts";

const log = roomLogger("cloud", "pki");

export interface NodeEnrollmentOptions {
  authority: Authority;
  signer: Signer;
  tokens: TokenStore;
  nodes: NodeRegistry;
  clock: Clock;
}

export interface EnrollInput {
  token: string;
  nodeName: string;
  /** PEM */
  certificateRequest: string;
}

/** Implements the hub's NodeIdentities. */
export class NodeEnrollment {
  readonly #options: NodeEnrollmentOptions;
  /** Nodes whose record cannot be read, told once; no more than there are files. */
  readonly #damaged = new Set<string>();
  /** Wall time of the monotonic clock's zero, as of the start. */
  readonly #originMs: number;

  constructor(options: NodeEnrollmentOptions) {
    this.#options = options;
    this.#originMs = options.clock.nowMs() - options.clock.monotonicMs();
  }

  get authorityCertificate(): string {
    return this.#options.authority.certificate;
  }

  /** Signs a node in; a name that was enrolled before goes over to the new key. */
  async enroll(input: EnrollInput): Promise<{ certificate: string; keyHash: string }> {
    const { authority, signer, tokens, nodes, clock } = this.#options;
    const node = input.nodeName;
    if (parseToken(input.token).authorityHash !== authority.hash) {
      throw new AppError("unauthenticated", "Join token belongs to another certificate authority");
    }
    checkNodeName(node);
    const request = await parseRequest(input.certificateRequest);
    const before = await this.#formerly(node);
    const { id: tokenId } = await tokens.spend(input.token, node);
    const { keyHash } = request;
    const enrolledAtMs = clock.nowMs();
    await nodes.put({ version: 1, name: node, keyHash, enrolledAtMs, tokenId, revoked: false });
    const facts = { node, tokenId };
    if (before) log.warn("Node enrolled again; its former key is out", facts);
    else log.info("Node enrolled", facts);
    return { certificate: await signer.issueNode(node, request.publicKey), keyHash };
  }

  /** Whether the name was enrolled; a damaged record is put right by enrolling again. */
  async #formerly(node: string): Promise<boolean> {
    try {
      return await this.#options.nodes.get(node) !== undefined;
    } catch (error) {
      if (!isAppError(error, "invalid")) throw error;
      log.warn("Node's record was damaged and is replaced", { node, error: errorChain(error) });
      return true;
    }
  }

  /** A fresh certificate for a node over its enrolled key; `former` is the one it shows. */
  async renew(
    node: string,
    certificateRequest: string,
    former?: Uint8Array<ArrayBuffer>,
  ): Promise<string> {
    const request = await parseRequest(certificateRequest);
    await this.#checkEnrolled(node, request.keyHash);
    log.info("Node renewed its certificate", { node });
    const formerEndMs = former ? (await this.#parseOurs(former)).notAfter.getTime() : 0;
    return await this.#options.signer.issueNode(node, request.publicKey, formerEndMs);
  }

  /**
   * The node a client certificate stands for. The TLS handshake has shown that the peer holds its
   * key; everything else is judged here: our signature, purpose, subject, end and enrolment.
   * `renew` also takes one that ran out within the grace time. One that begins in the future is
   * good: only we can have made it, so it is this clock that went back.
   */
  async identify(
    certificateDer: Uint8Array<ArrayBuffer>,
    purpose: "session" | "renew",
  ): Promise<{ node: string; keyHash: string }> {
    const x509 = await loadX509();
    const certificate = await this.#parseOurs(certificateDer);
    const usage = certificate.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? [];
    if (!usage.map(String).includes(CLIENT_AUTH)) {
      throw new AppError("unauthenticated", "Client certificate is not meant for clients");
    }
    const [organization] = certificate.subjectName.getField("O");
    const [user] = certificate.subjectName.getField("CN");
    if (organization !== NODES_ORGANIZATION || !user?.startsWith(NODE_USER_PREFIX)) {
      throw new AppError("forbidden", `Client certificate is not a node's: ${certificate.subject}`);
    }
    this.#checkEnd(certificate.notAfter.getTime(), purpose);
    const node = user.slice(NODE_USER_PREFIX.length);
    const keyHash = await sha256Hex(certificate.publicKey.rawData);
    await this.#checkEnrolled(node, keyHash);
    return { node, keyHash };
  }

  async #parseOurs(der: Uint8Array<ArrayBuffer>): Promise<X509Certificate> {
    const x509 = await loadX509();
    const { publicKey } = this.#options.authority;
    let cause: unknown;
    try {
      const certificate = new x509.X509Certificate(der);
      if (await certificate.verify({ publicKey, signatureOnly: true })) return certificate;
    } catch (error) {
      cause = error; // another key type, or not a certificate: not ours either way
    }
    const message = "Client certificate is not by this authority";
    throw new AppError("unauthenticated", message, {}, { cause });
  }

  #checkEnd(notAfterMs: number, purpose: "session" | "renew"): void {
    const { clock } = this.#options;
    // a clock that leaps ahead while we run must not turn the whole fleet away
    const now = Math.min(clock.nowMs(), this.#originMs + clock.monotonicMs());
    const graceMs = purpose === "renew" ? RENEWAL_GRACE_MS : 0;
    if (now > notAfterMs + graceMs) {
      const at = new Date(notAfterMs).toISOString();
      throw new AppError("unauthenticated", `Client certificate ran out at ${at}`);
    }
  }

  /** What a damaged record said of a revocation is not known: such a node stays out. */
  async #recordOf(node: string): Promise<NodeRecord | undefined> {
    try {
      const record = await this.#options.nodes.get(node);
      this.#damaged.delete(node);
      return record;
    } catch (cause) {
      if (!isAppError(cause, "invalid")) throw cause;
      const isNews = !this.#damaged.has(node);
      this.#damaged.add(node);
      const error = errorChain(cause);
      if (isNews) log.error("Node is kept out until it joins again", { node, error });
      const message = `The cloud's record of node ${node} is damaged: it must join again`;
      throw new AppError("forbidden", message, {}, { cause });
    }
  }

  async #checkEnrolled(node: string, keyHash: string): Promise<void> {
    const record = await this.#recordOf(node);
    if (!record) throw new AppError("forbidden", `Node ${node} is not enrolled here`);
    if (record.revoked) throw new AppError("forbidden", `Node ${node} was revoked`);
    if (record.keyHash !== keyHash) {
      throw new AppError("forbidden", `Node ${node} is enrolled with another key`);
    }
  }
}
