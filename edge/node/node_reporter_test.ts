import { assertEquals } from "@std/assert";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { Changes } from "../../shared/async/wakeup.ts";
import { AppError } from "../../shared/errors.ts";
import type { Node } from "../../shared/k8s/types.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import type { Report } from "../../shared/wire/report.ts";
import { NodeReporter } from "./node_reporter.ts";
import type { RuntimeHealth } from "./port.ts";
import { IDENTITY, MACHINE, RUNTIME } from "./testing/samples.ts";

async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
}

function startWorld() {
  const clock = new SimClock();
  const changes = new Changes();
  const reports: Node[] = [];
  const world = {
    session: undefined as string | undefined,
    runtime: RUNTIME as RuntimeHealth,
    isFull: false,
    reports,
    clock,
    notify: async () => {
      changes.notify();
      await settle();
    },
    ready: () => reports.at(-1)?.status?.conditions?.find((c) => c.type === "Ready")?.status,
  };
  const put = (_lane: string, _key: string, report: Report) => {
    if (world.isFull) return Promise.reject(new AppError("exhausted", "disk full"));
    if (report.kind === "node") reports.push(report.node);
    return Promise.resolve(reports.length);
  };
  const reporter = new NodeReporter({
    identity: IDENTITY,
    readMachine: () => Promise.resolve(MACHINE),
    runtime: () => world.runtime,
    liveSince: () => world.session,
    changes: [changes],
    outbox: { put },
    clock,
  });
  const scope = new TaskScope();
  const start = async () => {
    await reporter.start();
    scope.spawn("reporter", (signal) => reporter.run(signal));
    await settle();
  };
  return Object.assign(world, {
    reporter,
    start,
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  });
}

Deno.test("the node is known after start, and reported once while nothing changes", async () => {
  await using world = startWorld();
  await world.start();
  assertEquals(world.reporter.addresses(), ["192.0.2.5", "2001:db8::5"]);
  assertEquals(world.reporter.allocatable().cpu, "4");
  await world.clock.advance(100_000);
  assertEquals(world.reports.length, 1);
});

Deno.test("a change of the runtime is reported at once", async () => {
  await using world = startWorld();
  await world.start();
  world.runtime = { ready: false, network: { ready: false } };
  await world.notify();
  assertEquals([world.reports.length, world.ready()], [2, "False"]);
});

Deno.test("a link that comes up is told at once, even if nothing has changed", async () => {
  await using world = startWorld();
  await world.start();
  world.session = "a";
  await world.notify();
  assertEquals(world.reports.length, 2);
  await world.notify(); // still the same session
  assertEquals(world.reports.length, 2);
  world.session = "b"; // the first ended and the next began between two looks
  await world.notify();
  assertEquals(world.reports.length, 3);
});

Deno.test("a sign of life goes every five minutes, and only while the link is live", async () => {
  await using world = startWorld();
  await world.start();
  await world.clock.advance(900_000);
  assertEquals(world.reports.length, 1);
  world.session = "a";
  await world.notify();
  await world.clock.advance(610_000);
  assertEquals(world.reports.length, 4);
});

Deno.test("a report that could not be kept is owed", async () => {
  await using world = startWorld();
  await world.start();
  world.isFull = true;
  world.session = "a";
  await world.notify();
  assertEquals(world.reports.length, 1);
  world.isFull = false;
  await world.clock.advance(10_000);
  assertEquals(world.reports.length, 2);
});
