import { assertEquals, assertMatch } from "@std/assert";
import type { EphemeralContainer, Pod } from "../../shared/k8s/types.ts";
import { NamespaceMode } from "../../shared/gen/runtime/v1/api_pb.ts";
import { IMAGE, TestNode, testPod } from "./testing.ts";

const FOREVER = "trap 'exit 0' TERM; while true; do sleep 5; done";

function helper(name: string, script: string, more: Partial<EphemeralContainer> = {}) {
  return { name, image: IMAGE, command: ["sh", "-c", script], ...more };
}

function withHelpers(pod: Pod, ...ephemeralContainers: EphemeralContainer[]): Pod {
  return { ...pod, spec: { ...pod.spec, ephemeralContainers } };
}

function stateOf(node: TestNode, name: string) {
  return node.status("uid-web")?.ephemeralContainerStatuses?.find((s) => s.name === name)?.state;
}

Deno.test("an ephemeral container joins its target and counts for nothing", async () => {
  await using node = await TestNode.start();
  const pod = node.apply(testPod("web", FOREVER));
  const before = await node.phase("uid-web", "Running");
  node.apply(withHelpers(pod, helper("look", "exit 3", { targetContainerName: "main" })));
  await node.clock.until(() => stateOf(node, "look")?.terminated);
  const status = node.status("uid-web");
  assertEquals([status?.phase, stateOf(node, "look")?.terminated?.exitCode], ["Running", 3]);
  assertEquals(status?.containerStatuses, before.containerStatuses);
  assertEquals(status?.conditions, before.conditions);
  const options = [...node.world.containers.values()].find((c) =>
    c.config.metadata?.name === "look"
  )
    ?.config.linux?.securityContext?.namespaceOptions;
  const target = [...node.world.containers.values()].find((c) =>
    c.config.metadata?.name === "main"
  );
  assertEquals([options?.pid, options?.targetId], [NamespaceMode.TARGET, target?.id]);
  assertEquals(
    node.events.all.find((e) => e.reason === "Started" && e.message.endsWith("look"))
      ?.involvedObject.fieldPath,
    "spec.ephemeralContainers{look}",
  );
});

Deno.test("an ephemeral container runs once, whatever is lost", async () => {
  await using node = await TestNode.start();
  const pod = node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  node.apply(withHelpers(pod, helper("ends", "exit 0"), helper("stays", FOREVER)));
  await node.clock.until(() =>
    stateOf(node, "ends")?.terminated && stateOf(node, "stays")?.running
  );
  await node.stopAgent();
  node.world.sandboxes.clear();
  node.world.containers.clear();
  node.startAgent();
  await node.clock.until(() =>
    node.status("uid-web")?.containerStatuses?.[0]?.restartCount === 1 &&
    node.status("uid-web")?.containerStatuses?.[0]?.state?.running
  );
  await node.clock.advance(30_000);
  assertEquals(stateOf(node, "ends")?.terminated?.reason, "Completed");
  assertEquals(stateOf(node, "stays")?.terminated?.reason, "ContainerStatusUnknown");
  assertEquals([...node.world.containers.values()].map((c) => c.config.metadata?.name), ["main"]);
});

Deno.test("a target that is not there, and a name taken twice, harm only the helper", async () => {
  await using node = await TestNode.start();
  const pod = node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  node.apply(withHelpers(
    pod,
    helper("lost", "exit 0", { targetContainerName: "who" }),
    helper("main", "exit 1"),
    helper("../up", "exit 1"),
  ));
  await node.clock.until(() => stateOf(node, "lost")?.waiting?.message);
  assertEquals(stateOf(node, "lost")?.waiting?.reason, "CreateContainerConfigError");
  assertMatch(stateOf(node, "lost")?.waiting?.message ?? "", /unable to find target container who/);
  assertEquals(node.status("uid-web")?.ephemeralContainerStatuses?.length, 1);
  assertEquals(node.status("uid-web")?.containerStatuses?.[0]?.ready, true);
});

Deno.test("helpers are stopped with the pod, and also when its work is done", async () => {
  await using node = await TestNode.start();
  const job = testPod("web", "sleep 20; exit 0", (p) => p.spec.restartPolicy = "Never");
  node.apply(withHelpers(job, helper("stays", FOREVER)));
  await node.phase("uid-web", "Succeeded");
  await node.clock.until(() => stateOf(node, "stays")?.terminated);
  assertEquals(node.status("uid-web")?.phase, "Succeeded");
});
