import { assertEquals } from "@std/assert";
import { holdingOf, judgePod } from "./admission.ts";
import { testPod } from "./testing.ts";

const NODE = {
  cpu: "2",
  memory: "1Gi",
  pods: "3",
  "ephemeral-storage": "10Gi",
  "hugepages-2Mi": "4Mi",
};

function asking(requests: Record<string, string>) {
  return testPod("web", "true", ({ spec }) => {
    spec.containers[0]!.resources = { requests };
  });
}

const TABLE: [string, Record<string, string>, string | undefined, string | undefined][] = [
  ["nothing", {}, undefined, undefined],
  ["cpu", { cpu: "1500m" }, "OutOfcpu", "cpu, requested: 1500, used: 1000, capacity: 2000"],
  ["memory", { memory: "2Gi" }, "OutOfmemory", undefined],
  ["local storage", { "ephemeral-storage": "8Gi" }, "OutOfephemeral-storage", undefined],
  ["huge pages", { "hugepages-2Mi": "4Mi" }, "OutOfhugepages-2Mi", undefined],
  ["what fits", { "hugepages-2Mi": "2Mi", cpu: "1", memory: "1Gi" }, undefined, undefined],
  ["what the node does not list", { "example.com/gpu": "1" }, undefined, undefined],
];
for (const [name, requests, reason, detail] of TABLE) {
  Deno.test(`a pod that asks for ${name}: ${reason ?? "taken"}`, () => {
    const held = asking({ cpu: "1", "ephemeral-storage": "4Gi", "hugepages-2Mi": "2Mi" });
    const rejection = judgePod(asking(requests), [holdingOf(held)], NODE);
    assertEquals(rejection?.reason, reason);
    if (detail === undefined) return;
    const message = `Pod was rejected: Node didn't have enough resource: ${detail}`;
    assertEquals(rejection?.message, message);
  });
}

Deno.test("a node that is full of pods takes no more", () => {
  const three = [1, 2, 3].map(() => holdingOf(asking({})));
  assertEquals(judgePod(asking({}), three, NODE)?.reason, "OutOfpods");
});
