import { assert, assertEquals } from "@std/assert";
import type { Lifecycle, Pod } from "../../shared/k8s/types.ts";
import { exitsAfter, type FakeProgram } from "../cri/fake_program.ts";
import { IMAGE, TestNode, testPod } from "./testing.ts";

const FOREVER = "trap 'exit 0' TERM; while true; do sleep 5; done";
const hooks = (lifecycle: Lifecycle) => (pod: Pod) => {
  pod.spec.containers[0]!.lifecycle = lifecycle;
};
const deletion = (pod: Pod, seconds: number): Pod => ({
  ...pod,
  metadata: {
    ...pod.metadata,
    deletionTimestamp: "2026-01-01T00:00:00Z",
    deletionGracePeriodSeconds: seconds,
  },
});

/** A node that notes the hooks that ran; each takes as long as its first argument says. */
async function nodeWithHooks(): Promise<{ node: TestNode; ran: string[] }> {
  const ran: string[] = [];
  const exec = (_: unknown, command: string[]): FakeProgram => {
    ran.push(command.join(" "));
    const [, seconds = "0", code = "0"] = command;
    return exitsAfter(Number(seconds) * 1000, Number(code));
  };
  return { node: await TestNode.start({ exec }), ran };
}

Deno.test("postStart runs before the next container starts", async () => {
  const { node: made, ran } = await nodeWithHooks();
  await using node = made;
  node.apply(testPod("web", FOREVER, (pod) => {
    hooks({ postStart: { exec: { command: ["hello", "7"] } } })(pod);
    pod.spec.containers.push({ name: "two", image: IMAGE, command: ["sh", "-c", FOREVER] });
  }));
  await node.phase("uid-web", "Running");
  assertEquals(ran, ["hello 7"]);
  const [first, second] = node.events.times("Started");
  assert(second! - first! >= 7_000);
});

Deno.test("a postStart that fails ends the container, which then backs off", async () => {
  const { node: made } = await nodeWithHooks();
  await using node = made;
  node.apply(
    testPod("web", FOREVER, hooks({ postStart: { exec: { command: ["no", "1", "3"] } } })),
  );
  const status = await node.waiting("uid-web", "PostStartHookError");
  assertEquals(
    status.containerStatuses?.[0]?.state?.waiting?.message,
    'Exec lifecycle hook ([no 1 3]) for Container "main" in Pod "web_default(uid-web)" failed' +
      " - error: command 'no 1 3' exited with 3: , message: \"\"",
  );
  assertEquals(node.events.messages("FailedPostStartHook")[0], "PostStartHook failed");
  assertEquals(node.events.messages("Killing")[0], "FailedPostStartHook");
  assertEquals(node.events.messages("Failed"), []);
  await node.waiting("uid-web", "CrashLoopBackOff");
});

Deno.test("under Never a postStart that fails ends the pod", async () => {
  const { node: made } = await nodeWithHooks();
  await using node = made;
  node.apply(testPod("web", FOREVER, (pod) => {
    pod.spec.restartPolicy = "Never";
    hooks({ postStart: { exec: { command: ["no", "0", "1"] } } })(pod);
  }));
  const status = await node.phase("uid-web", "Succeeded");
  assertEquals(status.containerStatuses?.[0]?.state?.waiting, undefined);
});

Deno.test("a deletion does not wait for a postStart that hangs", async () => {
  const { node: made, ran } = await nodeWithHooks();
  await using node = made;
  const postStart = { exec: { command: ["hang", "100000"] } };
  const pod = node.apply(testPod("web", FOREVER, hooks({ postStart })));
  await node.clock.until(() => ran.length === 1);
  node.apply(deletion(pod, 5));
  await node.gone("uid-web", 10_000);
});

Deno.test("preStop and the stop signal share one grace; the hook runs once", async () => {
  const { node: made, ran } = await nodeWithHooks();
  await using node = made;
  const preStop = { exec: { command: ["bye", "6"] } };
  const pod = node.apply(testPod("web", "sleep inf", hooks({ preStop })));
  await node.phase("uid-web", "Running");
  const askedAtMs = node.clock.monotonicMs();
  node.apply(deletion(pod, 10));
  await node.gone("uid-web");
  const tookMs = node.clock.monotonicMs() - askedAtMs;
  // generous above: virtual time runs on while real files are written
  assert(tookMs >= 10_000 && tookMs < 25_000, `${tookMs} ms`);
  assertEquals(ran, ["bye 6"]);
  assertEquals(node.events.messages("FailedPreStopHook"), []);
});

Deno.test("a preStop that takes all of the grace leaves two seconds, and is said", async () => {
  const { node: made } = await nodeWithHooks();
  await using node = made;
  const pod = node.apply(
    testPod("web", "sleep inf", hooks({ preStop: { sleep: { seconds: 60 } } })),
  );
  await node.phase("uid-web", "Running");
  const askedAtMs = node.clock.monotonicMs();
  node.apply(deletion(pod, 5));
  await node.gone("uid-web");
  const tookMs = node.clock.monotonicMs() - askedAtMs;
  assert(tookMs >= 7_000 && tookMs < 25_000, `${tookMs} ms`);
  assertEquals(node.events.messages("FailedPreStopHook"), ["PreStopHook failed"]);
});

Deno.test("no grace, no preStop; a shorter grace does not run it again", async () => {
  const { node: made, ran } = await nodeWithHooks();
  await using node = made;
  const preStop = { exec: { command: ["bye", "100"] } };
  const one = node.apply(testPod("one", "sleep inf", hooks({ preStop })));
  const two = node.apply(testPod("two", "sleep inf", hooks({ preStop })));
  for (const uid of ["uid-one", "uid-two"]) await node.phase(uid, "Running");
  node.apply(deletion(one, 0));
  await node.gone("uid-one");
  assertEquals(ran, []);
  node.apply(deletion(two, 600));
  await node.clock.until(() => ran.length === 1);
  node.apply(deletion(two, 4));
  await node.gone("uid-two", 10_000);
  assertEquals(ran, ["bye 100"]);
});

Deno.test("a pod that is no longer desired still gets its preStop", async () => {
  const { node: made, ran } = await nodeWithHooks();
  await using node = made;
  node.apply(testPod("web", FOREVER, hooks({ preStop: { exec: { command: ["bye", "1"] } } })));
  await node.phase("uid-web", "Running");
  node.ledger.drop("pods/default/web");
  await node.clock.until(() => node.world.sandboxes.size === 0);
  assertEquals(ran, ["bye 1"]);
});

Deno.test("httpGet hooks go to the pod, any answer will do, and TLS gives way", async () => {
  await using node = await TestNode.start();
  const get = (path: string, scheme = "HTTP") => ({ httpGet: { path, port: 80, scheme } });
  node.network.answer = (what) => {
    if (what.includes("https:")) return { ok: false, message: "tls", isPlain: true };
    if (what.endsWith("/gone")) return { ok: false, message: "refused" };
    return { ok: false, code: 500, message: "statuscode: 500" };
  };
  node.apply(testPod("web", FOREVER, hooks({ postStart: get("/up", "HTTPS") })));
  await node.phase("uid-web", "Running");
  const ip = node.status("uid-web")?.podIP;
  assertEquals(node.network.asked, [`http https://${ip}:80/up`, `http http://${ip}:80/up`]);
  node.apply(testPod("bad", FOREVER, hooks({ postStart: get("/gone") })));
  await node.waiting("uid-bad", "CrashLoopBackOff");
  assertEquals(node.events.messages("FailedPostStartHook").length, 2);
});

Deno.test("sidecars end after the others, last first, all within one grace", async () => {
  await using node = await TestNode.start();
  const pod = node.apply(testPod("web", "sleep inf", (pod) => {
    pod.spec.initContainers = ["s1", "s2"].map((name) => ({
      name,
      image: IMAGE,
      command: ["sh", "-c", "sleep inf"],
      restartPolicy: "Always",
    }));
  }));
  await node.phase("uid-web", "Running");
  const askedAtMs = node.clock.monotonicMs();
  node.apply(deletion(pod, 6));
  await node.gone("uid-web");
  assertEquals(node.events.messages("Killing"), [
    "Stopping container main",
    "Stopping container s2",
    "Stopping container s1",
  ]);
  const tookMs = node.clock.monotonicMs() - askedAtMs;
  // 6 s for the first, then the two seconds that are always given.
  assert(tookMs >= 10_000 && tookMs < 25_000, `${tookMs} ms`);
});
