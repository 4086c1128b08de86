import { SystemClock } from "../../shared/clock.ts";
import { SeededRandom } from "../../shared/random.ts";
import { FakeRuntime } from "./fake_runtime.ts";
import { failsToStart } from "./fake_program.ts";
import { FakeWorld } from "./fake_world.ts";
import { runtimeSuite } from "./runtime_suite.ts";

const IMAGE = "docker.io/skerry/busybox:1";

runtimeSuite("the fake runtime", async () => {
  const clock = new SystemClock();
  const random = new SeededRandom(1);
  const logRoot = await Deno.makeTempDir({ prefix: "skerry-fake-cri-" });
  const program = ({ command }: { command: string[] }) =>
    command[0] === "/no/such/command" ? failsToStart(`exec: "${command[0]}"`) : undefined;
  const world = new FakeWorld({ clock, random, program, writeLogs: true });
  world.images.add({ name: IMAGE });
  world.images.setPull("127.0.0.1:1/absent:1", {
    kind: "fail",
    code: "internal",
    message: 'failed to pull and unpack image "127.0.0.1:1/absent:1": connection refused',
  });
  const runtime = new FakeRuntime(world);
  return {
    runtime,
    connect: () => new FakeRuntime(world),
    image: IMAGE,
    logRoot,
    cgroupRoot: "/fake",
    clock,
    random,
    [Symbol.asyncDispose]: async () => {
      await runtime.close();
      await world[Symbol.asyncDispose]();
      await Deno.remove(logRoot, { recursive: true });
    },
  };
});
