/**
 * `join`: from a token to a certificate. The authority is fetched without trust and believed only
 * when its hash is the one in the token; the key is made here and never leaves the node.
 */
import { AppError, errorChain, isAppError } from "../../shared/errors.ts";
import { parseToken } from "../../shared/wire/join_token.ts";
import { fromConnectError } from "../../shared/wire/rpc_errors.ts";
import {
  createRequest,
  exportPrivateKey,
  generateKeyPair,
  loadX509,
  NODE_USER_PREFIX,
  sha256Hex,
} from "../../shared/wire/x509.ts";
import { type Connection, dial, type DialTrust } from "./dial.ts";
import type { IdentityFiles } from "./port.ts";

/** For one answer of the hub, connecting included. */
const CALL_MS = 20_000;

export interface EnrollRequest {
  /** HOST:PORT of the hub. */
  address: string;
  token: string;
  nodeName: string;
}

export interface Enrolled extends IdentityFiles {
  nodeName: string;
  /** Where to dial from now on, best first: the address that worked, then the hub's own list. */
  addresses: string[];
}

/** Enrols this node; the caller writes what it returns. Errors are for the operator to read. */
export async function enroll(request: EnrollRequest, signal: AbortSignal): Promise<Enrolled> {
  const { address, token, nodeName } = request;
  const { authorityHash } = parseToken(token);
  const authority = await call(address, { unverified: true }, signal, async (hub, options) => {
    return (await hub.enrollment.getAuthority({}, options)).caCertificate;
  });
  await checkAuthority(authority, authorityHash, address);
  const keys = await generateKeyPair();
  const certificateRequest = await createRequest(keys, NODE_USER_PREFIX + nodeName);
  const answer = await call(
    address,
    { authority },
    signal,
    (hub, options) => hub.enrollment.enroll({ token, nodeName, certificateRequest }, options),
  );
  return {
    certificate: answer.certificate,
    privateKey: await exportPrivateKey(keys.privateKey),
    authority,
    nodeName: answer.nodeName,
    addresses: [...new Set([address, ...answer.hubAddresses])],
  };
}

/** Enrols at the first of `addresses` that answers; what it answers is the last word. */
export async function enrollAtAny(
  { addresses, ...rest }: Omit<EnrollRequest, "address"> & { addresses: readonly string[] },
  signal: AbortSignal,
): Promise<Enrolled> {
  const failures: string[] = [];
  for (const address of addresses) {
    try {
      return await enroll({ address, ...rest }, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (addresses.length === 1 || !isAppError(error, "unavailable")) throw error;
      failures.push(errorChain(error));
    }
  }
  throw new AppError("unavailable", `Cannot enrol at any address: ${failures.join("; ")}`);
}

/** One call on a connection of its own. */
async function call<T>(
  address: string,
  trust: DialTrust,
  signal: AbortSignal,
  work: (hub: Connection, options: { signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  const connection = dial(address, trust);
  const late = AbortSignal.timeout(CALL_MS);
  try {
    return await work(connection, { signal: AbortSignal.any([signal, late]) });
  } catch (cause) {
    signal.throwIfAborted();
    if (late.aborted) {
      const message = `Cannot reach ${address}: no answer within ${CALL_MS / 1000} s`;
      throw new AppError("unavailable", message, { address }, { cause });
    }
    const error = fromConnectError(cause);
    if (error.code === "unavailable") {
      throw new AppError("unavailable", `Cannot reach ${address}`, { address }, { cause: error });
    }
    throw new AppError(error.code, `${address} refused to enrol: ${error.message}`, { address });
  } finally {
    connection.close();
  }
}

async function checkAuthority(pem: string, hash: string, address: string): Promise<void> {
  const { X509Certificate } = await loadX509();
  let got: string;
  try {
    got = await sha256Hex(new X509Certificate(pem).rawData);
  } catch (cause) {
    const message = `Cannot trust ${address}: it sent no readable certificate authority`;
    throw new AppError("unauthenticated", message, { address }, { cause });
  }
  if (got === hash) return;
  throw new AppError(
    "unauthenticated",
    `Cannot trust ${address}: its certificate authority is not the one the token names`,
    { address, want: hash, got },
  );
}
