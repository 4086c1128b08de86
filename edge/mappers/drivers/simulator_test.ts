/** Patterns of simulated devices. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../../shared/errors.ts";
import type { PropertyType } from "../../../shared/k8s/devices.ts";
import { SeededRandom } from "../../../shared/random.ts";
import { SimClock } from "../../../shared/testing/sim_clock.ts";
import type { Connection, Point } from "../port.ts";
import { createDriver } from "./simulator.ts";

class Simulated {
  readonly clock = new SimClock();
  readonly point: Point;

  constructor(config: Record<string, unknown>, type: PropertyType = "DOUBLE") {
    this.point = { name: "p", type, readOnly: false, config };
  }

  open(name = "d"): Promise<Connection> {
    const device = { namespace: "default", name, protocol: "simulator", config: {} };
    const driver = createDriver({ clock: this.clock, random: new SeededRandom(1) });
    return driver.open({ ...device, points: [this.point] }, new AbortController().signal);
  }

  async read(connection: Connection, times = 1): Promise<unknown[]> {
    const values: unknown[] = [];
    const { signal } = new AbortController();
    for (let i = 0; i < times; i++) {
      values.push((await connection.read?.([this.point], signal))?.get("p"));
    }
    return values;
  }

  async values(times: number): Promise<unknown[]> {
    return await this.read(await this.open(), times);
  }
}

Deno.test("simulator: a constant is its value, or the first value of its type", async () => {
  assertEquals(await new Simulated({ value: 21.5 }).values(2), ["21.5", "21.5"]);
  assertEquals(await new Simulated({ pattern: "constant" }, "INT").values(1), ["0"]);
  assertEquals(await new Simulated({}, "BOOLEAN").values(1), ["false"]);
  assertEquals(await new Simulated({}, "STRING").values(1), [""]);
});

Deno.test("simulator: a counter begins at start and is kept below modulo", async () => {
  const counter = { pattern: "counter", start: 4, step: "3", modulo: 9 };
  assertEquals(await new Simulated(counter, "INT").values(4), ["4", "7", "1", "4"]);
});

Deno.test("simulator: a sine follows the time, whenever it is read", async () => {
  const sine = new Simulated({ pattern: "sine", offset: 10, amplitude: 2, periodMs: 4_000 });
  const connection = await sine.open();
  const startMs = sine.clock.monotonicMs();
  await sine.clock.advance(4_000 - startMs % 4_000);
  const seen: number[] = [];
  for (let quarter = 0; quarter < 5; quarter++) {
    seen.push(Math.round(Number((await sine.read(connection))[0]) * 1e6) / 1e6);
    await sine.clock.advance(1_000);
  }
  assertEquals(seen, [10, 12, 10, 8, 10]);
});

Deno.test("simulator: random values keep to their range and follow from their seed", async () => {
  const range = { pattern: "random", min: 5, max: 6 };
  const once = await new Simulated({ ...range, seed: 7 }).values(50);
  assert(once.every((value) => Number(value) >= 5 && Number(value) < 6));
  assert(new Set(once).size > 40, "they vary");
  assertEquals(await new Simulated({ ...range, seed: 7 }).values(50), once);
  assert(String(await new Simulated({ ...range, seed: 8 }).values(50)) !== String(once));
  const coin = await new Simulated({ pattern: "random", seed: 1 }, "BOOLEAN").values(50);
  assertEquals(new Set(coin), new Set(["true", "false"]));
});

Deno.test("simulator: random values without a seed follow from the device's name", async () => {
  const random = new Simulated({ pattern: "random" });
  const first = await random.read(await random.open("a"), 5);
  assertEquals(await random.read(await random.open("a"), 5), first);
  assert(String(await random.read(await random.open("b"), 5)) !== String(first));
});

Deno.test("simulator: a replay begins anew at its end", async () => {
  const replay = { pattern: "Replay", values: [1, "2", 3.5] };
  assertEquals(await new Simulated(replay).values(5), ["1", "2", "3.5", "1", "2"]);
});

Deno.test("simulator: what is written stays until the next connection", async () => {
  const counter = new Simulated({ pattern: "counter" }, "INT");
  const connection = await counter.open();
  const { signal } = new AbortController();
  assertEquals(await counter.read(connection), ["0"]);
  const outcome = await connection.write(counter.point, "42", signal);
  assertEquals(outcome, { kind: "verify", expected: "42" });
  assertEquals(await counter.read(connection, 2), ["42", "42"]);
  assertEquals(await counter.values(1), ["0"]);
});

Deno.test("simulator: a value that is none of its type is that property's error", async () => {
  const [reading] = await new Simulated({ pattern: "replay", values: ["warm"] }, "INT").values(1);
  assert(reading instanceof Error);
});

Deno.test("simulator: a pattern that cannot be is refused when the device begins", async () => {
  for (const config of [{ pattern: "square" }, { pattern: "replay" }]) {
    const simulated = new Simulated(config);
    await assertRejects(async () => await simulated.open(), AppError, "must be");
  }
});
