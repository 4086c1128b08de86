import { assert, assertEquals } from "@std/assert";
import type { Container, Pod } from "../../shared/k8s/types.ts";
import { restartsAfter } from "./plan_restart.ts";
import { IMAGE, TestNode, testPod } from "./testing.ts";

const FOREVER = "trap 'exit 0' TERM; while true; do sleep 5; done";
const sidecar = (name: string, script = FOREVER): Container => ({
  name,
  image: IMAGE,
  command: ["sh", "-c", script],
  restartPolicy: "Always",
});

Deno.test("activeDeadlineSeconds ends the pod, also across a pause of the agent", async () => {
  await using node = await TestNode.start();
  for (const name of ["a", "b"]) {
    node.apply(testPod(name, FOREVER, (pod) => pod.spec.activeDeadlineSeconds = 60));
    await node.phase(`uid-${name}`, "Running");
  }
  await node.clock.advance(40_000);
  assertEquals(node.status("uid-a")?.phase, "Running");
  const status = await node.phase("uid-a", "Failed", 21_000);
  assertEquals([status.reason, status.message], [
    "DeadlineExceeded",
    "Pod was active on the node longer than the specified deadline",
  ]);
  assertEquals(node.events.messages("DeadlineExceeded").length > 0, true);
  await node.clock.until(() => [...node.world.sandboxes.values()].every((s) => !s.isReady));
  assertEquals(node.status("uid-a")?.reason, "DeadlineExceeded");
  node.apply(testPod("c", FOREVER, (pod) => pod.spec.activeDeadlineSeconds = 60));
  await node.phase("uid-c", "Running");
  await node.stopAgent();
  await node.clock.advance(120_000);
  node.startAgent();
  await node.phase("uid-c", "Failed", 5_000);
});

Deno.test("a wall clock that jumps ends no pod before its deadline", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("a", FOREVER, (pod) => pod.spec.activeDeadlineSeconds = 60));
  await node.phase("uid-a", "Running");
  node.clock.jumpWall(1e10);
  await node.clock.advance(50_000);
  assertEquals(node.status("uid-a")?.phase, "Running");
});

Deno.test("a pod is over when its ordinary containers are; then sidecars end", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("job", "sleep 5; exit 0", (pod) => {
    pod.spec.restartPolicy = "Never";
    pod.spec.initContainers = [sidecar("log", "sleep inf")];
    pod.spec.terminationGracePeriodSeconds = 3;
  }));
  await node.phase("uid-job", "Succeeded");
  await node.clock.until(() => [...node.world.sandboxes.values()].every((s) => !s.isReady));
  assertEquals(node.events.messages("Killing"), ["Stopping container log"]);
  assertEquals(node.status("uid-job")?.phase, "Succeeded");
});

Deno.test("a sidecar that ends is run again, whatever the pod's policy", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("job", FOREVER, (pod) => {
    pod.spec.restartPolicy = "Never";
    pod.spec.initContainers = [sidecar("log", "sleep 5; exit 0")];
  }));
  await node.phase("uid-job", "Running");
  const restarts = () => node.status("uid-job")?.initContainerStatuses?.[0]?.restartCount ?? 0;
  await node.clock.until(() => restarts() >= 2);
  assertEquals(node.status("uid-job")?.containerStatuses?.[0]?.restartCount, 0);
});

Deno.test("a readiness gate holds Ready back until its condition is true", async () => {
  await using node = await TestNode.start();
  const pod = node.apply(testPod("web", FOREVER, (pod) => {
    pod.spec.readinessGates = [{ conditionType: "example.com/gate" }];
  }));
  const status = await node.phase("uid-web", "Running");
  const find = (type: string) => node.status("uid-web")?.conditions?.find((c) => c.type === type);
  assertEquals(status.containerStatuses?.[0]?.ready, true);
  assertEquals(find("ContainersReady")?.status, "True");
  assertEquals([find("Ready")?.reason, find("Ready")?.message], [
    "ReadinessGatesNotReady",
    'corresponding condition of pod readiness gate "example.com/gate" does not exist.',
  ]);
  const gate = { type: "example.com/gate", status: "True" as const };
  node.apply({ ...pod, status: { conditions: [gate] } });
  await node.clock.until(() => find("Ready")?.status === "True");
});

Deno.test("container-level restart policies and rules", () => {
  const pod = (restartPolicy: "Always" | "OnFailure" | "Never"): Pod => ({
    metadata: {},
    spec: { containers: [], restartPolicy },
  });
  const rule = (operator: "In" | "NotIn", ...values: number[]) => ({
    action: "Restart",
    exitCodes: { operator, values },
  });
  const table: [Partial<Container>, "Always" | "OnFailure" | "Never", number, boolean][] = [
    [{}, "Always", 0, true],
    [{}, "OnFailure", 0, false],
    [{}, "OnFailure", 1, true],
    [{}, "Never", 1, false],
    [{ restartPolicy: "Never" }, "Always", 1, false],
    [{ restartPolicy: "Always" }, "Never", 0, true],
    [{ restartPolicy: "OnFailure" }, "Always", 0, false],
    [{ restartPolicy: "Never", restartPolicyRules: [rule("In", 42)] }, "Never", 42, true],
    [{ restartPolicy: "Never", restartPolicyRules: [rule("In", 42)] }, "Never", 1, false],
    [{ restartPolicy: "Never", restartPolicyRules: [rule("NotIn", 0, 1)] }, "Never", 7, true],
    [{ restartPolicy: "Never", restartPolicyRules: [rule("NotIn", 0, 1)] }, "Never", 1, false],
  ];
  for (const [change, policy, code, expected] of table) {
    const container = { name: "c", ...change };
    assertEquals(restartsAfter(pod(policy), container, code), expected, JSON.stringify(change));
  }
});

Deno.test("a container that never restarts ends alone; the pod goes on", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("web", FOREVER, (pod) => {
    const once = { name: "once", image: IMAGE, command: ["sh", "-c", "exit 1"] };
    pod.spec.containers.push({ ...once, restartPolicy: "Never" });
  }));
  await node.phase("uid-web", "Running");
  await node.clock.advance(30_000);
  const once = node.status("uid-web")?.containerStatuses?.[1];
  assertEquals(once?.state?.terminated?.exitCode, 1);
  assertEquals(once?.restartCount, 0);
  assert(node.status("uid-web")?.phase === "Running");
});
