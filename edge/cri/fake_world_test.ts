/** The fake runtime on a clock of the test's own: what tests of the pod agent build on. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { ContainerEventType, ContainerState } from "../../shared/gen/runtime/v1/api_pb.ts";
import { SeededRandom } from "../../shared/random.ts";
import {
  exitsAfter,
  failsToStart,
  type FakeProgram,
  programOfCommand,
  runsUntilKilled,
  runsUntilStopped,
} from "./fake_program.ts";
import { fullReference } from "./fake_images.ts";
import { FakeRuntime } from "./fake_runtime.ts";
import { FakeWorld, type FakeWorldOptions } from "./fake_world.ts";

/** Time that passes only when the test says so. */
class HandClock implements Clock {
  #nowMs = 1_700_000_000_000;
  readonly #sleepers = new Set<{ atMs: number; wake: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const sleeper = { atMs: this.#nowMs + ms, wake: () => resolve() };
      const onAbort = () => {
        this.#sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      sleeper.wake = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Lets everything run that waits for no clock, then `ms` pass. */
  async pass(ms: number): Promise<void> {
    await settle();
    this.#nowMs += ms;
    for (const sleeper of [...this.#sleepers]) {
      if (sleeper.atMs > this.#nowMs) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
    await settle();
  }
}

/** Runs the promises that are ready; 100 turns are more than any chain here. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
}

interface Bench extends AsyncDisposable {
  clock: HandClock;
  world: FakeWorld;
  runtime: FakeRuntime;
  start(program: FakeProgram): Promise<string>;
}

async function bench(options: Partial<FakeWorldOptions> = {}): Promise<Bench> {
  const clock = new HandClock();
  const programs = new Map<string, FakeProgram>();
  const world = new FakeWorld({
    clock,
    random: new SeededRandom(7),
    program: (config) => programs.get(config.metadata?.name ?? ""),
    ...options,
  });
  world.images.add({ name: "app:1" });
  const runtime = new FakeRuntime(world);
  const metadata = { name: "pod", namespace: "default", uid: "u1", attempt: 0 };
  const podSandboxId = await runtime.runPodSandbox({ config: { metadata } });
  const start = async (program: FakeProgram) => {
    const name = `c${programs.size}`;
    programs.set(name, program);
    const config = { metadata: { name, attempt: 0 }, image: { image: "app:1" } };
    const id = await runtime.createContainer({ podSandboxId, config });
    await runtime.startContainer(id);
    return id;
  };
  const dispose = async () => {
    await runtime.close();
    await world[Symbol.asyncDispose]();
  };
  return { clock, world, runtime, start, [Symbol.asyncDispose]: dispose };
}

async function statusOf(runtime: FakeRuntime, containerId: string) {
  const { status } = await runtime.containerStatus({ containerId });
  assert(status);
  return status;
}

Deno.test("a program exits when its time on the clock has passed, not before", async () => {
  await using b = await bench();
  const id = await b.start(exitsAfter(5000, 2));
  await b.clock.pass(4999);
  assertEquals((await statusOf(b.runtime, id)).state, ContainerState.CONTAINER_RUNNING);
  await b.clock.pass(1);
  const status = await statusOf(b.runtime, id);
  assertEquals([status.exitCode, status.reason], [2, "Error"]);
  assertEquals(status.finishedAt - status.startedAt, 5_000_000_000n);
});

Deno.test("a program can say why it ended", async () => {
  await using b = await bench();
  const id = await b.start(exitsAfter(10, 137, "OOMKilled"));
  await b.clock.pass(10);
  assertEquals((await statusOf(b.runtime, id)).reason, "OOMKilled");
});

Deno.test("stop waits for the grace on the clock, then kills", async () => {
  await using b = await bench();
  const id = await b.start(runsUntilKilled());
  let stopped = false;
  const stop = b.runtime.stopContainer({ containerId: id, timeout: 30n })
    .then(() => stopped = true);
  await b.clock.pass(29_999);
  assertEquals(stopped, false);
  await b.clock.pass(1);
  await stop;
  assertEquals((await statusOf(b.runtime, id)).exitCode, 137);
});

Deno.test("stop ends early when the program answers the signal", async () => {
  await using b = await bench();
  const quick = await b.start(runsUntilStopped());
  await b.runtime.stopContainer({ containerId: quick, timeout: 30n });
  assertEquals((await statusOf(b.runtime, quick)).exitCode, 0);
  const slow = await b.start({ ...runsUntilStopped(), onTerm: { afterMs: 2000, code: 143 } });
  const stop = b.runtime.stopContainer({ containerId: slow, timeout: 30n });
  await b.clock.pass(2000);
  await stop;
  assertEquals((await statusOf(b.runtime, slow)).exitCode, 143);
});

Deno.test("a failed start leaves an exited container with its message", async () => {
  await using b = await bench();
  await assertRejects(() => b.start(failsToStart("no such file")), AppError, "no such file");
  const [container] = await b.runtime.listContainers({});
  const status = await statusOf(b.runtime, container?.id ?? "");
  assertEquals([status.reason, status.exitCode], ["StartError", 128]);
  assert(status.message.includes("no such file"));
});

Deno.test("injected faults strike the named call as often as they say", async () => {
  await using b = await bench();
  b.world.faults.fail("ListContainers", "unavailable", "shaken", 2);
  for (let n = 0; n < 2; n++) {
    const error = await assertRejects(() => b.runtime.listContainers({}), AppError);
    assertEquals([error.code, error.message], ["unavailable", "shaken"]);
    await b.runtime.listPodSandbox({});
  }
  assertEquals(await b.runtime.listContainers({}), []);

  b.world.faults.delay("Version", 700);
  const late = b.runtime.version();
  await b.clock.pass(700);
  await late;

  b.world.faults.stall("Version");
  const reason = new AppError("canceled", "no patience");
  const controller = new AbortController();
  const stalled = b.runtime.version(controller.signal);
  controller.abort(reason);
  assertEquals(await assertRejects(() => stalled), reason);
});

Deno.test("while the runtime is down its containers go on and its events end", async () => {
  await using b = await bench();
  const id = await b.start(exitsAfter(1000, 0));
  const events = b.runtime.containerEvents(new AbortController().signal);
  const next = events[Symbol.asyncIterator]().next();
  b.world.setDown(true);
  assertEquals((await assertRejects(() => next, AppError)).code, "unavailable");
  assertEquals((await assertRejects(() => b.runtime.version(), AppError)).code, "unavailable");
  await b.clock.pass(1000);
  b.world.setDown(false);
  assertEquals((await statusOf(b.runtime, id)).state, ContainerState.CONTAINER_EXITED);
});

Deno.test("a second client of one world finds what the first left running", async () => {
  await using b = await bench();
  const id = await b.start(runsUntilKilled());
  await b.runtime.close();
  await assertRejects(() => b.runtime.version(), AppError, "closed");
  await using second = new FakeRuntime(b.world);
  assertEquals((await statusOf(second, id)).state, ContainerState.CONTAINER_RUNNING);
});

Deno.test("a crash ends a container from outside, and is told as an event", async () => {
  await using b = await bench();
  const id = await b.start(runsUntilStopped());
  const events = b.runtime.containerEvents(new AbortController().signal)[Symbol.asyncIterator]();
  const next = events.next();
  await b.world.crash(id);
  const { value } = await next;
  assertEquals(value?.containerEventType, ContainerEventType.CONTAINER_STOPPED_EVENT);
  assertEquals(value?.containersStatuses[0]?.exitCode, 137);
  await events.return(undefined);
});

Deno.test("pulls succeed, fail and stall as scripted, and are counted", async () => {
  await using b = await bench();
  const pull = (image: string, signal?: AbortSignal) =>
    b.runtime.pullImage({ image: { image } }, signal);
  b.world.images.setPull("good:1", { kind: "ok", afterMs: 300, image: { uid: 1000 } });
  const pulled = pull("good:1");
  await b.clock.pass(300);
  const { image } = await b.runtime.imageStatus({ image: "docker.io/library/good:1" });
  assertEquals([image?.id, image?.uid?.value], [await pulled, 1000n]);

  b.world.images.setPull("bad:1", { kind: "fail", code: "forbidden", message: "no entry" });
  assertEquals((await assertRejects(() => pull("bad:1"), AppError)).code, "forbidden");
  assertEquals((await assertRejects(() => pull("unknown:1"), AppError)).code, "not_found");

  b.world.images.setPull("slow:1", { kind: "stall" });
  const reason = new AppError("canceled", "no patience");
  const controller = new AbortController();
  const stalled = pull("slow:1", controller.signal);
  controller.abort(reason);
  assertEquals(await assertRejects(() => stalled), reason);
  assertEquals(b.world.images.pullCounts.get("docker.io/library/bad:1"), 1);
});

Deno.test("sandboxes have addresses of their own, free again once stopped", async () => {
  await using b = await bench();
  const run = (uid: string) => {
    const metadata = { name: uid, namespace: "default", uid, attempt: 0 };
    return b.runtime.runPodSandbox({ config: { metadata } });
  };
  const ip = async (podSandboxId: string) =>
    (await b.runtime.podSandboxStatus({ podSandboxId })).status?.network?.ip;
  const two = await run("u2");
  assertEquals(await ip(two), "10.244.0.3");
  await b.runtime.stopPodSandbox(two);
  assertEquals(await ip(two), "");
  assertEquals(await ip(await run("u3")), "10.244.0.3");
  b.world.networkReady = false;
  await assertRejects(() => run("u4"), AppError, "cni plugin not initialized");
});

Deno.test("events are unimplemented where the world has none", async () => {
  await using b = await bench({ hasEvents: false });
  const events = b.runtime.containerEvents(new AbortController().signal);
  const next = () => events[Symbol.asyncIterator]().next();
  assertEquals((await assertRejects(next, AppError)).code, "unimplemented");
});

Deno.test("programOfCommand() reads the commands of sample pods", () => {
  const print = (text: string) => ({ kind: "print" as const, stream: "stdout" as const, text });
  const cases: [string[], FakeProgram | undefined][] = [
    [["sleep", "2"], { steps: [{ kind: "sleep", ms: 2000 }], onTerm: "ignore" }],
    [["/bin/sh", "-c", "echo a; exit 4"], {
      steps: [print("a\n"), { kind: "exit", code: 4 }],
      onTerm: "ignore",
    }],
    [["sh", "-c", "echo up; while true; do echo tick; sleep 1; done"], {
      steps: [print("up\n")],
      loop: [print("tick\n"), { kind: "sleep", ms: 1000 }],
      onTerm: "ignore",
    }],
    [["sh", "-c", "trap 'exit 3' TERM; sleep infinity & wait"], {
      steps: [{ kind: "sleep", ms: Infinity }],
      onTerm: { afterMs: 0, code: 3 },
    }],
    [["nginx", "-g", "daemon off;"], undefined],
    [[], undefined],
  ];
  for (const [words, expected] of cases) assertEquals(programOfCommand(words), expected);
});

Deno.test("fullReference() writes registry, folder and tag out", () => {
  const cases = {
    "busybox": "docker.io/library/busybox:latest",
    "busybox:1.36": "docker.io/library/busybox:1.36",
    "skerry/app": "docker.io/skerry/app:latest",
    "localhost/app": "localhost/app:latest",
    "127.0.0.1:5000/app": "127.0.0.1:5000/app:latest",
    "registry.example/a/b@sha256:ab": "registry.example/a/b@sha256:ab",
  };
  for (const [name, full] of Object.entries(cases)) assertEquals(fullReference(name), full);
});
