import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { X509Certificate } from "node:crypto";
import { type Clock, SystemClock } from "../../shared/clock.ts";
import { AppError, type ErrorCode } from "../../shared/errors.ts";
import { SystemRandom } from "../../shared/random.ts";
import { formatToken, parseToken } from "../../shared/wire/join_token.ts";
import { generateKeyPair, loadX509, SIGNATURE_ALGORITHM } from "../../shared/wire/x509.ts";
import { openAuthority } from "./authority.ts";
import { NodeEnrollment } from "./enrollment.ts";
import { NodeRegistry } from "./node_registry.ts";
import { checkNodeName } from "./profiles.ts";
import { Signer } from "./signer.ts";
import { TokenStore } from "./token_store.ts";
import { checkUse, type TokenRecord } from "./tokens.ts";

const random = new SystemRandom();
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

class OffsetClock extends SystemClock implements Clock {
  offsetMs = 0;
  override nowMs(): number {
    return super.nowMs() + this.offsetMs;
  }
}

async function inTemp(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-pki-" });
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function setUp(dir: string) {
  const clock = new OffsetClock();
  const authority = await openAuthority({ dir: join(dir, "pki"), clock, random });
  const signer = new Signer({ authority, clock, random });
  const tokens = new TokenStore({ dir: join(dir, "tokens"), clock, random });
  const nodes = new NodeRegistry({ dir: join(dir, "nodes"), random });
  const enrollment = new NodeEnrollment({ authority, signer, tokens, nodes, clock });
  const create = async (node?: string, uses = 1) => {
    const base = { authorityHash: authority.hash, ttlMs: HOUR_MS, uses };
    return (await tokens.create(node === undefined ? base : { ...base, node })).token;
  };
  /** As after a restart of the cloud, with the clock as it is now. */
  const reopen = () => new NodeEnrollment({ authority, signer, tokens, nodes, clock });
  return { clock, authority, signer, tokens, nodes, enrollment, create, reopen };
}

async function request(keys?: CryptoKeyPair): Promise<{ keys: CryptoKeyPair; pem: string }> {
  const x509 = await loadX509();
  keys ??= await generateKeyPair();
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: "CN=system:masters",
    keys,
    signingAlgorithm: SIGNATURE_ALGORITHM,
  });
  return { keys, pem: csr.toString("pem") };
}

async function assertCode(code: ErrorCode, message: string, work: () => Promise<unknown>) {
  const error = await assertRejects(work, AppError, message);
  assertEquals(error.code, code);
}

function der(pem: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new X509Certificate(pem).raw);
}

Deno.test("openAuthority() makes key and certificate once and reads them ever after", async () => {
  await inTemp(async (dir) => {
    const options = { dir: join(dir, "pki"), clock: new SystemClock(), random };
    const first = await openAuthority(options);
    const second = await openAuthority(options);
    assertEquals(first.hash, second.hash);
    assertEquals((await Deno.stat(join(dir, "pki", "ca.key"))).mode! & 0o777, 0o600);
    assertEquals((await Array.fromAsync(Deno.readDir(join(dir, "pki")))).length, 2);
    assert(new X509Certificate(first.certificate).ca);
  });
});

Deno.test("openAuthority() names the file that is corrupt, missing or foreign", async () => {
  await inTemp(async (dir) => {
    const options = { dir, clock: new SystemClock(), random };
    await openAuthority(options);
    const key = await Deno.readTextFile(join(dir, "ca.key"));
    await Deno.writeTextFile(join(dir, "ca.key"), key.slice(0, 60));
    await assertCode("invalid", "ca.key", () => openAuthority(options));
    await Deno.remove(join(dir, "ca.key"));
    await assertCode("invalid", "ca.key is missing", () => openAuthority(options));
    await inTemp(async (other) => {
      await openAuthority({ ...options, dir: other });
      await Deno.copyFile(join(other, "ca.key"), join(dir, "ca.key"));
    });
    await assertCode("invalid", "does not belong", () => openAuthority(options));
    await Deno.writeTextFile(join(dir, "ca.crt"), "nonsense");
    await assertCode("invalid", "ca.crt", () => openAuthority(options));
  });
});

Deno.test("Signer writes names into server certificates and groups into client ones", async () => {
  await inTemp(async (dir) => {
    const { authority, signer } = await setUp(dir);
    const server = await signer.issueServer(["localhost", "127.0.0.1", "::1", "fe80::1%eth0"]);
    const parsed = new X509Certificate(server.certificate);
    assert(parsed.checkHost("hub.skerry.internal"));
    assert(parsed.checkIP("127.0.0.1"));
    assert(parsed.checkIssued(new X509Certificate(authority.certificate)));
    const admin = new X509Certificate((await signer.issueAdmin("admin")).certificate);
    assertEquals(admin.subject, "O=system:masters\nCN=admin");
  });
});

Deno.test("enroll() signs a subject of its own, whatever the request says", async () => {
  await inTemp(async (dir) => {
    const { enrollment, create } = await setUp(dir);
    const { pem } = await request();
    const token = await create();
    const { certificate } = await enrollment.enroll({
      token,
      nodeName: "n1",
      certificateRequest: pem,
    });
    const parsed = new X509Certificate(certificate);
    assertEquals(parsed.subject, "O=system:nodes\nCN=system:node:n1");
    assertEquals((await enrollment.identify(der(certificate), "session")).node, "n1");
  });
});

Deno.test("a node whose record is damaged is out until it enrolls again", async () => {
  await inTemp(async (dir) => {
    const { enrollment, create } = await setUp(dir);
    const { pem } = await request();
    const enroll = async () =>
      await enrollment.enroll({ token: await create(), nodeName: "n1", certificateRequest: pem });
    const { certificate } = await enroll();
    const identify = () => enrollment.identify(der(certificate), "session");
    const file = join(dir, "nodes", "n1.json");
    const whole = await Deno.readTextFile(file);
    for (const left of ["", whole.slice(0, 40), whole.replace("keyHash", "keyHasi"), "null"]) {
      await Deno.writeTextFile(file, left);
      await assertCode("forbidden", "record of node n1 is damaged: it must join again", identify);
      await enroll();
      assertEquals((await identify()).node, "n1");
    }
  });
});

Deno.test("enroll() refuses with a reason of its own for each cause", async () => {
  await inTemp(async (dir) => {
    const { clock, tokens, enrollment, create } = await setUp(dir);
    const { pem } = await request();
    const enroll = (token: string, nodeName = "n1", certificateRequest = pem) =>
      enrollment.enroll({ token, nodeName, certificateRequest });
    const good = await create("n1");
    await assertCode("invalid", "Malformed join token", () => enroll("hello"));
    await assertCode("invalid", "certificate request", () => enroll(good, "n1", "nonsense"));
    await assertCode("invalid", "node name", () => enroll(good, "N_1"));
    await assertCode("invalid", "node name", () => enroll(good, "../n1"));
    await assertCode("forbidden", "bound to node n1", () => enroll(good, "n2"));
    const forged = formatToken({ ...parseToken(good), secret: "A".repeat(43) });
    await assertCode("unauthenticated", "Unknown join token", () => enroll(forged));
    const foreign = formatToken({ ...parseToken(good), authorityHash: "00".repeat(32) });
    await assertCode("unauthenticated", "another certificate authority", () => enroll(foreign));
    await enroll(good);
    await assertCode("unauthenticated", "already used", () => enroll(good));
    const revoked = await create();
    assert(await tokens.revoke(parseToken(revoked).id));
    await assertCode("unauthenticated", "Unknown join token", () => enroll(revoked));
    const old = await create();
    clock.offsetMs = 2 * HOUR_MS;
    await assertCode("unauthenticated", "expired at", () => enroll(old));
  });
});

Deno.test("TokenStore lets through only as many spenders as there are uses", async () => {
  await inTemp(async (dir) => {
    const { tokens, create } = await setUp(dir);
    const token = await create(undefined, 3);
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, () => tokens.spend(token, "n1")),
    );
    assertEquals(results.filter((r) => r.status === "fulfilled").length, 3);
    assertEquals((await tokens.list()).map((t) => t.usesLeft), [0]);
    const file = join(dir, "tokens", `${parseToken(token).id}.json`);
    assertEquals((await Deno.stat(file)).mode! & 0o777, 0o600);
    assert(!(await Deno.readTextFile(file)).includes(parseToken(token).secret));
  });
});

Deno.test("TokenStore works beside a damaged token, which list() names", async () => {
  await inTemp(async (dir) => {
    const { tokens, create } = await setUp(dir);
    await create();
    const id = (await tokens.list())[0]!.id;
    await Deno.writeTextFile(join(dir, "tokens", `${id}.json`), "junk");
    await tokens.spend(await create(), "n1");
    const error = await assertRejects(() => tokens.list(), AppError);
    assert(error.message.includes(`${id}.json`));
    assert(await tokens.revoke(id));
    assertEquals((await tokens.list()).length, 1);
  });
});

Deno.test("identify() refuses foreign, outdated, revoked and replaced certificates", async () => {
  await inTemp(async (dir) => {
    const { clock, nodes, signer, create, reopen, ...first } = await setUp(dir);
    let { enrollment } = first;
    const { keys, pem } = await request();
    const input = { nodeName: "n1", certificateRequest: pem };
    const { certificate } = await enrollment.enroll({ ...input, token: await create() });
    const identify = (purpose: "session" | "renew", c = certificate) =>
      enrollment.identify(der(c), purpose);
    const admin = (await signer.issueAdmin("admin")).certificate;
    await assertCode("forbidden", "not a node's", () => identify("session", admin));
    const server = (await signer.issueServer([])).certificate;
    await assertCode("unauthenticated", "not meant for clients", () => identify("session", server));
    await inTemp(async (other) => {
      const foreign = await setUp(other);
      const cert = await foreign.signer.issueNode("n1", keys.publicKey);
      await assertCode("unauthenticated", "not by this authority", () => identify("session", cert));
    });
    clock.offsetMs = 400 * DAY_MS;
    assertEquals((await identify("session")).node, "n1"); // a leap of the clock ends nothing
    enrollment = reopen();
    await assertCode("unauthenticated", "ran out", () => identify("session"));
    assertEquals((await identify("renew")).node, "n1");
    const renewed = await enrollment.renew("n1", pem);
    assertEquals((await identify("session", renewed)).node, "n1");
    clock.offsetMs = 0;
    enrollment = reopen();
    const next = await request();
    await assertCode("forbidden", "another key", () => enrollment.renew("n1", next.pem));
    await enrollment.enroll({ ...input, certificateRequest: next.pem, token: await create() });
    await assertCode("forbidden", "another key", () => identify("session"));
    assert(await nodes.revoke("n1"));
    await assertCode("forbidden", "revoked", () => enrollment.renew("n1", next.pem));
  });
});

Deno.test("a hub whose clock goes back ten years locks no node out", async () => {
  await inTemp(async (dir) => {
    const { clock, create, reopen } = await setUp(dir);
    const { pem } = await request();
    const input = { nodeName: "n1", certificateRequest: pem, token: await create() };
    const { certificate } = await reopen().enroll(input);
    clock.offsetMs = -3_650 * DAY_MS;
    const behind = reopen();
    assertEquals((await behind.identify(der(certificate), "session")).node, "n1");
    const renewed = await behind.renew("n1", pem, der(certificate));
    clock.offsetMs = 0;
    assertEquals((await reopen().identify(der(renewed), "session")).node, "n1");
    const ends = (c: string) => new X509Certificate(c).validTo;
    assertEquals(ends(renewed), ends(certificate));
  });
});

Deno.test("a certificate of a clock ten years ahead is good in the end", async () => {
  await inTemp(async (dir) => {
    const { clock, create, reopen } = await setUp(dir);
    const { pem } = await request();
    const token = await create();
    clock.offsetMs = 5 * 365 * DAY_MS;
    const input = { nodeName: "n1", certificateRequest: pem };
    await assertCode("unauthenticated", "expired", () => reopen().enroll({ ...input, token }));
    const { certificate } = await reopen().enroll({ ...input, token: await create() });
    clock.offsetMs = 0;
    assertEquals((await reopen().identify(der(certificate), "session")).node, "n1");
  });
});

Deno.test("the hub's certificate is for the fixed name alone and knows no dates", async () => {
  await inTemp(async (dir) => {
    const { authority, signer } = await setUp(dir);
    const parsed = new X509Certificate((await signer.issueHub()).certificate);
    assert(parsed.checkIssued(new X509Certificate(authority.certificate)));
    assertEquals(parsed.subjectAltName, "DNS:hub.skerry.internal");
    assertEquals([new Date(parsed.validFrom).getTime(), new Date(parsed.validTo).getTime()], [
      0,
      Date.parse("9999-12-31T23:59:59Z"),
    ]);
  });
});

Deno.test("checkUse() allows a bound token for its node until the last millisecond", () => {
  const record: TokenRecord = {
    version: 1,
    id: "abcdefghij",
    secretHash: "ab",
    node: "n1",
    createdAtMs: 0,
    expiresAtMs: 100,
    uses: 1,
    usesLeft: 1,
  };
  checkUse(record, { secretHash: "ab", node: "n1", nowMs: 99 });
  assertThrows(() => checkUse(record, { secretHash: "ab", node: "n1", nowMs: 100 }), AppError);
  assertThrows(() => checkUse(record, { secretHash: "abc", node: "n1", nowMs: 0 }), AppError);
});

Deno.test("checkNodeName() takes DNS-1123 subdomains only", () => {
  for (const name of ["a", "n1", "edge-1.site.example", "0"]) checkNodeName(name);
  for (const name of ["", "-a", "a-", "a..b", "A", "a_b", "a/b", ".", "a".repeat(254)]) {
    assertThrows(() => checkNodeName(name), AppError, "node name");
  }
});
