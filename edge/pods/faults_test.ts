import { assert, assertEquals } from "@std/assert";
import type { ErrorCode } from "../../shared/errors.ts";
import { SeededRandom } from "../../shared/random.ts";
import { LABEL } from "./marks.ts";
import { TestNode, testPod } from "./testing.ts";

const FOREVER = "trap 'exit 0' TERM; while true; do sleep 5; done";
const CALLS = [
  "RunPodSandbox",
  "StopPodSandbox",
  "RemovePodSandbox",
  "PodSandboxStatus",
  "ListPodSandbox",
  "CreateContainer",
  "StartContainer",
  "StopContainer",
  "RemoveContainer",
  "ListContainers",
  "ContainerStatus",
  "ContainerStatus",
  "ImageStatus",
  "ExecSync",
  "Status",
];
/** Probes that fail now and then because their calls do, and hooks that may be cut off. */
const PROBED = {
  livenessProbe: { exec: { command: ["true"] }, periodSeconds: 1, failureThreshold: 1 },
  readinessProbe: { exec: { command: ["false"] }, periodSeconds: 2 },
  lifecycle: {
    postStart: { exec: { command: ["sleep", "1"] } },
    preStop: { sleep: { seconds: 2 } },
  },
};
const CODES: ErrorCode[] = ["internal", "unavailable", "not_found", "invalid", "exhausted"];

/** A day of trouble: faults, crashes of runtime and agent, pods coming and going. Then it heals. */
async function troubledHistory(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random.float() * items.length)]!;
  await using node = await TestNode.start({ hasEvents: random.float() < 0.5 }, seed);
  const names = ["a", "b", "c", "d"];
  const alive = new Set<string>();
  for (let round = 0; round < 12; round++) {
    const name = pick(names);
    const uid = `${name}-${round}`;
    const key = `pods/default/${name}`;
    if (node.ledger.objects.has(key) && random.float() < 0.5) {
      node.ledger.drop(key);
      alive.delete(name);
    } else {
      const script = pick([FOREVER, "sleep 3; exit 1", "sleep inf"]);
      const isProbed = random.float() < 0.5;
      node.apply(testPod(name, script, (pod) => {
        pod.metadata.uid = uid;
        if (isProbed) Object.assign(pod.spec.containers[0]!, PROBED);
      }));
      alive.add(name);
    }
    for (let i = 0; i < 4; i++) {
      const call = pick(CALLS);
      const kind = random.float();
      if (kind < 0.6) node.world.faults.fail(call, pick(CODES), "injected", 1);
      else node.world.faults.delay(call, Math.floor(random.float() * 8_000), 1);
    }
    if (random.float() < 0.2) node.world.faults.down = true;
    if (random.float() < 0.15) {
      await node.stopAgent();
      node.startAgent();
    }
    await node.clock.advance(Math.floor(random.float() * 9_000));
    node.world.faults.down = false;
    assertNoDoubles(node, seed);
  }
  node.world.faults.clear();
  await node.clock.advance(1_000);
  // Healed: what is desired has exactly one ready sandbox, what is not has none.
  await node.clock.until(() => {
    const ready = [...node.world.sandboxes.values()].filter((s) => s.isReady);
    const uids = ready.map((s) => s.config.metadata?.uid).sort();
    const wanted = [...alive].map((name) =>
      node.ledger.objects.get(`pods/default/${name}`)!.metadata.uid
    ).sort();
    return JSON.stringify(uids) === JSON.stringify(wanted);
  }, { withinMs: 400_000, what: `seed ${seed}: sandboxes as desired` });
  for (const name of alive) node.ledger.drop(`pods/default/${name}`);
  await node.clock.until(
    () => node.world.sandboxes.size + node.world.containers.size === 0,
    { withinMs: 400_000, what: `seed ${seed}: nothing left` },
  );
  await node.clock.until(() => node.records.records.size === 0);
  assertEquals([...Deno.readDirSync(`${node.dir}/pods`)], []);
}

function assertNoDoubles(node: TestNode, seed: number): void {
  const running = [...node.world.containers.values()].filter((c) => c.state.kind === "running")
    .map((c) => `${c.config.labels[LABEL.podUid]}/${c.config.metadata?.name}`);
  assertEquals(running.length, new Set(running).size, `seed ${seed}: ${running.join(" ")}`);
}

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  Deno.test(`seeded faults never leak a sandbox (seed ${seed})`, () => troubledHistory(seed));
}

Deno.test("a runtime that stalls on one pod does not hold back the others", async () => {
  await using node = await TestNode.start();
  node.world.faults.stall("RunPodSandbox", 1);
  node.apply(testPod("stuck", FOREVER));
  await node.clock.settle();
  node.apply(testPod("free", FOREVER));
  await node.phase("uid-free", "Running", 5_000);
  assert(node.status("uid-stuck")?.phase !== "Running");
});

Deno.test("one container never runs twice at once", async () => {
  await using node = await TestNode.start();
  node.world.faults.fail("StartContainer", "internal", "injected", 2);
  node.world.faults.delay("CreateContainer", 2_000, 3);
  node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  const running = [...node.world.containers.values()].filter((c) => c.state.kind === "running");
  assertEquals(running.length, 1);
});
