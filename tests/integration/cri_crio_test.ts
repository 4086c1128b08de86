/**
 * GrpcRuntime and the pod agent against a real, private CRI-O: the one SKERRY_TEST_CRIO names. No
 * machine has one by itself: without it there are no tests here.
 */
import { GrpcRuntime } from "../../edge/cri/grpc_runtime.ts";
import { runtimeSuite } from "../../edge/cri/runtime_suite.ts";
import { SystemClock } from "../../shared/clock.ts";
import { SystemRandom } from "../../shared/random.ts";
import { removeCgroup } from "../support/cgroup_sweep.ts";
import { chosenCrio, startCrio } from "../support/crio.ts";
import { testWith } from "../support/requirements.ts";

function testWithCrio(name: string, fn: (t: Deno.TestContext) => Promise<void>): void {
  testWith(["root", "busybox"], name, fn);
}

for (const events of chosenCrio() ? [false, true] : []) {
  runtimeSuite(`CRI-O with${events ? "" : "out"} events`, async () => {
    const crio = await startCrio({ events });
    const logRoot = await Deno.makeTempDir({ prefix: "skerry-cri-logs-" });
    const cgroupRoot = `/skerry-suite-${new SystemRandom().bytes(4).toHex()}`;
    const runtime = new GrpcRuntime(crio.endpoint);
    await runtime.pullImage({ image: { image: crio.image } });
    return {
      runtime,
      connect: () => new GrpcRuntime(crio.endpoint),
      image: crio.image,
      logRoot,
      cgroupRoot,
      clock: new SystemClock(),
      random: new SystemRandom(),
      [Symbol.asyncDispose]: async () => {
        await runtime.close();
        await crio.stop();
        await removeCgroup(cgroupRoot);
        await Deno.remove(logRoot, { recursive: true });
      },
    };
  }, testWithCrio);
}
