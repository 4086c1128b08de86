import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { KubeObject, Pod } from "../../shared/k8s/types.ts";
import type { PodTokens } from "../../shared/wire/pod_tokens.ts";
import { ProjectedTokens } from "./pod_tokens.ts";
import type { PodTokenIssuer } from "./port.ts";

const DAY_MS = 86_400_000;
const BORN_MS = Date.parse("2026-01-01T00:00:00Z");

const account: KubeObject = { metadata: { name: "default", namespace: "ns", uid: "sa-1" } };

class Issuer implements PodTokenIssuer {
  issued = 0;

  lifeSeconds(_audience: string, expirationSeconds: number): number {
    return expirationSeconds === 3_607 ? 365 * 86_400 : expirationSeconds;
  }

  issue(_pod: Pod, _account: KubeObject, _request: object, issuedAtMs: number): string {
    return `${issuedAtMs}/${this.issued++}`; // as a signature: never twice the same
  }
}

function podWith(...expirations: number[]): Pod {
  const sources = expirations.map((expirationSeconds) => ({
    serviceAccountToken: { path: `t${expirationSeconds}`, expirationSeconds },
  }));
  return {
    metadata: {
      name: "web",
      namespace: "ns",
      uid: "pod-1",
      creationTimestamp: "2026-01-01T00:00:00Z",
    },
    spec: { containers: [], volumes: [{ name: "api", projected: { sources } }] },
  };
}

function tokensOf(item: { object: unknown } | undefined) {
  return (item?.object as PodTokens).tokens;
}

Deno.test("a token stays until it has lived a day, or 80 % of a shorter life", () => {
  const issuer = new Issuer();
  const tokens = new ProjectedTokens(issuer);
  const [long, short] = [podWith(3_607), podWith(1_000)];
  short.metadata.name = "short";
  const first = tokens.of(long, account, BORN_MS + 5);
  assertEquals(tokensOf(first)[0]?.issuedAtMs, BORN_MS);
  assertEquals(tokens.of(long, account, BORN_MS + DAY_MS - 1), first);
  assertEquals(tokens.renewAtMs(long), BORN_MS + DAY_MS);
  const second = tokens.of(long, account, BORN_MS + DAY_MS);
  assertNotEquals(second?.resourceVersion, first?.resourceVersion);
  assertEquals(tokensOf(second)[0]?.issuedAtMs, BORN_MS + DAY_MS);

  tokens.of(short, account, BORN_MS);
  assertEquals(tokens.renewAtMs(short), BORN_MS + 800_000);
});

Deno.test("a cloud that starts anew says the same, for all that the signature differs", () => {
  const issuer = new Issuer();
  const atMs = BORN_MS + 40 * DAY_MS + 7;
  const before = new ProjectedTokens(issuer).of(podWith(3_607, 600), account, atMs);
  const after = new ProjectedTokens(issuer).of(podWith(3_607, 600), account, atMs + 1_000);
  assertEquals(after?.resourceVersion, before?.resourceVersion);
  assertNotEquals(tokensOf(after)[0]?.token, tokensOf(before)[0]?.token);
});

Deno.test("another account under the same name, and another pod, get tokens of their own", () => {
  const tokens = new ProjectedTokens(new Issuer());
  const first = tokens.of(podWith(3_607), account, BORN_MS);
  const other = { metadata: { ...account.metadata, uid: "sa-2" } };
  assertNotEquals(
    tokens.of(podWith(3_607), other, BORN_MS)?.resourceVersion,
    first?.resourceVersion,
  );
  const pod = podWith(3_607);
  pod.metadata.uid = "pod-2";
  assertEquals(tokens.of(pod, account, BORN_MS)?.uid, "pod-2");
  assertEquals(tokens.of(podWith(), account, BORN_MS), undefined);
  tokens.forget(pod);
  assertEquals(tokens.renewAtMs(pod), undefined);
});

Deno.test("a pod that asks for any number of tokens gets a bounded one", () => {
  const many = podWith(...Array.from({ length: 40 }, (_, i) => 600 + i));
  const item = new ProjectedTokens(new Issuer()).of(many, account, BORN_MS);
  assert(tokensOf(item).length <= 16);
});
