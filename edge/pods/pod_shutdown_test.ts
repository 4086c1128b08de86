import { assertEquals } from "@std/assert";
import { TestNode, testPod } from "./testing.ts";

const FOREVER = "trap 'exit 0' TERM; while true; do sleep 5; done";

async function startBoth(node: TestNode): Promise<void> {
  node.apply(testPod("web", FOREVER));
  node.apply(testPod("dns", FOREVER, ({ spec }) => {
    spec.priorityClassName = "system-node-critical";
  }));
  await node.phase("uid-web", "Running");
  await node.phase("uid-dns", "Running");
}

Deno.test("pods that a shutdown ended run again when the machine is back", async () => {
  await using node = await TestNode.start();
  await startBoth(node);
  const { shutdown } = node.agent;
  shutdown.end("ordinary", 5);
  const stopped = await node.waiting("uid-web", "Terminated");
  assertEquals(stopped.phase, "Running");
  assertEquals([shutdown.haveEnded("ordinary"), shutdown.haveEnded("critical")], [true, false]);
  node.apply(testPod("late", FOREVER));
  const refused = await node.phase("uid-late", "Failed");
  assertEquals(refused.message, "Pod was rejected as the node is shutting down.");
  shutdown.end("critical", 5);
  await node.waiting("uid-dns", "Terminated");
  // the machine is back
  await node.stopAgent();
  node.startAgent();
  const isBack = (uid: string) => node.status(uid)?.containerStatuses?.[0]?.state?.running;
  await node.clock.until(() => isBack("uid-web") && isBack("uid-dns"));
});

Deno.test("a shutdown that is called off lets them run at once", async () => {
  await using node = await TestNode.start();
  await startBoth(node);
  node.agent.shutdown.end("ordinary", 5);
  await node.waiting("uid-web", "Terminated");
  node.agent.shutdown.resume();
  await node.clock.until(() => node.status("uid-web")?.containerStatuses?.[0]?.state?.running);
});

Deno.test("where the operator wants what kubelet does, they are Failed as Terminated", async () => {
  await using node = await TestNode.start();
  await node.stopAgent();
  node.endsFinally = true;
  node.startAgent();
  await startBoth(node);
  node.agent.shutdown.end("ordinary", 5);
  const status = await node.phase("uid-web", "Failed");
  assertEquals([status.reason, status.message], [
    "Terminated",
    "Pod was terminated in response to imminent node shutdown.",
  ]);
  assertEquals(status.conditions?.find((c) => c.type === "DisruptionTarget")?.status, "True");
  assertEquals(node.status("uid-dns")?.phase, "Running");
});
