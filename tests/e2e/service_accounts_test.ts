/**
 * Service account tokens as programs in pods and people with kubectl meet them: asked for,
 * believed, mounted, kept over a reboot without a cloud, and dead with their pod.
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import type { Pod } from "../../shared/k8s/types.ts";
import type { Site } from "../support/site.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

const FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";
const SCRIPT = `cat ${FOLDER}/namespace; echo; cat ${FOLDER}/ca.crt | head -1; ` +
  `cat ${FOLDER}/token; echo; cat /vault/token; echo; while :; do sleep 1; done`;

function claimsOf(token: string): Record<string, unknown> {
  const body = token.split(".")[1] ?? "";
  const bytes = Uint8Array.fromBase64(body, { alphabet: "base64url" });
  return JSON.parse(new TextDecoder().decode(bytes));
}

function whoami(site: Site, token: string) {
  return site.kubectl.run(["auth", "whoami", "-o", "json", `--token=${token}`]);
}

/** The lines the pod of `name` printed at its start, once all are there. */
async function lines(site: Site, name: string): Promise<string[]> {
  return await until(async () => {
    const found = (await site.edge.text(`/v1/pods/default/${name}/logs`)).trim().split("\n");
    return found.length >= 4 && found;
  }, { what: `the words of ${name}`, timeoutMs: 30_000 });
}

const runs = (pod: Pod) => pod.status?.containerStatuses?.[0]?.state?.running;

siteTest("service accounts have tokens, and pods hold them", async ({ site, t }) => {
  const { kubectl } = site;
  await kubectl.must(["create", "serviceaccount", "robot"]);

  await t.step("kubectl create token: who, for whom, until when", async () => {
    const token = (await kubectl.must(["create", "token", "robot", "--duration=20m"])).trim();
    const claims = claimsOf(token);
    assertEquals(claims.sub, "system:serviceaccount:default:robot");
    assertEquals(Number(claims.exp) - Number(claims.iat), 1_200);
    const { status } = JSON.parse((await whoami(site, token)).stdout);
    assertEquals(status.userInfo.username, claims.sub);
    const refused = await kubectl.run(["get", "secrets", `--token=${token}`]);
    assertMatch(refused.stderr, /User "system:serviceaccount:default:robot" cannot list/);
    const short = await kubectl.run(["create", "token", "robot", "--duration=1m"]);
    assertMatch(short.stderr, /less than 10 minutes/);
    const vault = await kubectl.must(["create", "token", "robot", "--audience=vault"]);
    assertNotEquals((await whoami(site, vault.trim())).code, 0);
  });

  const source = { audience: "vault", expirationSeconds: 600, path: "token" };
  const volumes = [{ name: "vault", projected: { sources: [{ serviceAccountToken: source }] } }];
  const mounts = [{ name: "vault", mountPath: "/vault" }];
  const spec = { serviceAccountName: "robot", volumes };
  const container = { volumeMounts: mounts };
  await kubectl.apply(podManifest("web", { script: SCRIPT, container, spec }));
  const pod = await site.podRuns("web");
  const [namespace, ca, token = "", vault = ""] = await lines(site, "web");

  await t.step("a pod holds its token, the CA and its namespace; the key proves both", async () => {
    assertEquals([namespace, ca], ["default", "-----BEGIN CERTIFICATE-----"]);
    const bound = Object(claimsOf(token)["kubernetes.io"]).pod;
    assertEquals(bound, { name: "web", uid: pod.metadata.uid });
    assertEquals(claimsOf(vault).aud, ["vault"]);
    assertEquals((await whoami(site, token)).code, 0);
    const jwks = await site.cloud.get<{ keys: JsonWebKey[] }>("/openid/v1/jwks");
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    const key = await crypto.subtle.importKey("jwk", jwks.keys[0]!, algorithm, false, ["verify"]);
    const [head, body, signature = ""] = vault.split(".");
    const signed = new TextEncoder().encode(`${head}.${body}`);
    const bytes = Uint8Array.fromBase64(signature, { alphabet: "base64url" });
    const how = { name: "ECDSA", hash: "SHA-256" };
    assert(await crypto.subtle.verify(how, key, bytes, signed));
    const about = await site.cloud.get<{ issuer: string }>("/.well-known/openid-configuration");
    assertEquals(about.issuer, claimsOf(vault).iss);
  });

  await t.step("its own node keeps them sealed, and shows them to nobody", async () => {
    for (const folder of [`${site.edgeDir}/store`]) {
      for await (const { name, isFile } of Deno.readDir(folder)) {
        const text = isFile
          ? new TextDecoder().decode(await Deno.readFile(`${folder}/${name}`))
          : "";
        assert(!text.includes(token), `${name} holds a token in plain`);
      }
    }
    assertEquals((await site.edge.text("/api/v1")).includes("podtokens"), false);
  });

  await t.step("after a reboot without a cloud the pod starts with the token it had", async () => {
    await site.relay.cut();
    await site.killEdge();
    await site.containerd.reboot();
    await site.startEdge();
    const before = pod.status?.containerStatuses?.[0]?.containerID;
    await until(async () => {
      const now = await site.edge.pod("web");
      return runs(now) && now.status?.containerStatuses?.[0]?.containerID !== before;
    }, { what: "the pod anew", timeoutMs: 60_000 });
    assertEquals((await lines(site, "web")).at(-2), token);
    site.relay.heal();
    await site.nodeIs("True", 120_000);
  });

  await t.step("a token dies with its pod", async () => {
    await kubectl.must(["delete", "pod", "web"]);
    assertMatch((await whoami(site, token)).stderr, /Unauthorized|logged in/);
  });

  await t.step("a new namespace has account and CA; a pod may go without its token", async () => {
    await kubectl.must(["create", "namespace", "fresh"]);
    await until(
      async () =>
        await site.cloud.find("/api/v1/namespaces/fresh/serviceaccounts/default") &&
        await site.cloud.find("/api/v1/namespaces/fresh/configmaps/kube-root-ca.crt"),
      { what: "what a namespace holds", timeoutMs: 10_000 },
    );
    const bare = { automountServiceAccountToken: false };
    await kubectl.apply(podManifest("bare", { spec: bare }));
    assertEquals((await site.podRuns("bare")).spec.volumes, undefined);
  });
});
