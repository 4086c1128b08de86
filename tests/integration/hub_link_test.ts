/** The hub and the link over real TLS and HTTP/2 on the loopback; needs nothing but Deno. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { SystemClock } from "../../shared/clock.ts";
import { dial } from "../../edge/link/dial.ts";
import { enroll, enrollAtAny } from "../../edge/link/enroll.ts";
import { AppError, type ErrorCode } from "../../shared/errors.ts";
import { fromConnectError } from "../../shared/wire/rpc_errors.ts";
import { createRequest, generateKeyPair, importKeyPair } from "../../shared/wire/x509.ts";
import type { Report } from "../../shared/wire/report.ts";
import { formatToken, parseToken } from "../../shared/wire/join_token.ts";
import { Signer } from "../../cloud/pki/signer.ts";
import { SystemRandom } from "../../shared/random.ts";
import { makeWorld, MemoryLedger, until, type World } from "./hub_world.ts";

const soon = () => AbortSignal.timeout(20_000);

async function assertRefused(code: ErrorCode, message: string, work: () => Promise<unknown>) {
  const error = await assertRejects(
    async () => {
      try {
        await work();
      } catch (error) {
        throw fromConnectError(error);
      }
    },
    AppError,
    message,
  );
  assertEquals(error.code, code);
}

/** A certificate for n1 as the authority would have given it, with another lifetime. */
async function issueNode(world: World, privateKey: string, nodeLifetimeMs: number) {
  const { authority } = world.pki;
  const clock = new SystemClock();
  const signer = new Signer({ authority, clock, random: new SystemRandom(), nodeLifetimeMs });
  return await signer.issueNode("n1", (await importKeyPair(privateKey)).publicKey);
}

async function* oneEmpty() {
  yield await Promise.resolve({});
}

function status(name: string, phase: string): Report {
  return {
    kind: "pod_status",
    pod: { namespace: "default", name, uid: `uid-${name}` },
    status: { phase } as never,
  };
}

Deno.test("enrolment: of several addresses the first that answers is taken", async () => {
  await using world = await makeWorld();
  const join = async (addresses: string[]) =>
    await enrollAtAny({ addresses, token: await world.token("n1"), nodeName: "n1" }, soon());
  const dead = ["127.0.0.1:1", "127.0.0.1:2"];
  assertEquals((await join([...dead, world.address])).addresses[0], world.address);
  await assertRefused("unavailable", "Cannot reach 127.0.0.1:2", () => join(dead));
});

Deno.test("enrolment: a token works once, for its node, at the authority it names", async () => {
  await using world = await makeWorld();
  const { address } = world;
  const join = (token: string, nodeName = "n1", at = address) =>
    enroll({ address: at, token, nodeName }, soon());
  const token = await world.token("n1");
  await assertRefused("forbidden", "bound to node n1", () => join(token, "n2"));
  const enrolled = await join(token);
  assertEquals(enrolled.nodeName, "n1");
  assertEquals(enrolled.addresses, [address]);
  await assertRefused("unauthenticated", "already used", () => join(token));
  await assertRefused("invalid", "Malformed join token", () => join("skerry1.x"));
  await assertRefused("invalid", "node name", async () => join(await world.token(), "N!"));
  const other = formatToken({ ...parseToken(token), authorityHash: "ab".repeat(32) });
  await assertRefused("unauthenticated", "not the one the token names", () => join(other));
  await assertRefused(
    "unavailable",
    "Cannot reach 127.0.0.1:1",
    () => join(token, "n1", "127.0.0.1:1"),
  );
});

Deno.test("calls without the node's own certificate are refused", async () => {
  await using world = await makeWorld();
  const enrolled = await world.enroll("n1");
  const anonymous = dial(world.address, { authority: enrolled.authority });
  const keys = await generateKeyPair();
  const certificateRequest = await createRequest(keys, "x");
  await assertRefused(
    "unauthenticated",
    "client certificate is needed",
    () => anonymous.hub.renew({ certificateRequest }),
  );
  await assertRefused(
    "unauthenticated",
    "client certificate is needed",
    async () => {
      for await (const _ of anonymous.hub.session(oneEmpty())) { /* none comes */ }
    },
  );
  anonymous.close();
  // a certificate of this authority that is not a node's
  const admin = await world.pki.signer.issueAdmin("admin");
  const asAdmin = dial(world.address, { authority: enrolled.authority, ...admin });
  await assertRefused("forbidden", "not a node's", () => asAdmin.hub.renew({ certificateRequest }));
  asAdmin.close();
  // a node cannot take another's name: the certificate alone says who it is
  const n2 = await world.enroll("n2");
  const asN2 = dial(world.address, n2);
  const n1Request = await createRequest(await importKeyPair(enrolled.privateKey), "system:node:n1");
  await assertRefused(
    "forbidden",
    "Node n2 is enrolled with another key",
    () => asN2.hub.renew({ certificateRequest: n1Request }),
  );
  asN2.close();
});

Deno.test("desired state reaches the ledger and is acknowledged, reports the sink", async () => {
  await using world = await makeWorld();
  world.source.set("n1", "a", "1");
  world.source.set("n2", "other", "1");
  const { link, ledger, outbox } = world.link("n1", await world.enroll("n1"));
  await until("the link is live", () => link.status().state === "live");
  await until("a is held", () => ledger.items.has("pods/default/a"));
  assertEquals(ledger.head.cloudId, "cloud-1");
  assertEquals([...ledger.items.keys()], ["pods/default/a"]);
  world.source.set("n1", "b", "2");
  world.source.set("n1", "a");
  await until("a is gone", () => !ledger.items.has("pods/default/a"));
  await until("all is acknowledged", () => world.hub.sessions.get("n1")?.ackedGeneration === 3);
  assertEquals(world.source.acks.at(-1), ["n1", 3]);
  world.sink.failures = 2;
  for (let i = 0; i < 300; i++) outbox.put("status", `pods/${i}`, status(`p${i}`, "Running"));
  outbox.put("status", "pods/0", status("p0", "Failed"));
  await until("the outbox is empty", () => outbox.depth === 0);
  const last = world.sink.applied.filter(({ report }) =>
    report.kind === "pod_status" && report.pod.name === "p0"
  ).at(-1);
  assertEquals(last?.node, "n1");
  assertEquals((last?.report as { status: unknown } | undefined)?.status, { phase: "Failed" });
  assert(world.sink.applied.length >= 300);
  assert(link.traffic.report.up.bytes > 0 && link.traffic.desired.down.bytes > 0);
});

Deno.test("after a cut only the difference travels, and reports of it arrive", async () => {
  await using world = await makeWorld();
  for (let i = 0; i < 50; i++) world.source.set("n1", `p${i}`, "1", "x".repeat(20_000));
  const { link, ledger, outbox } = world.link("n1", await world.enroll("n1"));
  await until("all is acknowledged", () => world.hub.sessions.get("n1")?.ackedGeneration === 50);
  let ended = 0;
  world.hub.sessions.subscribe(() => ended += world.hub.sessions.get("n1") ? 0 : 1);
  const before = ledger.batches.length;
  world.proxy.cut();
  await until("the hub saw the end", () => ended > 0);
  await until("the link saw the end", () => link.status().state !== "live");
  world.source.set("n1", "p7", "2");
  world.source.set("n1", "p8");
  outbox.put("status", "pods/p7", status("p7", "Running"));
  link.reconnectNow();
  await until("all is acknowledged", () => world.hub.sessions.get("n1")?.ackedGeneration === 52);
  const after = ledger.batches.slice(before);
  assertEquals(after.flatMap((b) => b.upserts.map((u) => u.key)), ["pods/default/p7"]);
  assertEquals(after.flatMap((b) => b.deletes), ["pods/default/p8"]);
  await until("the report arrived", () => outbox.depth === 0);
  // and once more, with nothing changed at all
  const held = ledger.batches.length;
  world.proxy.cut();
  await until("the link saw the end", () => link.status().state !== "live");
  link.reconnectNow();
  await until("the link is live", () => link.status().state === "live");
  world.source.set("n1", "p9", "2");
  await until("p9 is acknowledged", () => world.hub.sessions.get("n1")?.ackedGeneration === 53);
  assertEquals(ledger.batches.slice(held).flatMap((b) => b.upserts.length), [1]);
});

Deno.test("a ledger that holds something else is mended by its inventory", async () => {
  await using world = await makeWorld();
  const enrolled = await world.enroll("n1");
  world.source.set("n1", "a", "1");
  world.source.set("n1", "b", "1");
  // of another cloud, and with a generation beyond ours
  const ledger = new MemoryLedger();
  const item = (name: string, resourceVersion: string) => ({
    key: `pods/default/${name}`,
    uid: `uid-${name}`,
    resourceVersion,
    object: { metadata: { name } },
  });
  ledger.items.set("pods/default/a", item("a", "1"));
  ledger.items.set("pods/default/z", item("z", "9"));
  ledger.head = { cloudId: "cloud-1", generation: 900, digest: "not the digest of what it holds" };
  const { link } = world.link("n1", enrolled, { ledger });
  await until("the link is live", () => link.status().state === "live");
  await until("b came", () => ledger.items.has("pods/default/b"));
  assertEquals([...ledger.items.keys()], ["pods/default/a", "pods/default/b"]);
  assertEquals(ledger.batches.at(-1)?.upserts.map((u) => u.key), ["pods/default/b"]);
  assert(ledger.head.generation > 900);
});

Deno.test("a half-open link is noticed by both sides within two heartbeats", async () => {
  await using world = await makeWorld({ heartbeatMs: 200 });
  const { link } = world.link("n1", await world.enroll("n1"));
  await until("the session is there", () => world.hub.sessions.get("n1") !== undefined);
  await until("the link is live", () => link.status().state === "live");
  const clock = new SystemClock();
  await clock.sleep(700); // longer than the silence allowed: heartbeats keep it up
  assertEquals(link.status().state, "live");
  world.proxy.blackhole(true);
  const beganMs = clock.monotonicMs();
  await until("the hub gave up", () => world.hub.sessions.get("n1") === undefined);
  await until("the link gave up", () => link.status().state !== "live");
  assert(clock.monotonicMs() - beganMs < 1_500);
  assert(link.status().lastError !== undefined);
});

Deno.test("a second process with the same key is refused while the first one answers", async () => {
  await using world = await makeWorld();
  const enrolled = await world.enroll("n1");
  const first = world.link("n1", enrolled);
  await until("the first is live", () => first.link.status().state === "live");
  const second = world.link("n1", enrolled);
  await until("the second is refused", () => second.link.status().lastError !== undefined);
  assert(second.link.status().lastError?.includes("another process"));
  assertEquals(first.link.status().state, "live");
  await first.stop();
  second.link.reconnectNow();
  await until("the second is live", () => second.link.status().state === "live");
});

Deno.test("a node that is enrolled again pushes out the holder of the former key", async () => {
  await using world = await makeWorld();
  const old = world.link("n1", await world.enroll("n1"));
  await until("the old one is live", () => old.link.status().state === "live");
  const fresh = world.link("n1", await world.enroll("n1"));
  await until("the new one is live", () => fresh.link.status().state === "live");
  await until("the old one is out", () => old.link.status().state === "backoff");
  old.link.reconnectNow();
  await until("it stays out", () => old.link.status().lastError?.includes("another key") ?? false);
});

Deno.test("a certificate in its last third is renewed in a live session", async () => {
  await using world = await makeWorld();
  const enrolled = await world.enroll("n1");
  const certificate = await issueNode(world, enrolled.privateKey, 60_000);
  const renewed: string[] = [];
  const { link } = world.link("n1", { ...enrolled, certificate }, {
    onRenewed: (pem) => Promise.resolve(void renewed.push(pem)),
  });
  const before = link.certificateNotAfterMs;
  await until("it was renewed", () => renewed.length === 1);
  await until("the new one is used", () => link.certificateNotAfterMs > before + 86_400_000);
  assertEquals(link.status().state, "live");
});

Deno.test("a certificate that ran out renews itself, unless it is revoked", async () => {
  await using world = await makeWorld();
  const enrolled = await world.enroll("n1");
  const certificate = await issueNode(world, enrolled.privateKey, -60_000);
  const late = world.link("n1", { ...enrolled, certificate });
  await until("the link is live", () => late.link.status().state === "live");
  assert(late.link.certificateNotAfterMs > 0);
  await late.stop();
  await world.pki.nodes.revoke("n1");
  const out = world.link("n1", { ...enrolled, certificate });
  await until("it is refused", () => out.link.status().lastError?.includes("ran out") ?? false);
  assert(out.link.status().lastError?.includes("was revoked"));
});

Deno.test("the link goes on to the next address when one does not answer", async () => {
  await using world = await makeWorld();
  const { link } = world.link("n1", await world.enroll("n1"), {
    addresses: ["127.0.0.1:1", world.address],
  });
  await until("the link is live", () => link.status().state === "live");
  assertEquals(link.status().address, world.address);
});

Deno.test("a step of many megabytes arrives in parts, with heartbeats between", async () => {
  await using world = await makeWorld({ heartbeatMs: 100 });
  const text = Array.from({ length: 1_000_000 }, (_, i) => (i * 7919 % 36).toString(36)).join("");
  for (let i = 0; i < 12; i++) world.source.set("n1", `p${i}`, "1", text);
  const { link, ledger } = world.link("n1", await world.enroll("n1"));
  await until("all is acknowledged", () => world.hub.sessions.get("n1")?.ackedGeneration === 12);
  assertEquals([ledger.batches.length, ledger.items.size], [1, 12]);
  assert(link.traffic.desired.down.messages >= 12);
});

Deno.test("a hub that stops says so, and the link comes back when it is there again", async () => {
  const world = await makeWorld();
  try {
    const { link } = world.link("n1", await world.enroll("n1"));
    await until("the link is live", () => link.status().state === "live");
    await world.hub.close();
    await until("the link knows", () => link.status().lastError !== undefined);
    assert(link.status().state !== "live");
  } finally {
    await world[Symbol.asyncDispose]();
  }
});

Deno.test("the tunnel streams answers, bodies and cancellation", async () => {
  await using world = await makeWorld();
  let aborted = 0;
  let pulled = 0;
  const handler = (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/echo":
        return Promise.resolve(
          new Response(request.body, { status: 201, headers: { "x-query": url.search } }),
        );
      case "/endless":
        request.signal.addEventListener("abort", () => aborted++);
        return Promise.resolve(
          new Response(
            new ReadableStream({
              pull: (c) => {
                pulled++;
                c.enqueue(new Uint8Array(10_000));
              },
            }),
          ),
        );
      case "/empty":
        return Promise.resolve(new Response(null, { status: 204 }));
      default:
        return Promise.reject(new AppError("not_found", `Nothing at ${url.pathname}`));
    }
  };
  const { link } = world.link("n1", await world.enroll("n1"), { handler });
  await until("the link is live", () => link.status().state === "live");
  const fetch = (path: string, init: RequestInit = {}) =>
    world.hub.sessions.fetch("n1", new Request(`http://node${path}`, init));
  const size = 1_000_000;
  const echo = await fetch("/echo?a=b", { method: "POST", body: new Uint8Array(size).fill(7) });
  assertEquals([echo.status, echo.headers.get("x-query")], [201, "?a=b"]);
  const bytes = await echo.bytes();
  assertEquals([bytes.length, bytes.every((b) => b === 7)], [size, true]);
  assertEquals((await fetch("/empty")).status, 204);
  await assertRejects(() => fetch("/nowhere"), AppError, "Nothing at /nowhere");
  // a reader that does not read stops the writer; one that leaves ends it
  const endless = await fetch("/endless");
  const reader = endless.body!.getReader();
  await reader.read();
  await new SystemClock().sleep(200);
  assert(pulled < 100, `the window must hold the writer back, it made ${pulled} chunks`);
  await reader.cancel();
  await until("the handler was told", () => aborted === 1);
  // aborting the request does the same
  const stop = new AbortController();
  const another = await fetch("/endless", { signal: stop.signal });
  stop.abort();
  await assertRejects(() => another.bytes());
  await until("the handler was told", () => aborted === 2);
  // many at once
  const texts = await Promise.all(
    Array.from(
      { length: 50 },
      async (_, i) => await (await fetch("/echo", { method: "POST", body: `n${i}` })).text(),
    ),
  );
  assertEquals(texts, Array.from({ length: 50 }, (_, i) => `n${i}`));
  const open = await fetch("/endless");
  world.proxy.cut();
  await assertRejects(() => open.bytes(), AppError);
  await assertRejects(
    () => world.hub.sessions.fetch("n9", new Request("http://node/")),
    AppError,
    "not connected",
  );
});
