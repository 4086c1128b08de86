import { assertEquals } from "@std/assert";
import { TaskScope } from "../../../shared/async/task_scope.ts";
import { AppError } from "../../../shared/errors.ts";
import { SimClock } from "../../../shared/testing/sim_clock.ts";
import type { PodClass } from "../port.ts";
import { NodeShutdown } from "./node_shutdown.ts";

async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
}

function startWorld(allowedMs = 60_000) {
  const clock = new SimClock();
  const ended = Promise.withResolvers<void>();
  const world = {
    clock,
    log: [] as string[],
    hasLogind: true,
    running: new Set<PodClass>(["ordinary", "critical"]),
    prepare: async (isGoingDown: boolean) => {
      tell(isGoingDown);
      await settle();
    },
    logindEnds: ended.resolve,
  };
  let tell: (isGoingDown: boolean) => void = () => {};
  const shutdown = new NodeShutdown({
    graceMs: 30_000,
    criticalGraceMs: 10_000,
    clock,
    onChange: () => world.log.push("changed"),
    open: () => {
      if (!world.hasLogind) return Promise.reject(new AppError("unavailable", "no bus"));
      return Promise.resolve({
        ended: ended.promise,
        allowDelay: () => Promise.resolve(allowedMs),
        inhibit: () => {
          world.log.push("held");
          return Promise.resolve({
            release: () => {
              world.log.push("released");
              return Promise.resolve();
            },
          });
        },
        onPrepare: (listener: typeof tell) => {
          tell = listener;
          return Promise.resolve();
        },
        close: ended.resolve,
      });
    },
    pods: {
      end: (which, graceSeconds) => world.log.push(`end ${which} ${graceSeconds}`),
      haveEnded: (which) => !world.running.has(which),
      resume: () => world.log.push("resume"),
    },
  });
  const scope = new TaskScope();
  scope.spawn("shutdown", (signal) => shutdown.run(signal));
  return Object.assign(world, {
    shutdown,
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  });
}

Deno.test("ordinary pods end first, then critical ones, then the machine may go", async () => {
  await using world = startWorld();
  await settle();
  assertEquals(world.log, ["held"]);
  await world.prepare(true);
  assertEquals(world.log.slice(1), ["changed", "end ordinary 20"]);
  assertEquals(world.shutdown.isGoingDown, true);
  await world.clock.advance(5_000);
  assertEquals(world.log.length, 3);
  world.running.delete("ordinary");
  await world.clock.advance(300);
  assertEquals(world.log.slice(3), ["end critical 10"]);
  world.running.delete("critical");
  await world.clock.advance(300);
  assertEquals(world.log.slice(4), ["released"]);
});

Deno.test("pods that do not end hold nothing up beyond their time", async () => {
  await using world = startWorld();
  await settle();
  await world.prepare(true);
  await world.clock.advance(20_000);
  assertEquals(world.log.at(-1), "end critical 10");
  await world.clock.advance(10_000);
  assertEquals(world.log.at(-1), "released");
});

Deno.test("a machine that allows less time gets less", async () => {
  await using world = startWorld(15_000);
  await settle();
  await world.prepare(true);
  assertEquals(world.log.at(-1), "end ordinary 5");
});

Deno.test("a shutdown that is called off lets the pods run again", async () => {
  await using world = startWorld();
  world.running.clear();
  await settle();
  await world.prepare(true);
  await world.prepare(false);
  assertEquals(world.log.slice(-4), ["released", "resume", "changed", "held"]);
  assertEquals(world.shutdown.isGoingDown, false);
});

Deno.test("logind that is away, or goes away, is looked for again", async () => {
  await using world = startWorld();
  await settle();
  world.logindEnds();
  await settle();
  assertEquals(world.log, ["held", "released"]);
  world.hasLogind = false;
  await world.clock.advance(130_000);
  assertEquals(world.log.length, 2);
});
