import { assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../../../shared/errors.ts";
import type { PodStats } from "../../../shared/k8s/stats_summary.ts";
import type { MachineFacts } from "../../node/port.ts";
import { MACHINE } from "../../node/testing/samples.ts";
import { TestNode, testPod } from "../testing.ts";
import { parseThresholds } from "./thresholds.ts";

const FOREVER = "trap 'exit 0' TERM; while true; do sleep 5; done";
const MI = 1024 ** 2;

/** A node whose machine and usage a test sets. */
async function startShort() {
  const node = await TestNode.start();
  await node.stopAgent();
  const world = {
    node,
    machine: { ...MACHINE } as MachineFacts,
    usedMi: {} as Record<string, number>,
    [Symbol.asyncDispose]: () => node[Symbol.asyncDispose](),
  };
  const words = { hard: {}, soft: {}, softGracePeriod: {}, minimumReclaim: {} };
  const time = "2026-01-01T00:00:00Z";
  const statsOf = ([uid, mi]: [string, number]): PodStats => {
    const memory = { time, workingSetBytes: mi * MI };
    const podRef = { name: uid, namespace: "default", uid };
    return {
      podRef,
      startTime: null,
      containers: [{ name: "main", startTime: null, memory }],
      memory,
    };
  };
  node.eviction = {
    thresholds: parseThresholds(words, "eviction"),
    transitionMs: 300_000,
    podGraceSecondsMax: 0,
    readMachine: () => Promise.resolve(world.machine),
    readImageFs: () => Promise.resolve(undefined),
    readUsage: () =>
      Promise.resolve({
        node: { nodeName: "edge-1", startTime: time },
        pods: Object.entries(world.usedMi).map(statsOf),
      }),
  };
  node.startAgent();
  return world;
}

Deno.test("short of memory, one pod at a time gives way, and says why", async () => {
  await using world = await startShort();
  const { node } = world;
  for (const name of ["big", "small", "critical"]) {
    node.apply(testPod(name, FOREVER, ({ spec }) => {
      if (name === "critical") spec.priorityClassName = "system-node-critical";
    }));
    await node.phase(`uid-${name}`, "Running");
  }
  world.usedMi = { "uid-big": 900, "uid-small": 5, "uid-critical": 2_000 };
  world.machine = { ...MACHINE, memoryAvailableBytes: 50 * MI };
  const status = await node.phase("uid-big", "Failed");
  assertEquals([status.reason, status.message], [
    "Evicted",
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. " +
    "Container main was using 900Mi, request is 0, has larger consumption of memory. ",
  ]);
  assertEquals(
    status.conditions?.find((c) => c.type === "DisruptionTarget")?.reason,
    "TerminationByKubelet",
  );
  assertEquals([...node.agent.pressures()], ["MemoryPressure"]);
  assertEquals(node.events.messages("Evicted").length, 1);
  assertEquals(node.events.messages("EvictionThresholdMet").length > 0, true);
  world.machine = { ...MACHINE };
  await node.clock.advance(60_000);
  assertEquals(node.status("uid-small")?.phase, "Running");
  // still short: the next one goes, the critical one never
  world.machine = { ...MACHINE, memoryAvailableBytes: 50 * MI };
  await node.phase("uid-small", "Failed");
  await node.clock.advance(120_000);
  assertEquals(node.status("uid-critical")?.phase, "Running");
});

Deno.test("under pressure best-effort pods are refused, and taken again afterwards", async () => {
  await using world = await startShort();
  const { node } = world;
  world.machine = { ...MACHINE, memoryAvailableBytes: 50 * MI };
  await node.clock.until(() => node.agent.pressures().size > 0);
  node.apply(testPod("late", FOREVER));
  const refused = await node.phase("uid-late", "Failed");
  assertEquals([refused.reason, refused.message], [
    "Evicted",
    "Pod was rejected: The node had condition: [MemoryPressure]. ",
  ]);
  world.machine = { ...MACHINE };
  node.apply(testPod("asks", FOREVER, ({ spec }) => {
    spec.containers[0]!.resources = { requests: { memory: "10Mi" } };
  }));
  await node.phase("uid-asks", "Running");
  await node.clock.advance(320_000);
  node.apply(testPod("later", FOREVER));
  await node.phase("uid-later", "Running");
});

Deno.test("short of disk, what nobody needs goes first", async () => {
  await using world = await startShort();
  const { node } = world;
  const spare = node.world.images.add({ name: "docker.io/skerry/spare:1" });
  node.apply(testPod("done", "exit 0", ({ spec }) => void (spec.restartPolicy = "Never")));
  node.apply(testPod("web", FOREVER));
  const done = await node.phase("uid-done", "Succeeded");
  await node.phase("uid-web", "Running");
  const full = { ...MACHINE.disk, availableBytes: 1e8 };
  const disk = () => node.world.images.find(spare.id) ? full : MACHINE.disk;
  world.machine = Object.defineProperty({ ...MACHINE }, "disk", { get: disk, enumerable: true });
  await node.clock.until(() => !node.world.images.find(spare.id));
  await node.clock.advance(30_000);
  assertEquals(node.status("uid-web")?.phase, "Running");
  assertEquals([...node.agent.pressures()], ["DiskPressure"]);
  assertEquals(node.status("uid-done")?.containerStatuses, done.containerStatuses);
  const id = done.containerStatuses![0]!.containerID!.slice("fake://".length);
  assertThrows(() => node.world.container(id), AppError);
});
