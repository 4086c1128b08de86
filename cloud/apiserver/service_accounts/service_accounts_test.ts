import { assert, assertEquals, assertMatch } from "@std/assert";
import { isJsonObject } from "../../../shared/json/json.ts";
import type { Pod } from "../../../shared/k8s/types.ts";
import type { TokenSigner } from "../port.ts";
import { samplePod, testServer } from "../testing.ts";
import { admitPod } from "./admit_pod.ts";
import { userOfClaims } from "./token_claims.ts";

/** Signs with nothing: what a token says stands in it. */
const signer: TokenSigner = {
  issuer: "https://issuer",
  keys: [{ kid: "k1", alg: "ES256" }],
  sign: (claims) => `fake.${btoa(JSON.stringify(claims))}.x`,
  verify: (token) => {
    if (!token.startsWith("fake.")) return undefined;
    const claims: unknown = JSON.parse(atob(token.split(".")[1] ?? ""));
    return isJsonObject(claims) ? claims : undefined;
  },
};

const ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts";
const PODS = "/api/v1/namespaces/default/pods";

async function serverWithAccount() {
  const server = await testServer({ tokenSigner: signer });
  await server.call("POST", ACCOUNTS, { metadata: { name: "robot" } }, { expect: 201 });
  return server;
}

const request = (spec: object) => ({
  apiVersion: "authentication.k8s.io/v1",
  kind: "TokenRequest",
  spec,
});

Deno.test("a token says who, for whom and until when, and is believed while it holds", async () => {
  await using server = await serverWithAccount();
  const answer = await server.call("POST", `${ACCOUNTS}/robot/token`, request({}), { expect: 201 });
  assertEquals(answer.body.spec.expirationSeconds, 3600);
  assertMatch(answer.body.status.expirationTimestamp, /^\d{4}-.*Z$/);
  const headers = {
    authorization: `Bearer ${answer.body.status.token}`,
    "content-type": "application/json",
  };
  const fetchAs = (path: string, init: RequestInit = {}) =>
    Promise.resolve(server.server.app.fetch(new Request(`http://x${path}`, { ...init, headers })));
  const review = await fetchAs("/apis/authentication.k8s.io/v1/selfsubjectreviews", {
    method: "POST",
    body: "{}",
  });
  const { userInfo } = (await review.json()).status;
  assertEquals(userInfo.username, "system:serviceaccount:default:robot");
  assert(userInfo.groups.includes("system:serviceaccounts:default"));
  assert(userInfo.groups.includes("system:authenticated"));
  const pods = await fetchAs(PODS);
  assertEquals(pods.status, 403);
  assertMatch(
    (await pods.json()).message,
    /User "system:serviceaccount:default:robot" cannot list/,
  );
  const keys = await fetchAs("/openid/v1/jwks");
  assertEquals((await keys.json()).keys[0].kid, "k1");

  await server.call("DELETE", `${ACCOUNTS}/robot`, undefined, { expect: 200 });
  const after = await fetchAs("/api");
  assertEquals(after.status, 401);
  await after.body?.cancel();
});

Deno.test("a bound token is refused for another pod, and dies with its own", async () => {
  await using server = await serverWithAccount();
  const pod = samplePod("web");
  Object.assign(Object(pod.spec), { serviceAccountName: "robot" });
  const made = await server.call("POST", PODS, pod, { expect: 201 });
  await server.call("POST", PODS, samplePod("other"), { expect: 201 });
  const ask = (name: string, uid?: string) =>
    server.call(
      "POST",
      `${ACCOUNTS}/robot/token`,
      request({ boundObjectRef: { kind: "Pod", name, uid } }),
    );
  assertEquals((await ask("other")).status, 403);
  assertEquals((await ask("web", "wrong")).status, 409);
  assertEquals((await ask("nowhere")).status, 404);
  const good = await ask("web", made.body.metadata.uid);
  assertEquals(good.status, 201);
  const claims = signer.verify(good.body.status.token)!;
  const find = (there: boolean) => (resource: string) =>
    resource === "pods"
      ? there ? { metadata: { uid: made.body.metadata.uid } } : undefined
      : { metadata: { uid: accountUid } };
  const accountUid = (await server.call("GET", `${ACCOUNTS}/robot`)).body.metadata.uid;
  const nowMs = Date.parse(good.body.metadata.creationTimestamp);
  const at = { issuer: signer.issuer, nowMs };
  assertEquals(
    userOfClaims(claims, { ...at, find: find(true) })?.extra?.[
      "authentication.kubernetes.io/pod-name"
    ],
    ["web"],
  );
  assertEquals(userOfClaims(claims, { ...at, find: find(false) }), undefined);
  const late = { ...at, nowMs: nowMs + 3_700_000 };
  assertEquals(userOfClaims(claims, { ...late, find: find(true) }), undefined);
  const others = { ...claims, aud: ["vault"] };
  assertEquals(userOfClaims(others, { ...at, find: find(true) }), undefined);
});

Deno.test("bad token requests name the field", async () => {
  await using server = await serverWithAccount();
  const cases: [object, RegExp][] = [
    [{ expirationSeconds: 599 }, /spec\.expirationSeconds: .*less than 10 minutes/],
    [{ expirationSeconds: 2 ** 33 }, /spec\.expirationSeconds: .*2\^32/],
    [{ audiences: [""] }, /spec\.audiences/],
    [{ boundObjectRef: { kind: "Job", name: "x" } }, /spec\.boundObjectRef\.kind/],
  ];
  for (const [spec, message] of cases) {
    const answer = await server.call("POST", `${ACCOUNTS}/robot/token`, request(spec));
    assertEquals(answer.status, 422, JSON.stringify(spec));
    assertMatch(answer.body.message, message);
  }
  const none = await server.call("POST", `${ACCOUNTS}/nobody/token`, request({}));
  assertEquals(none.status, 404);
});

Deno.test("a new pod is given its account's volume and pull secrets, or told not to", async () => {
  await using server = await serverWithAccount();
  const account = { metadata: { name: "puller" }, imagePullSecrets: [{ name: "reg" }] };
  await server.call("POST", ACCOUNTS, account, { expect: 201 });
  const plain = await server.call("POST", PODS, samplePod("plain"), { expect: 201 });
  assertEquals(plain.body.spec.serviceAccountName, "default");
  const [volume] = plain.body.spec.volumes;
  assertMatch(volume.name, /^kube-api-access-/);
  assertEquals(plain.body.spec.containers[0].volumeMounts, [{
    name: volume.name,
    readOnly: true,
    mountPath: "/var/run/secrets/kubernetes.io/serviceaccount",
  }]);
  const quiet = samplePod("quiet");
  Object.assign(Object(quiet.spec), {
    automountServiceAccountToken: false,
    serviceAccountName: "puller",
  });
  const made = await server.call("POST", PODS, quiet, { expect: 201 });
  assertEquals(made.body.spec.volumes, undefined);
  assertEquals(made.body.spec.imagePullSecrets, [{ name: "reg" }]);
  const lost = samplePod("lost");
  Object.assign(Object(lost.spec), { serviceAccountName: "nobody" });
  const refused = await server.call("POST", PODS, lost);
  assertEquals(refused.status, 403);
  assertMatch(refused.body.message, /serviceaccount "nobody" not found/);
});

Deno.test("a pod that mounts something at the token's place keeps it", () => {
  const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
  const pod: Pod = {
    metadata: { name: "own", namespace: "ns" },
    spec: { containers: [{ name: "c", image: "i", volumeMounts: [{ name: "mine", mountPath }] }] },
  };
  const admitted = admitPod(pod, () => undefined, () => "abcde");
  assertEquals(admitted.spec.volumes, undefined);
  assertEquals(admitted.spec.containers, pod.spec.containers);
});
