import { assert, assertEquals, assertRejects } from "@std/assert";
import { FETCH_REFUSES, fetchAnyPort } from "./http_any_port.ts";

Deno.test("FETCH_REFUSES names ports fetch itself refuses", async () => {
  for (const port of FETCH_REFUSES) {
    await assertRejects(() => fetch(`http://127.0.0.1:${port}/`), TypeError, "blocked");
  }
});

/** One of those ports that is free here. */
function serve(handler: (request: Request) => Response | Promise<Response>) {
  for (const port of [6666, 6667, 6668, 6669, 6697, 6679, 6566, 5061]) {
    try {
      return Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {} }, handler);
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  throw new Error("all of them are taken");
}

Deno.test("fetchAnyPort() asks where fetch does not go, and answers as it would", async () => {
  const server = serve(async (request) => {
    const { method, headers } = request;
    const { pathname, search } = new URL(request.url);
    if (pathname === "/none") return new Response(null, { status: 204 });
    const body = await request.text();
    const text = [method, pathname + search, headers.get("x-a"), body.length].join(" ");
    const answered = [["set-cookie", "a=1"], ["set-cookie", "b=2"], ["location", "/x"]] as const;
    return new Response(text, { status: 307, headers: answered.map(([k, v]) => [k, v]) });
  });
  const base = `http://127.0.0.1:${server.addr.port}`;
  const text = async (path: string, request: Parameters<typeof fetchAnyPort>[1]) =>
    await (await fetchAnyPort(base + path, request)).text();
  try {
    const response = await fetchAnyPort(`${base}/a%20b?c=d`, {
      method: "PUT",
      headers: { "x-a": "y" },
      body: "ä",
    });
    assertEquals([response.status, await response.text()], [307, "PUT /a%20b?c=d y 1"]);
    assertEquals(response.headers.getSetCookie(), ["a=1", "b=2"]);
    assertEquals(await text("/", {}), "GET /  0");
    assertEquals(
      await text("/", { method: "POST", body: new Uint8Array(70_000) }),
      "POST /  70000",
    );
    const parts = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(65_536));
        if (++sent === 32) controller.close();
      },
    });
    let sent = 0;
    assertEquals(await text("/", { method: "POST", body: parts }), `POST /  ${32 * 65_536}`);
    const none = await fetchAnyPort(`${base}/none`, {});
    assertEquals([none.status, none.body], [204, null]);
  } finally {
    await server.shutdown();
  }
});

Deno.test("fetchAnyPort() ends with its signal, and says why nobody answered", async () => {
  const hangs = Promise.withResolvers<Response>();
  const asked = Promise.withResolvers<void>();
  const server = serve(() => {
    asked.resolve();
    return hangs.promise;
  });
  const url = `http://127.0.0.1:${server.addr.port}/`;
  const abort = new AbortController();
  const answer = fetchAnyPort(url, { method: "POST", body: "x", signal: abort.signal });
  await asked.promise;
  abort.abort(new Error("enough"));
  await assertRejects(() => answer, Error, "enough");
  await assertRejects(() => fetchAnyPort(url, { signal: abort.signal }), Error, "enough");
  hangs.resolve(new Response());
  await server.shutdown();
  const error = await assertRejects(() => fetchAnyPort(url, {}), TypeError);
  assert(/refused/i.test(String(error.cause)), String(error.cause));
});
