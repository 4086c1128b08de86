import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import https from "node:https";
import { SystemClock } from "../../shared/clock.ts";
import { SystemRandom } from "../../shared/random.ts";
import { AdminAuthenticator } from "../pki/admin_token.ts";
import { openAuthority } from "../pki/authority.ts";
import { type KeyAndCertificate, Signer } from "../pki/signer.ts";
import { serveApi } from "./server.ts";
import { type TestServer, testServer } from "./testing.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";
const TOKEN = { authorization: "Bearer secret" };

interface Served extends AsyncDisposable {
  api: TestServer;
  ca: string;
  signer: Signer;
  url: string;
  close(): Promise<void>;
}

async function serve(): Promise<Served> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-apiserver-" });
  const clock = new SystemClock();
  const random = new SystemRandom();
  const authority = await openAuthority({ dir: join(dir, "pki"), clock, random });
  const signer = new Signer({ authority, clock, random });
  const { certificate, privateKey } = await signer.issueServer(["127.0.0.1"]);
  const api = await testServer({ authenticator: new AdminAuthenticator("secret") });
  const served = await serveApi({
    app: api.server.app,
    address: { host: "127.0.0.1", port: 0 },
    tls: { cert: certificate, key: privateKey, ca: authority.certificate },
  });
  let closed: Promise<void> | undefined;
  const close = () => closed ??= served.close();
  return {
    api,
    ca: authority.certificate,
    signer,
    url: `https://127.0.0.1:${served.address.port}`,
    close,
    [Symbol.asyncDispose]: async () => {
      await close();
      await api.server.close();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

interface Reply {
  status: number;
  /** The next chunk; undefined at the end. */
  read(): Promise<string | undefined>;
  text(): Promise<string>;
  leave(): void;
}

/** A request on a connection of its own; resolves as soon as the reply's head is there. */
function ask(
  { url, ca }: Served,
  path: string,
  options: { client?: KeyAndCertificate; headers?: Record<string, string> } = {},
): Promise<Reply> {
  const { client, headers = {} } = options;
  return new Promise((resolve, reject) => {
    const request = https.request(url + path, {
      ca,
      headers,
      agent: false,
      ...(client ? { cert: client.certificate, key: client.privateKey } : {}),
    }, (response) => {
      const chunks = response[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
      const decoder = new TextDecoder();
      const read = async () => {
        const { done, value } = await chunks.next();
        return done ? undefined : decoder.decode(value);
      };
      const text = async () => {
        let all = "";
        for (let part = await read(); part !== undefined; part = await read()) all += part;
        return all;
      };
      resolve({ status: response.statusCode ?? 0, read, text, leave: () => request.destroy() });
    });
    request.on("error", reject);
    request.end();
  });
}

async function whoAmI(served: Served, client?: KeyAndCertificate): Promise<number> {
  const reply = await ask(served, "/api/v1/nodes", client ? { client } : {});
  await reply.text();
  return reply.status;
}

Deno.test("server: takes a bearer token or a certificate of its CA", async () => {
  await using served = await serve();
  await using other = await serve();
  const reply = await ask(served, "/api/v1/nodes", { headers: TOKEN });
  assertEquals([reply.status, JSON.parse(await reply.text()).kind], [200, "NodeList"]);
  assertEquals(await whoAmI(served), 401);
  assertEquals(await whoAmI(served, await served.signer.issueAdmin("root")), 200);
  assertEquals(await whoAmI(served, await other.signer.issueAdmin("root")), 401);
});

Deno.test("server: a watch's head comes at once, its events as they happen", async () => {
  await using served = await serve();
  const watch = await ask(served, `${MAPS}?watch=true`, { headers: TOKEN });
  assertEquals(watch.status, 200); // the head is here, and nothing has happened yet
  for (const name of ["a", "b"]) {
    await served.api.call("POST", MAPS, { metadata: { name } }, { expect: 201 });
    const { type, object } = JSON.parse((await watch.read())!);
    assertEquals([type, object.metadata.name], ["ADDED", name]);
  }
  watch.leave();
});

Deno.test("server: a client that goes away ends its watch", async () => {
  await using served = await serve();
  const { watch: cache } = served.api.server.storage;
  const watch = await ask(served, `${MAPS}?watch=true`, { headers: TOKEN });
  assertEquals(cache.watchers, 1);
  watch.leave();
  const clock = new SystemClock();
  while (cache.watchers > 0) await clock.sleep(5); // a hang here is the failure
});

Deno.test("server: close ends idle connections and open watches", async () => {
  await using served = await serve();
  const watch = await ask(served, `${MAPS}?watch=true`, { headers: TOKEN });
  const end = watch.text().then(() => "ended", () => "cut");
  await served.close();
  assert(["ended", "cut"].includes(await end));
  assertEquals(served.api.server.storage.watch.watchers, 0);
  await assertRejects(() => ask(served, "/healthz"));
});

Deno.test("server: a port that is taken is one clear error", async () => {
  await using served = await serve();
  const { certificate, privateKey } = await served.signer.issueServer(["127.0.0.1"]);
  const port = Number(new URL(served.url).port);
  await assertRejects(
    () =>
      serveApi({
        app: served.api.server.app,
        address: { host: "127.0.0.1", port },
        tls: { cert: certificate, key: privateKey, ca: served.ca },
      }),
    Error,
    `Cannot listen on 127.0.0.1:${port}`,
  );
});
