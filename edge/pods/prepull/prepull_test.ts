import { assertEquals, assertMatch } from "@std/assert";
import type { PrePullResult, PrePullTemplate } from "../../../shared/k8s/prepull.ts";
import { TestNode, testPod } from "../testing.ts";
import { cpuTimes, memoryPercent } from "./node_use.ts";

const RESOURCE = "imageprepulljobs.operations.kubeedge.io";
const GOOD = "registry.test/good:1";
const SLOW = "registry.test/slow:1";

function putJob(node: TestNode, template: PrePullTemplate): void {
  const metadata = { name: "early", namespace: "", uid: "u1" };
  node.ledger.put(RESOURCE, { metadata, spec: { imagePrePullTemplate: template } });
}

function told(node: TestNode, withinMs = 60_000): Promise<PrePullResult> {
  return node.clock.until(() => node.prePulls.get("u1"), { withinMs, what: "a report of the job" });
}

Deno.test("images of a job are pulled with its secret, and told of, once", async () => {
  await using node = await TestNode.start();
  node.world.images.setPull(GOOD, { kind: "ok", image: {} });
  putJob(node, { images: [GOOD, "A b"], imageSecrets: "default/reg" });
  const { images } = await told(node);
  assertEquals(images, [
    { image: GOOD, status: "True" },
    { image: "A b", status: "False", reason: "invalid reference format" },
  ]);
  assertEquals(node.world.images.find(GOOD) !== undefined, true);
  node.prePulls.clear();
  node.ledger.changes.notify();
  await node.clock.advance(60_000);
  assertEquals(node.prePulls.size, 0);
});

Deno.test("a failed image is tried so many times, with pauses, and told", async () => {
  await using node = await TestNode.start();
  putJob(node, { images: ["registry.test/none:1"], retryTimes: 2 });
  const startedMs = node.clock.monotonicMs();
  const { images: [image] } = await told(node);
  assertEquals(image?.status, "False");
  assertMatch(image?.reason ?? "", /none/);
  assertEquals(node.clock.monotonicMs() - startedMs >= 3_000, true);
});

Deno.test("a full disk refuses a job that asks to look; one that does not is done", async () => {
  await using node = await TestNode.start();
  node.diskUse = { capacityBytes: 100, availableBytes: 10 };
  node.world.images.setPull(GOOD, { kind: "ok", image: {} });
  putJob(node, { images: [GOOD], checkItems: ["disk"] });
  assertEquals(await told(node), {
    refusal: "disk is used to 90 %, more than 80 %",
    images: [],
  });
  node.prePulls.clear();
  node.ledger.drop(`${RESOURCE}//early`);
  await node.clock.advance(1_000);
  const metadata = { name: "again", namespace: "", uid: "u2" };
  const spec = { imagePrePullTemplate: { images: [GOOD], checkItems: [] } };
  node.ledger.put(RESOURCE, { metadata, spec });
  const result = await node.clock.until(() => node.prePulls.get("u2"), { withinMs: 60_000 });
  assertEquals(result.images, [{ image: GOOD, status: "True" }]);
});

Deno.test("a pull ends with the job's time, or when the job is withdrawn", async () => {
  await using node = await TestNode.start();
  node.world.images.setPull(SLOW, { kind: "ok", afterMs: 50_000, image: {} });
  putJob(node, { images: [SLOW], timeoutSeconds: 20 });
  const { images: [image] } = await told(node);
  assertEquals(image, { image: SLOW, status: "False", reason: "the job's time is over" });
  node.prePulls.clear();
  const metadata = { name: "other", namespace: "", uid: "u3" };
  const spec = { imagePrePullTemplate: { images: [SLOW] } };
  node.ledger.put(RESOURCE, { metadata, spec });
  await node.clock.advance(5_000);
  node.ledger.drop(`${RESOURCE}//other`);
  await node.clock.advance(60_000);
  assertEquals([...node.prePulls.keys()], []);
  assertEquals(node.world.images.find(SLOW), undefined);
});

Deno.test("a runtime that is away fails no job: it is done when it is back", async () => {
  await using node = await TestNode.start();
  node.world.images.setPull(GOOD, { kind: "ok", image: {} });
  node.world.faults.fail("PullImage", "unavailable", "away", 2);
  putJob(node, { images: [GOOD] });
  assertEquals((await told(node)).images, [{ image: GOOD, status: "True" }]);
});

Deno.test("pods' pulls go before those of jobs", async () => {
  await using node = await TestNode.start();
  const names = Array.from({ length: 6 }, (_, i) => `registry.test/job${i}:1`);
  for (const name of names) {
    node.world.images.setPull(name, { kind: "ok", afterMs: 10_000, image: {} });
  }
  node.world.images.setPull(GOOD, { kind: "ok", afterMs: 1_000, image: {} });
  putJob(node, { images: names });
  await node.clock.advance(1_000);
  node.apply(testPod("web", "sleep 600", (pod) => pod.spec.containers[0]!.image = GOOD));
  await node.phase("uid-web", "Running", 15_000);
  assertEquals((await told(node)).images.length, 6);
});

Deno.test("what was pulled ahead is not the first to go when space is short", async () => {
  await using node = await TestNode.start();
  for (const name of ["old:1", "older:1"]) {
    node.world.images.add({ name: `registry.test/${name}`, sizeBytes: 5e7 });
  }
  node.world.images.setPull(GOOD, { kind: "ok", image: { sizeBytes: 5e7 } });
  putJob(node, { images: [GOOD] });
  await told(node);
  await node.clock.advance(400_000);
  node.diskUse = { capacityBytes: 1e9, availableBytes: 1.4e8 };
  const has = (name: string) => node.world.images.find(name) !== undefined;
  await node.clock.until(() => !has("registry.test/old:1") && !has("registry.test/older:1"), {
    withinMs: 700_000,
    what: "the others to be collected",
  });
  assertEquals(has(GOOD), true);
});

Deno.test("memoryPercent() and cpuTimes() read what the kernel says", () => {
  assertEquals(memoryPercent("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n"), 75);
  assertEquals(cpuTimes("cpu  10 0 5 80 5 0 0 0 3 0\ncpu0 1 1 1 1\n"), { all: 100, idle: 85 });
});
