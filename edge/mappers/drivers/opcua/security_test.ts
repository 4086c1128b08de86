import { assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { AppError } from "../../../../shared/errors.ts";
import * as library from "./library.ts";
import { parseCertificates, parsePrivateKey } from "./pem.ts";
import { anonymousLogIn, chooseEndpoint, POLICIES, userNameLogIn } from "./security.ts";
import { wantedSecurity } from "./security.ts";

const URI = "http://opcfoundation.org/UA/SecurityPolicy#";

Deno.test("wantedSecurity() takes the names manifests use", () => {
  assertEquals(wantedSecurity({}), { mode: "None", policies: [] });
  assertEquals(wantedSecurity({ securityMode: "none" }), { mode: "None", policies: [] });
  assertEquals(wantedSecurity({ securityPolicy: "None", securityMode: "None" }).mode, "None");
  const named = { mode: "SignAndEncrypt", policies: ["Aes256_Sha256_RsaPss"] } as const;
  for (const securityPolicy of ["aes256sha256rsapss", `${URI}Aes256_Sha256_RsaPss`]) {
    assertEquals(wantedSecurity({ securityPolicy }), named);
  }
  assertEquals(wantedSecurity({ securityMode: "sign" }), { mode: "Sign", policies: POLICIES });
});

Deno.test("wantedSecurity() refuses what is unknown, broken or at odds", () => {
  const bad = [
    [{ securityPolicy: "Basic128Rsa15" }, "securityPolicy must be one of None"],
    [{ securityMode: "encrypt" }, "securityMode must be one of None"],
    [{ securityMode: "None", securityPolicy: "Basic256Sha256" }, "None exactly where"],
    [{ securityMode: "Sign", securityPolicy: "None" }, "None exactly where"],
  ] as const;
  for (const [config, message] of bad) {
    assertThrows(() => wantedSecurity(config), AppError, message);
  }
});

function endpoints(...offers: [number, string][]) {
  const response = new library.GetEndpointsResponse({
    endpoints: offers.map(([securityMode, policy]) => ({
      securityMode,
      securityPolicyUri: URI + policy,
    })),
  });
  return response.endpoints ?? [];
}

Deno.test("chooseEndpoint() takes the best of those that will do, or says what there is", () => {
  const offered = endpoints(
    [1, "None"],
    [3, "Aes128_Sha256_RsaOaep"],
    [3, "Basic256Sha256"],
    [2, "Aes256_Sha256_RsaPss"],
  );
  const best = chooseEndpoint(offered, { mode: "SignAndEncrypt", policies: POLICIES });
  assertEquals(best.securityPolicyUri, `${URI}Basic256Sha256`);
  assertThrows(
    () => chooseEndpoint(offered.slice(0, 2), { mode: "Sign", policies: ["Basic256Sha256"] }),
    AppError,
    "no Basic256Sha256 with Sign, but None/None, Aes128_Sha256_RsaOaep/SignAndEncrypt",
  );
  assertThrows(() => chooseEndpoint([], { mode: "Sign", policies: POLICIES }), AppError, "nothing");
});

function tokens(...policies: (string | null)[]) {
  const userIdentityTokens = policies.map((policy, index) => ({
    policyId: `p${index}`,
    tokenType: 1,
    securityPolicyUri: policy && URI + policy,
  }));
  const { endpoints } = new library.GetEndpointsResponse({ endpoints: [{ userIdentityTokens }] });
  return endpoints?.[0]?.userIdentityTokens ?? [];
}

Deno.test("userNameLogIn() rather encrypts a password, and never with a broken policy", () => {
  const basic = `${URI}Basic256Sha256`;
  assertEquals(userNameLogIn(tokens("None", "Basic256Sha256"), undefined), {
    policyId: "p1",
    policyUri: basic,
  });
  assertEquals(userNameLogIn(tokens(null), basic), { policyId: "p0", policyUri: basic });
  assertEquals(userNameLogIn(tokens(null), undefined), { policyId: "p0", policyUri: undefined });
  const broken = tokens("Basic128Rsa15");
  assertThrows(() => userNameLogIn(broken, undefined), AppError, "only as Basic128Rsa15");
  assertThrows(() => userNameLogIn([], basic), AppError, "no user name here");
  assertEquals(anonymousLogIn([]), { policyId: "anonymous", policyUri: undefined });
});

Deno.test("what is no certificate or key is refused without a word of what it holds", () => {
  const secret = Buffer.from("root:secret:0:0");
  const noCertificate = assertThrows(() => parseCertificates("certificate", secret), AppError);
  assertEquals(noCertificate.message, "Cannot use certificate: it holds no certificate");
  const noKey = assertThrows(() => parsePrivateKey("privateKey", secret), AppError);
  assertEquals(noKey.message, "Cannot use privateKey: it must be an RSA key without a password");
});
