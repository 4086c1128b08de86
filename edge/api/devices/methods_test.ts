import { assertEquals, assertStringIncludes } from "@std/assert";
import { Hono } from "hono";
import { SeededRandom } from "../../../shared/random.ts";
import { DurableIntents } from "../../intents/durable_intents.ts";
import { named, TwinWorld } from "../../twins/testing.ts";
import { statusResponse } from "../status_error.ts";
import { addMethods } from "./methods.ts";

async function start(): Promise<{ world: TwinWorld; app: Hono }> {
  const world = await TwinWorld.start();
  world.putDevice("pump", ({ spec }) => {
    spec!.methods = [
      { name: "run", description: "at a speed", propertyNames: ["count", "on"] },
      { name: "mark", propertyNames: ["serial", "gone"] },
    ];
  });
  await world.engine.sync();
  const { store, outbox, ledger, clock } = world;
  const random = new SeededRandom(1);
  const twins = () => world.twins;
  const intents = new DurableIntents({ store, outbox, ledger, clock, random, twins });
  const app = new Hono();
  app.onError((error) => statusResponse(error));
  addMethods(app, { devices: twins, intents });
  return { world, app };
}

async function call(app: Hono, method: string, body: unknown): Promise<[number, string]> {
  const init = { method: "POST", body: JSON.stringify(body) };
  const answer = await app.request(`/v1/devices/default/pump/methods/${method}?by=eva`, init);
  return [answer.status, await answer.text()];
}

Deno.test("a device tells its methods, and what each writes", async () => {
  const { app } = await start();
  const answer = await app.request("/v1/devices/default/pump/methods");
  assertEquals(await answer.json(), {
    items: [
      {
        name: "run",
        description: "at a speed",
        properties: [
          { property: "count", type: "INT", accessMode: "ReadWrite" },
          { property: "on", type: "BOOLEAN", accessMode: "ReadWrite" },
        ],
      },
      {
        name: "mark",
        properties: [{ property: "serial", type: "STRING", accessMode: "ReadOnly" }],
      },
    ],
  });
  assertEquals((await app.request("/v1/devices/default/none/methods")).status, 404);
});

Deno.test("calling a method sets its properties, as edits of the site", async () => {
  const { world, app } = await start();
  const [status, text] = await call(app, "run", { properties: { count: 7, on: true } });
  assertEquals(status, 202);
  const { items } = JSON.parse(text);
  assertEquals(items.map((each: { property: string; by: string }) => [each.property, each.by]), [
    ["count", "eva"],
    ["on", "eva"],
  ]);
  const desired = ["count", "on"].map((property) =>
    world.twins.twin(named("pump"), property)?.desired
  );
  assertEquals(desired.map((each) => [each?.value, each?.source]), [["7", "site"], [
    "true",
    "site",
  ]]);
});

Deno.test("a wrong call of a method names what is wrong, and sets nothing", async () => {
  const { world, app } = await start();
  const cases: [method: string, body: unknown, status: number, says: string][] = [
    ["none", { properties: { count: 1 } }, 404, 'Method "none" of device default/pump not found'],
    ["run", {}, 400, "properties must be an object"],
    ["run", { properties: {} }, 400, "1 to 1000"],
    ["run", { properties: { on: true, serial: "x" } }, 400, "count, on"],
    ["run", { properties: { count: "many" } }, 400, "count"],
    ["mark", { properties: { serial: "x" } }, 400, "read-only"],
    ["mark", { properties: { gone: "x" } }, 404, '"gone"'],
  ];
  for (const [method, body, status, says] of cases) {
    const [code, text] = await call(app, method, body);
    assertEquals(code, status, text);
    assertStringIncludes(JSON.parse(text).message, says);
  }
  assertEquals(world.twins.twins(named("pump")).filter(({ desired }) => desired), []);
});
