import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Hono } from "hono";
import { SeededRandom } from "../../../shared/random.ts";
import { DurableIntents } from "../../intents/durable_intents.ts";
import type { MappedStatus } from "../../mappers/port.ts";
import { named, TwinWorld } from "../../twins/testing.ts";
import { statusResponse } from "../status_error.ts";
import { addDevices } from "./routes.ts";

interface Said {
  value: string;
  source: string;
}

/** What answers hold, as far as it is looked at. */
interface Body {
  message: string;
  continue: string;
  state: string;
  model: string;
  protocol: string;
  verb: string;
  by: string;
  mapper?: Record<string, unknown>;
  pending: boolean;
  reported: Said;
  desired: Said;
  twins: { reported: Said }[];
  items: {
    name: string;
    property: string;
    value: string;
    avg: number;
    known: boolean;
    reported: Said;
  }[];
}

class Api {
  readonly app = new Hono();
  /** Devices a mapper of this program speaks to, by name. */
  readonly mapped = new Map<string, MappedStatus>();

  private constructor(readonly world: TwinWorld) {
    const { store, outbox, ledger, clock } = world;
    const intents = new DurableIntents({
      store,
      outbox,
      ledger,
      clock,
      random: new SeededRandom(1),
      twins: () => world.twins,
    });
    this.app.onError((error) => statusResponse(error));
    addDevices(this.app, {
      devices: () => world.twins,
      intents,
      mapped: ({ name }) => this.mapped.get(name),
    });
  }

  static async start(...devices: string[]): Promise<Api> {
    return new Api(await TwinWorld.start(...devices));
  }

  async ask(path: string, init?: RequestInit): Promise<{ status: number; body: Body }> {
    const answer = await this.app.request(`/v1/devices${path}`, init);
    return { status: answer.status, body: await answer.json() };
  }

  send(method: string, path: string, body: unknown) {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    return this.ask(path, { method, body: text });
  }
}

Deno.test("devices are listed page by page, and one is shown with its twins", async () => {
  const api = await Api.start("a", "b", "c");
  const { body: first } = await api.ask("?limit=2");
  assertEquals(first.items.map((each) => each.name), ["a", "b"]);
  const { body: second } = await api.ask(`?continue=${encodeURIComponent(first.continue)}`);
  assertEquals(second.items.map((each) => each.name), ["c"]);
  await api.world.report("a", { temperature: "21.50" });
  const { body } = await api.ask("/default/a");
  assertEquals([body.state, body.model, body.protocol], ["online", "sensor", "sim"]);
  assertEquals(body.twins[0]?.reported.value, "21.50");
  assertEquals((await api.ask("/default/none")).status, 404);
  assertEquals((await api.ask("/default/a/twins/none")).status, 404);
});

Deno.test("a device shows how its built-in mapper is with it, within bounds", async () => {
  const api = await Api.start("a", "b");
  const problems = Array.from({ length: 60 }, (_, i) => [`p${i}`, "no such register"]);
  const sim: MappedStatus = {
    namespace: "default",
    name: "a",
    protocol: "sim",
    state: "unhealthy",
    reason: "p0: no such register",
    problems: Object.fromEntries(problems),
  };
  api.mapped.set("a", sim);
  assertEquals((await api.ask("/default/a")).body.mapper, {
    protocol: "sim",
    state: "unhealthy",
    reason: "p0: no such register",
    problems: Object.fromEntries(problems.slice(0, 50)),
    moreProblems: 10,
  });
  api.mapped.set("a", { ...sim, state: "online", reason: "", problems: {} });
  const online = { protocol: "sim", state: "online", problems: {} };
  assertEquals((await api.ask("/default/a")).body.mapper, online);
  assertEquals((await api.ask("/default/b")).body.mapper, undefined);
});

Deno.test("values are reported by HTTP, whole numbers and texts as they are", async () => {
  const api = await Api.start("a");
  const { body } = await api.send("PUT", "/default/a/twins", {
    reported: {
      count: "9007199254740993",
      on: true,
      serial: { value: "ü {}", metadata: { q: 1 } },
    },
    timestamp: "2026-01-01T00:00:00Z",
  });
  assertEquals<unknown>(body, { changed: ["count", "on", "serial"], rejected: [] });
  assertEquals((await api.ask("/default/a/twins/count")).body.reported.value, "9007199254740993");
  const one = await api.send("PATCH", "/default/a/twins/temperature", { reported: 1.25 });
  assertEquals([one.status, one.body.reported.value], [200, "1.25"]);
  const state = await api.send("PATCH", "/default/a", { state: "unhealthy" });
  assertEquals(state.body.state, "unhealthy");
});

Deno.test("bad requests are refused by name", async () => {
  const api = await Api.start("a");
  const cases: [string, string, unknown, number, string][] = [
    ["PUT", "/default/a/twins", "{", 400, "not JSON"],
    ["PUT", "/default/a/twins", "[]", 400, "JSON object"],
    ["PUT", "/default/a/twins", { reported: 5 }, 400, "reported"],
    ["PUT", "/default/a/twins", { reported: { count: null } }, 400, "reported.count"],
    ["PUT", "/default/a/twins", '{"reported":{"count":9007199254740993}}', 400, "15 digits"],
    ["PUT", "/default/a/twins", { reported: { count: 1 }, timestamp: "soon" }, 400, "timestamp"],
    ["PUT", "/default/a/twins", { reported: { nosuch: 1 } }, 404, "nosuch"],
    ["PUT", "/default/none/twins", { reported: { count: 1 } }, 404, "none"],
    ["PUT", "/default/a/twins", "x".repeat(1024 * 1024 + 1), 400, "bytes"],
    ["PATCH", "/default/a/twins/count", {}, 400, "either"],
    ["PATCH", "/default/a/twins/count", { desired: 1.5 }, 400, "whole number"],
    ["PATCH", "/default/a/twins/serial", { desired: "x" }, 400, "read-only"],
    ["PATCH", "/default/a", { state: "dancing" }, 400, "dancing"],
    ["PATCH", "/default/a", {}, 400, "state"],
  ];
  for (const [method, path, sent, status, says] of cases) {
    const answer = await api.send(method, path, sent);
    assertEquals(answer.status, status, says);
    assertStringIncludes(answer.body.message, says);
  }
  for (const query of ["from=noon", "step=-1", "aggregate=min", "kind=x", "limit=x"]) {
    assertEquals((await api.ask(`/default/a/history?${query}`)).status, 400, query);
  }
  assertEquals((await api.ask("/default/a/at")).status, 400);
});

Deno.test("setting a twin is an intent: 202, and here at once", async () => {
  const api = await Api.start("a");
  const { status, body } = await api.send("PATCH", "/default/a/twins/on?by=ada", { desired: true });
  assertEquals([status, body.verb, body.by, body.state], [202, "set_twin", "ada", "applied"]);
  const { body: twin } = await api.ask("/default/a/twins/on");
  assertEquals([twin.desired.value, twin.desired.source, twin.pending], ["true", "site", true]);
  const stale = await api.send("PATCH", "/default/a/twins/on", { desired: false, version: 0 });
  assertEquals(stale.status, 410);
});

Deno.test("history and a moment of the past are told", async () => {
  const api = await Api.start("a");
  const { clock } = api.world;
  const begin = new Date(clock.nowMs()).toISOString();
  await api.world.report("a", { count: "1" });
  await clock.advance(60_000);
  await api.world.report("a", { count: "3" });
  const { body } = await api.ask("/default/a/history?property=count");
  assertEquals(body.items.map((each) => each.value), ["1", "3"]);
  const steps = await api.ask(`/default/a/history?from=${begin}&step=1h&aggregate=avg,count`);
  assertEquals(steps.body.items.map((each) => each.avg), [2]);
  const then = await api.ask(`/default/a/at?time=${begin}`);
  const count = then.body.items.find((each) => each.property === "count");
  assertEquals([count?.known, count?.reported.value], [true, "1"]);
});

Deno.test("changes are told as Server-Sent Events, after a resync", async () => {
  const api = await Api.start("a", "b");
  const answer = await api.app.request("/v1/devices/default/a", {
    headers: { accept: "text/event-stream" },
  });
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await reader.read()).value, "event: resync\ndata: {}\n\n");
  await api.world.report("b", { count: "1" });
  await api.world.report("a", { count: "2" });
  const { value = "" } = await reader.read();
  assertStringIncludes(value, "event: reported\n");
  assertStringIncludes(value, '"value":"2"');
  assert(!value.includes('"name":"b"'));
  await reader.cancel();
  assertEquals(api.world.twins.get(named("a"))?.life.state, "online");
});
