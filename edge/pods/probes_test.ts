import { assert, assertEquals } from "@std/assert";
import type { Container, ContainerStatus, Pod } from "../../shared/k8s/types.ts";
import { exitsAfter, type FakeProgram } from "../cri/fake_program.ts";
import { IMAGE, TestNode, testPod } from "./testing.ts";

const FOREVER = "trap 'exit 0' TERM; while true; do sleep 5; done";
const EXEC = { exec: { command: ["check"] } };

/** A node whose exec commands end with the code that `codes` has for their first word. */
async function nodeWith(codes: Record<string, number>): Promise<TestNode> {
  const exec = (_: unknown, [word = ""]: string[]): FakeProgram => ({
    steps: [
      { kind: "print", stream: "stdout", text: `${word} says no` },
      { kind: "exit", code: codes[word] ?? 0 },
    ],
    onTerm: "ignore",
  });
  return await TestNode.start({ exec });
}

const withMain = (change: Partial<Container>) => (pod: Pod) => {
  Object.assign(pod.spec.containers[0]!, change);
};

const main = (node: TestNode, name = "web"): ContainerStatus | undefined =>
  node.status(`uid-${name}`)?.containerStatuses?.[0];

Deno.test("readiness: false until the first success, falls at the third failure", async () => {
  const codes = { check: 1 };
  await using node = await nodeWith(codes);
  node.apply(testPod("web", FOREVER, withMain({ readinessProbe: EXEC })));
  const status = await node.phase("uid-web", "Running");
  assertEquals(status.containerStatuses?.[0]?.ready, false);
  assertEquals(status.containerStatuses?.[0]?.started, true);
  const ready = () => node.status("uid-web")?.conditions?.find((c) => c.type === "Ready");
  assertEquals([ready()?.status, ready()?.reason], ["False", "ContainersNotReady"]);
  await node.clock.until(() => node.events.messages("Unhealthy").length > 0);
  assertEquals(node.events.messages("Unhealthy")[0], "Readiness probe failed: check says no");
  codes.check = 0;
  await node.clock.until(() => main(node)?.ready, { withinMs: 11_000 });
  assertEquals(ready()?.status, "True");
  codes.check = 1;
  const fellFromMs = node.clock.monotonicMs();
  await node.clock.until(() => main(node)?.ready === false, { withinMs: 31_000 });
  assert(node.clock.monotonicMs() - fellFromMs > 20_000);
  assertEquals(main(node)?.restartCount, 0);
});

Deno.test("liveness: killed at the threshold with the probe's grace, then begun anew", async () => {
  const codes = { check: 0 };
  await using node = await nodeWith(codes);
  const livenessProbe = {
    ...EXEC,
    periodSeconds: 2,
    initialDelaySeconds: 5,
    terminationGracePeriodSeconds: 3,
  };
  node.apply(testPod("web", "sleep inf", withMain({ livenessProbe })));
  await node.phase("uid-web", "Running");
  await node.clock.advance(10_000);
  assertEquals(main(node)?.restartCount, 0);
  codes.check = 1;
  await node.clock.until(() => node.events.messages("Killing").length > 0);
  assertEquals(node.events.messages("Killing"), [
    "Container main failed liveness probe, will be restarted",
  ]);
  codes.check = 0;
  const killedAtMs = node.clock.monotonicMs();
  await node.clock.until(() => main(node)?.restartCount === 1);
  const tookMs = node.clock.monotonicMs() - killedAtMs;
  assert(tookMs >= 3_000 && tookMs < 20_000, `${tookMs} ms`);
  assertEquals(main(node)?.lastState?.terminated?.exitCode, 137);
  await node.clock.advance(60_000);
  assertEquals(main(node)?.restartCount, 1);
});

Deno.test("liveness under Never: the kill is final", async () => {
  await using node = await nodeWith({ check: 1 });
  const livenessProbe = { ...EXEC, periodSeconds: 1, failureThreshold: 1 };
  node.apply(testPod("web", FOREVER, (pod) => {
    pod.spec.restartPolicy = "Never";
    withMain({ livenessProbe })(pod);
  }));
  await node.phase("uid-web", "Succeeded");
  assertEquals(node.events.messages("Killing"), ["Container main failed liveness probe"]);
});

Deno.test("startup: holds the others back, then lets them go at once", async () => {
  const codes = { start: 1, live: 1, ready: 0 };
  await using node = await nodeWith(codes);
  node.apply(testPod(
    "web",
    FOREVER,
    withMain({
      startupProbe: { exec: { command: ["start"] }, periodSeconds: 5, failureThreshold: 20 },
      livenessProbe: { exec: { command: ["live"] }, periodSeconds: 1, failureThreshold: 1 },
      readinessProbe: { exec: { command: ["ready"] }, periodSeconds: 60 },
    }),
  ));
  await node.phase("uid-web", "Running");
  await node.clock.advance(30_000);
  assertEquals([main(node)?.started, main(node)?.ready, main(node)?.restartCount], [
    false,
    false,
    0,
  ]);
  codes.start = 0;
  codes.live = 0;
  await node.clock.until(() => main(node)?.started, { withinMs: 6_000 });
  await node.clock.until(() => main(node)?.ready, { withinMs: 1_000 });
});

Deno.test("startup that never comes: killed, and counted as a crash", async () => {
  await using node = await nodeWith({ check: 1 });
  const startupProbe = { ...EXEC, periodSeconds: 1, failureThreshold: 3 };
  node.apply(testPod("web", FOREVER, withMain({ startupProbe })));
  await node.waiting("uid-web", "CrashLoopBackOff");
  assertEquals(
    node.events.messages("Killing")[0],
    "Container main failed startup probe, will be restarted",
  );
});

Deno.test("an agent that comes back leaves ready pods ready and asks in turns", async () => {
  const codes = { check: 0 };
  await using node = await nodeWith(codes);
  for (const name of ["a", "b"]) {
    node.apply(testPod(name, FOREVER, withMain({ readinessProbe: EXEC, startupProbe: EXEC })));
  }
  for (const name of ["a", "b"]) await node.clock.until(() => main(node, name)?.ready);
  await node.clock.advance(30_000);
  await node.stopAgent();
  const before = node.records.history.length;
  codes.check = 1;
  node.startAgent();
  await node.clock.until(() => node.agent.runtimeState().ready);
  await node.clock.advance(15_000);
  assertEquals(node.records.history.length, before);
  await node.clock.until(() => main(node, "a")?.ready === false, { withinMs: 30_000 });
});

Deno.test("network probes go to the pod's address; a slow server is a failure", async () => {
  await using node = await nodeWith({});
  node.apply(testPod(
    "web",
    FOREVER,
    withMain({
      ports: [{ name: "web", containerPort: 8080 }],
      readinessProbe: { httpGet: { port: "web", path: "/healthz" }, failureThreshold: 1 },
      livenessProbe: { tcpSocket: { port: 9 } },
      startupProbe: { grpc: { port: 50, service: "s" } },
    }),
  ));
  await node.clock.until(() => main(node)?.ready);
  const ip = node.status("uid-web")?.podIP;
  await node.clock.until(() => node.network.asked.length === 3);
  assertEquals(node.network.asked.sort(), [
    `grpc ${ip}:50/s`,
    `http http://${ip}:8080/healthz`,
    `tcp ${ip}:9`,
  ]);
  node.network.answer = (what) =>
    what.startsWith("http") ? new Promise(() => {}) : { ok: true, message: "" };
  await node.clock.until(() => main(node)?.ready === false);
  assertEquals(node.events.messages("Unhealthy"), [
    `Readiness probe failed: Get "http://${ip}:8080/healthz": context deadline exceeded ` +
    "(Client.Timeout exceeded while awaiting headers)",
  ]);
});

Deno.test("a probe that cannot be made changes nothing and is said", async () => {
  await using node = await nodeWith({});
  const livenessProbe = { tcpSocket: { port: "nope" }, failureThreshold: 1, periodSeconds: 1 };
  node.apply(testPod("web", FOREVER, withMain({ livenessProbe })));
  await node.phase("uid-web", "Running");
  await node.clock.advance(30_000);
  assertEquals(main(node)?.restartCount, 0);
  assertEquals(node.events.messages("Unhealthy"), [
    "Liveness probe errored and resulted in unknown state: couldn't find port: nope",
  ]);
});

Deno.test("an exec that runs too long is a failure; a runtime that is away is not", async () => {
  await using node = await TestNode.start({
    exec: () => exitsAfter(5_000, 0),
  });
  const livenessProbe = {
    exec: { command: ["slow", "check"] },
    periodSeconds: 1,
    initialDelaySeconds: 5,
  };
  node.apply(testPod("web", FOREVER, withMain({ livenessProbe })));
  await node.phase("uid-web", "Running");
  node.world.setDown(true);
  await node.clock.advance(20_000);
  assertEquals(node.events.messages("Unhealthy"), []);
  node.world.setDown(false);
  await node.clock.until(() => node.events.messages("Unhealthy").length > 0);
  assertEquals(
    node.events.messages("Unhealthy")[0],
    'Liveness probe failed: command "slow check" timed out',
  );
  await node.clock.until(() => main(node)?.restartCount === 1);
});

Deno.test("while a pod is being deleted only readiness is asked", async () => {
  const codes = { live: 0, ready: 0 };
  await using node = await nodeWith(codes);
  const probe = (word: string) => ({
    exec: { command: [word] },
    periodSeconds: 1,
    failureThreshold: 1,
  });
  const pod = node.apply(testPod(
    "web",
    "sleep inf",
    withMain({ livenessProbe: probe("live"), readinessProbe: probe("ready") }),
  ));
  await node.clock.until(() => main(node)?.ready);
  const metadata = { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" };
  node.apply({ ...pod, metadata: { ...metadata, deletionGracePeriodSeconds: 20 } });
  await node.clock.until(() => node.events.messages("Killing").length > 0);
  codes.live = 1;
  codes.ready = 1;
  await node.gone("uid-web");
  assertEquals(node.events.messages("Killing"), ["Stopping container main"]);
});

Deno.test("a sidecar holds back what comes after it until its startup probe succeeds", async () => {
  const codes = { side: 1 };
  await using node = await nodeWith(codes);
  node.apply(testPod("web", FOREVER, (pod) => {
    pod.spec.initContainers = [{
      name: "side",
      image: IMAGE,
      command: ["sh", "-c", FOREVER],
      restartPolicy: "Always",
      startupProbe: { exec: { command: ["side"] }, periodSeconds: 1, failureThreshold: 100 },
    }];
  }));
  await node.clock.until(() => node.events.messages("Unhealthy").length > 0);
  await node.clock.advance(10_000);
  assertEquals(node.events.messages("Started"), ["Started container side"]);
  codes.side = 0;
  await node.phase("uid-web", "Running");
  assertEquals(node.events.messages("Started").length, 2);
});
