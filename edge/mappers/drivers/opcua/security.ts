/**
 * What security a device is to be reached with, as its configuration says, and which of a server's
 * endpoints and log-ins that is. Policies whose algorithms are broken are not spoken. Pure.
 */
import type { EndpointDescription, UserTokenPolicy } from "node-opcua-service-endpoints";
import { AppError } from "../../../../shared/errors.ts";
import { badSetting, textSetting } from "../../settings.ts";

export type Mode = "None" | "Sign" | "SignAndEncrypt";

/** Of two that a server offers, the first. */
export const POLICIES = ["Aes256_Sha256_RsaPss", "Basic256Sha256", "Aes128_Sha256_RsaOaep"];
const MODES: readonly Mode[] = ["None", "Sign", "SignAndEncrypt"];
const PREFIX = "http://opcfoundation.org/UA/SecurityPolicy#";

export interface WantedSecurity {
  mode: Mode;
  /** Those that will do, best first; none of them for mode None. */
  policies: readonly string[];
}

/** Nothing said is None; a policy alone, to encrypt; a mode alone, the server's best policy. */
export function wantedSecurity(config: Readonly<Record<string, unknown>>): WantedSecurity {
  const policy = oneOf(["None", ...POLICIES], "securityPolicy", config);
  const mode = oneOf(MODES, "securityMode", config);
  if (policy === undefined && mode === undefined) return { mode: "None", policies: [] };
  const isOpen = (policy ?? mode) === "None";
  if (isOpen !== ((mode ?? policy) === "None")) {
    throw badSetting("securityMode", `None exactly where securityPolicy is, ${policy}`, mode);
  }
  if (isOpen) return { mode: "None", policies: [] };
  return {
    mode: mode ?? "SignAndEncrypt",
    policies: policy === undefined ? POLICIES : [policy],
  };
}

/** The endpoint to be used. Throws AppError "unavailable" that names what the server has. */
export function chooseEndpoint(
  endpoints: readonly EndpointDescription[],
  { mode, policies }: WantedSecurity,
): EndpointDescription & { securityPolicyUri: string } {
  const offers = endpoints.map((endpoint) => ({
    endpoint,
    policy: shortPolicy(endpoint.securityPolicyUri),
    mode: MODES[endpoint.securityMode - 1],
  }));
  for (const policy of policies) {
    const found = offers.find((offer) => offer.mode === mode && offer.policy === policy);
    if (found) return Object.assign(found.endpoint, { securityPolicyUri: PREFIX + policy });
  }
  const has = [...new Set(offers.map((offer) => `${offer.policy}/${offer.mode}`))].slice(0, 12);
  throw new AppError(
    "unavailable",
    `Server offers no ${policies.join(" or ")} with ${mode}, but ${has.join(", ") || "nothing"}`,
  );
}

const ANONYMOUS = 0;
const USER_NAME = 1;

export interface LogIn {
  policyId: string | null;
  /** What the password is encrypted with; undefined: nothing. */
  policyUri: string | undefined;
}

/** Some servers name no policy for those without a name, and take them all the same. */
export function anonymousLogIn(tokens: readonly UserTokenPolicy[]): LogIn {
  const token = tokens.find(({ tokenType }) => tokenType === ANONYMOUS);
  return { policyId: token?.policyId ?? "anonymous", policyUri: undefined };
}

/** An encrypted password rather than an open one, whatever the channel does. */
export function userNameLogIn(
  tokens: readonly UserTokenPolicy[],
  channelPolicy: string | undefined,
): LogIn {
  const offers = tokens.filter(({ tokenType }) => tokenType === USER_NAME)
    .map(({ policyId, securityPolicyUri }) => {
      // one without a policy of its own has the channel's
      return { policyId, policy: shortPolicy(securityPolicyUri || channelPolicy || "None") };
    });
  for (const policy of POLICIES) {
    const found = offers.find((offer) => offer.policy === policy);
    if (found) return { policyId: found.policyId, policyUri: PREFIX + policy };
  }
  const open = offers.find(({ policy }) => policy === "None");
  if (open) return { policyId: open.policyId, policyUri: undefined };
  const message = offers.length === 0
    ? "Cannot log in: the server takes no user name here"
    : `Cannot log in: the server takes passwords only as ${offers.map((o) => o.policy).join()}`;
  throw new AppError("invalid", message);
}

export function shortPolicy(uri: string | null): string {
  return uri?.split("#").at(-1)?.slice(0, 60) || "None";
}

function oneOf<T extends string>(
  values: readonly T[],
  key: string,
  config: Readonly<Record<string, unknown>>,
): T | undefined {
  const text = textSetting(config[key]);
  if (text === undefined) return undefined;
  const plain = (name: string) => shortPolicy(name).toLowerCase().replaceAll(/[-_ ]/g, "");
  const found = values.find((value) => plain(value) === plain(text));
  if (found === undefined) throw badSetting(key, `one of ${values.join(", ")}`, text);
  return found;
}
