import { assert, assertEquals } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { SeededRandom } from "../../shared/random.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { parseReport, type Report } from "../../shared/wire/report.ts";
import { ServiceBus, type ServiceBusOptions } from "./service_bus.ts";

const URL_A = "http://127.0.0.1:9000/echo";

function open(options: Partial<ServiceBusOptions> = {}) {
  const reports: Report[] = [];
  const clock = new SimClock();
  const bus = new ServiceBus({
    outbox: {
      append: (_, records) => {
        for (const { report } of records) reports.push(parseReport(structuredClone(report)));
        return Promise.resolve();
      },
    },
    urls: () => [URL_A],
    timeoutMs: 60_000,
    token: () => Promise.resolve(undefined),
    isOpen: false,
    clock,
    random: new SeededRandom(1),
    ...options,
  });
  return { bus, reports, clock };
}

function post(body: unknown, headers: Record<string, string> = {}): Request {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return new Request("http://127.0.0.1:9060/", { method: "POST", body: text, headers });
}

const ASK = { method: "POST", targetURL: URL_A, payload: "" };

async function said(response: Response): Promise<unknown[]> {
  const { code, msg, body } = await response.json();
  return [response.status, code, msg, body];
}

Deno.test("ServiceBus gives what the target said, as KubeEdge has it", async () => {
  const { bus, reports, clock } = open();
  const response = bus.fetch(post(ASK));
  const report = await clock.until(() => reports[0]);
  assert(report?.kind === "rule_request");
  const { id, url, body } = report.request;
  assertEquals(url, URL_A);
  assertEquals(new TextDecoder().decode(Uint8Array.fromBase64(body)), JSON.stringify(ASK));
  assertEquals(bus.status().waiting, 1);
  assertEquals(bus.answered("another", { status: 200, body: "" }), false);
  assertEquals(bus.answered(id, { status: 404, body: "Hello World" }), true);
  const answer = await (await response).json();
  const msg = "receive response from cloud successfully";
  assertEquals(answer, { code: 200, msg, body: "Hello World", status: 404, id });
  assertEquals(bus.answered(id, { status: 200, body: "" }), false);
  assertEquals(bus.status(), { urls: 1, waiting: 0, answered: 1, kept: 0, refused: 0 });
});

for (
  const [prefer, waitedMs] of [["", 60_000], ["wait=5", 5_000], ["respond-async", 0]] as const
) {
  const name = `ServiceBus keeps a request without an answer; Prefer: ${prefer || "none"}`;
  Deno.test(name, async () => {
    const { bus, reports, clock } = open();
    const beganMs = clock.monotonicMs();
    let got: Response | undefined;
    void bus.fetch(post(ASK, { prefer })).then((response) => got = response); // waited for below
    await clock.until(() => got, { withinMs: 70_000 });
    assertEquals(clock.monotonicMs() - beganMs, waitedMs);
    const msg = `no answer within ${waitedMs / 1_000} s: the request is kept and will be delivered`;
    assertEquals(await said(got!), [202, 202, msg, ""]); // waited for
    assertEquals([reports.length, bus.status().kept, clock.pending], [1, 1, 0]);
  });
}

const NOT_ALLOWED = "is not allowed and please make a rule for this url in the cloud";
const REFUSED: [what: string, request: Request, status: number, code: number, msg: string][] = [
  ["no JSON", post("{"), 200, 400, "invalid params"],
  ["a list", post([]), 200, 400, "invalid params"],
  ["a method that is a number", post({ ...ASK, method: 1 }), 200, 400, "invalid params"],
  ["no body", new Request("http://localhost:9060/"), 200, 400, "invalid params"],
  ["no rule", post({ targetURL: "http://x" }), 200, 400, `url http://x ${NOT_ALLOWED}`],
  ["no URL", post({}), 200, 400, `url  ${NOT_ALLOWED}`],
  [
    "a body that is too large",
    post({ ...ASK, payload: "x".repeat(1024 * 1024) }),
    200,
    400,
    "can't read data from body of the http's request: Cannot read body: " +
    "must be at most 1048576 bytes",
  ],
  [
    "a web page",
    post(ASK, { origin: "http://evil.example" }),
    403,
    403,
    "requests of web pages are not served",
  ],
  [
    "a name that is not loopback's",
    new Request("http://evil.example/", { method: "POST", body: JSON.stringify(ASK) }),
    403,
    403,
    "host evil.example is not served",
  ],
];
for (const [what, request, ...expected] of REFUSED) {
  Deno.test(`ServiceBus refuses ${what}`, async () => {
    const { bus, reports } = open();
    assertEquals(await said(await bus.fetch(request)), [...expected, ""]);
    assertEquals([reports.length, bus.status().refused], [0, 1]);
  });
}

Deno.test("ServiceBus reads the names of fields as Go does, in any case", async () => {
  const { bus, reports, clock } = open();
  const request = post({ TargetUrl: URL_A }, { prefer: "respond-async" });
  assertEquals((await bus.fetch(request)).status, 202);
  await clock.until(() => reports.length === 1);
});

Deno.test("ServiceBus asks for the token; without one to read it is open to nobody", async () => {
  let token: string | undefined = "secret";
  const read = () =>
    token === undefined
      ? Promise.reject(new AppError("invalid", "no token"))
      : Promise.resolve(token);
  const { bus } = open({ token: read, isOpen: true });
  const ask = async (authorization?: string) => {
    const headers = { prefer: "respond-async", ...(authorization ? { authorization } : {}) };
    return (await bus.fetch(post(ASK, headers))).status;
  };
  assertEquals(await ask(), 401);
  assertEquals(await ask("Bearer wrong"), 401);
  assertEquals(await ask("Bearer secret"), 202);
  token = undefined;
  assertEquals(await ask("Bearer secret"), 401);
});

Deno.test("ServiceBus lets 64 wait, and says so to the next", async () => {
  const { bus, reports, clock } = open();
  const waiting = Array.from({ length: 64 }, () => bus.fetch(post(ASK)));
  await clock.until(() => reports.length === 64);
  const next = await bus.fetch(post(ASK));
  assertEquals(await said(next), [429, 429, "at most 64 requests may wait at once", ""]);
  for (const report of reports) {
    assert(report.kind === "rule_request");
    bus.answered(report.request.id, { status: 200, body: "" });
  }
  for (const each of waiting) assertEquals((await (await each).json()).code, 200);
});

Deno.test("ServiceBus says when a request is not kept, and why nobody was asked", async () => {
  const full = () => Promise.reject(new AppError("exhausted", "Cannot store: disk full"));
  const { bus } = open({ outbox: { append: full } });
  const msg = "the request is not kept: Cannot store: disk full";
  assertEquals(await said(await bus.fetch(post(ASK))), [503, 503, msg, ""]);
  const other = open();
  const response = other.bus.fetch(post(ASK));
  await other.clock.until(() => other.reports.length > 0);
  const [report] = other.reports;
  assert(report?.kind === "rule_request");
  other.bus.answered(report.request.id, { status: 0, body: "no rule of this node" });
  assertEquals(await said(await response), [200, 500, "no rule of this node", ""]);
});
