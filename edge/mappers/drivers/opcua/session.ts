/**
 * A session with a server: the endpoint with the security that is wanted, the server's certificate
 * trusted and its signature checked, and the log-in, whose password leaves encrypted wherever the
 * server takes it so.
 */
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import type { Request, Response, SecurityPolicy } from "node-opcua-secure-channel";
import type { EndpointDescription } from "node-opcua-service-endpoints";
import type { CreateSessionResponse } from "node-opcua-service-session";
import { AppError } from "../../../../shared/errors.ts";
import type { Random } from "../../../../shared/random.ts";
import type { DriverDevice } from "../../port.ts";
import { needText, textSetting } from "../../settings.ts";
import { Channel, type Protection } from "./channel.ts";
import type { Library } from "./load_library.ts";
import type { Papers } from "./papers.ts";
import { anonymousLogIn, chooseEndpoint, type LogIn, shortPolicy } from "./security.ts";
import { userNameLogIn, type WantedSecurity, wantedSecurity } from "./security.ts";

const SESSION_MS = 600_000;
const NONCE_BYTES = 32;

export interface SessionParts {
  library: Library;
  random: Random;
  /** What is shown of this side, where there is security. */
  papers: (config: DriverDevice["config"]) => Promise<Papers>;
  /** Throws for a server that is not the one that is meant. */
  trust: (certificate: Buffer, url: string, config: DriverDevice["config"]) => Promise<void>;
}

export interface Session {
  channel: Channel;
  library: Library;
  ask(request: Request, signal: AbortSignal): Promise<Response>;
}

export async function openSession(
  device: DriverDevice,
  parts: SessionParts,
  signal: AbortSignal,
): Promise<Session> {
  const { config } = device;
  const url = needText(config, "url");
  const wanted = wantedSecurity(config);
  const protection = wanted.mode === "None"
    ? undefined
    : await protect(url, wanted, { ...parts, config }, signal);
  const channel = new Channel(parts.library, url, protection);
  try {
    await channel.open(signal);
    return await logIn(channel, device, parts, signal);
  } catch (error) {
    await channel.close();
    throw error;
  }
}

/** What the server says of itself without security, and is then held to. */
async function protect(
  url: string,
  wanted: WantedSecurity,
  { library, papers, trust, config }: SessionParts & Pick<DriverDevice, "config">,
  signal: AbortSignal,
): Promise<Protection> {
  // what is wrong at this side is said before the server is troubled
  const own = await papers(config);
  const endpoint = chooseEndpoint(await endpointsOf(url, library, signal), wanted);
  const { serverCertificate } = endpoint;
  if (!serverCertificate?.length) {
    throw new AppError("unavailable", `OPC UA server ${url} shows no certificate`);
  }
  await trust(serverCertificate, url, config);
  return {
    mode: endpoint.securityMode,
    policy: endpoint.securityPolicyUri as SecurityPolicy, // chooseEndpoint gives these only
    serverCertificate,
    papers: own,
  };
}

async function endpointsOf(
  url: string,
  library: Library,
  signal: AbortSignal,
): Promise<EndpointDescription[]> {
  const channel = new Channel(library, url);
  try {
    await channel.open(signal);
    const request = new library.GetEndpointsRequest({ endpointUrl: url });
    const response = await channel.ask(request, signal);
    return response instanceof library.GetEndpointsResponse ? response.endpoints ?? [] : [];
  } finally {
    await channel.close();
  }
}

async function logIn(
  channel: Channel,
  { config, namespace, name }: DriverDevice,
  { library, random, trust }: SessionParts,
  signal: AbortSignal,
): Promise<Session> {
  const { protection, url } = channel;
  const clientNonce = Buffer.from(random.bytes(NONCE_BYTES));
  const created = await channel.ask(
    new library.CreateSessionRequest({
      clientDescription: {
        applicationUri: protection?.papers.applicationUri ?? `urn:skerry:${namespace}:${name}`,
        productUri: "urn:skerry",
        applicationName: { text: "Skerry" },
        applicationType: 1,
      },
      endpointUrl: url,
      sessionName: `skerry ${namespace}/${name}`,
      clientNonce,
      ...(protection && { clientCertificate: Buffer.concat(protection.papers.chain) }),
      requestedSessionTimeout: SESSION_MS,
      maxResponseMessageSize: 4 * 1024 * 1024,
    }),
    signal,
  );
  if (!(created instanceof library.CreateSessionResponse)) {
    throw channel.unavailable("it gave no session");
  }
  if (protection) checkServer(channel, protection, created, clientNonce, library);
  const userIdentityToken = await identity(created, channel, { library, trust, config });
  const clientSignature = protection && await library.computeSignatureAsync(
    protection.serverCertificate,
    created.serverNonce,
    library.makePrivateKeyFromPem(protection.papers.privateKeyPem),
    protection.policy,
  );
  const ask = async (request: Request, s: AbortSignal) => {
    request.requestHeader.authenticationToken = created.authenticationToken;
    return await channel.ask(request, s);
  };
  await ask(
    new library.ActivateSessionRequest({
      userIdentityToken,
      localeIds: [],
      ...(clientSignature && { clientSignature }),
    }),
    signal,
  );
  return { channel, library, ask };
}

/** It holds the key of the certificate that was trusted, now. */
function checkServer(
  channel: Channel,
  { papers, policy, serverCertificate }: Protection,
  { serverSignature, serverCertificate: shown }: CreateSessionResponse,
  clientNonce: Buffer,
  library: Library,
): void {
  const [own] = papers.chain;
  const isSame = shown?.equals(serverCertificate) ?? false;
  const isSigned = own !== undefined && serverSignature?.signature &&
    library.verifySignature(own, clientNonce, serverSignature, serverCertificate, policy);
  if (!isSame || !isSigned) throw channel.unavailable("it does not prove that it is who it says");
}

async function identity(
  created: CreateSessionResponse,
  { protection, url }: Channel,
  { library, trust, config }:
    & Pick<SessionParts, "library" | "trust">
    & Pick<DriverDevice, "config">,
) {
  const tokens = (created.serverEndpoints ?? []).filter((each) =>
    each.securityMode === (protection?.mode ?? library.MessageSecurityMode.None) &&
    shortPolicy(each.securityPolicyUri) === shortPolicy(protection?.policy ?? null)
  ).flatMap(({ userIdentityTokens }) => userIdentityTokens ?? []);
  const userName = textSetting(config["userName"] ?? config["username"]);
  if (userName === undefined) {
    return new library.AnonymousIdentityToken({ policyId: anonymousLogIn(tokens).policyId });
  }
  const chosen = userNameLogIn(tokens, protection?.policy);
  const password = Buffer.from(textSetting(config["password"]) ?? "");
  if (chosen.policyUri === undefined) {
    const { policyId } = chosen;
    return new library.UserNameIdentityToken({ policyId, userName, password });
  }
  const { serverCertificate } = created;
  if (!serverCertificate?.length) {
    throw new AppError("unavailable", `OPC UA server ${url} shows no certificate to encrypt for`);
  }
  // on a channel without security nobody has looked at it yet
  if (!protection) await trust(serverCertificate, url, config);
  return encrypted(created, { chosen, userName, password }, library);
}

function encrypted(
  { serverCertificate, serverNonce }: CreateSessionResponse,
  { chosen, userName, password }: { chosen: LogIn; userName: string; password: Buffer },
  library: Library,
) {
  const factory = library.getCryptoFactory(chosen.policyUri as SecurityPolicy); // one of POLICIES
  if (!factory) throw new AppError("internal", `No means for ${chosen.policyUri}`);
  const nonce = serverNonce ?? Buffer.alloc(0);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(password.length + nonce.length);
  const { publicKey } = new X509Certificate(serverCertificate);
  // it is the same KeyObject, in the library's words
  const encryptFor = publicKey as Parameters<typeof factory.asymmetricEncrypt>[1];
  return new library.UserNameIdentityToken({
    policyId: chosen.policyId,
    userName,
    password: factory.asymmetricEncrypt(Buffer.concat([length, password, nonce]), encryptFor),
    encryptionAlgorithm: factory.asymmetricEncryptionAlgorithm,
  });
}
