/** Probes and hooks on a real, private containerd. Needs root, containerd, runc, CNI, busybox. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Container, Pod } from "../../shared/k8s/types.ts";
import { POD_NODE_PARTS, PodNode } from "../support/pod_node.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

const EVERY_SECOND = { periodSeconds: 1, timeoutSeconds: 1 };

const withMain = (change: Partial<Container>) => (pod: Pod) => {
  Object.assign(pod.spec.containers[0]!, change);
};

function main(node: PodNode, pod: Pod) {
  return node.status(pod)?.containerStatuses?.[0];
}

function wait(what: string, is: () => unknown, timeoutMs = 30_000): Promise<unknown> {
  return until(() => is() || undefined, { what, timeoutMs, everyMs: 20 });
}

/** Statuses in which a ready pod is not ready, though only the agent was started again. */
async function unreadyAfterRestart(node: PodNode, pod: Pod) {
  await node.stopAgent();
  const told = node.records.history.length;
  await node.startAgent();
  await wait("runtime ready again", () => node.agent.runtimeState().ready);
  await node.clock.sleep(2_500);
  return node.records.history.slice(told).filter(({ uid, status }) =>
    uid === pod.metadata.uid && !status.containerStatuses?.[0]?.ready
  );
}

testWith(POD_NODE_PARTS, "probes on containerd: httpGet, exec, tcpSocket, startup", async () => {
  await using node = await PodNode.start();
  const serve = "mkdir -p /www; echo ok > /www/healthz; httpd -p 8080 -h /www; " +
    "trap 'exit 0' TERM; sleep 3; touch /started; while true; do sleep 0.2; done";
  const web = node.pod(
    "web",
    serve,
    withMain({
      ports: [{ name: "http", containerPort: 8080 }],
      startupProbe: {
        exec: { command: ["test", "-e", "/started"] },
        ...EVERY_SECOND,
        failureThreshold: 20,
      },
      readinessProbe: { httpGet: { port: "http", path: "/healthz" }, ...EVERY_SECOND },
      livenessProbe: { tcpSocket: { port: "http" }, ...EVERY_SECOND, failureThreshold: 2 },
    }),
  );
  const exec = node.pod(
    "exec",
    "trap 'exit 0' TERM; touch /alive; sleep 4; rm /alive; while true; do sleep 0.2; done",
    withMain({
      livenessProbe: {
        exec: { command: ["sh", "-c", "echo looking; cat /alive"] },
        ...EVERY_SECOND,
        failureThreshold: 2,
      },
    }),
  );
  for (const pod of [web, exec]) node.ledger.put("pods", pod);
  await node.phase(web, "Running");
  assertEquals([main(node, web)?.started, main(node, web)?.ready], [false, false]);
  await wait("web started and ready", () => main(node, web)?.started && main(node, web)?.ready);

  const containerId = main(node, web)!.containerID!.slice("containerd://".length);
  const inWeb = (cmd: string[]) => node.exec(containerId, cmd);
  await inWeb(["rm", "/www/healthz"]);
  await wait("web unready", () => main(node, web)?.ready === false);
  assertMatch(
    node.events.messages("Unhealthy").join("\n"),
    /Readiness probe failed: HTTP probe failed with statuscode: 404/,
  );
  await inWeb(["touch", "/www/healthz"]);
  await wait("web ready again", () => main(node, web)?.ready);
  assertEquals(main(node, web)?.restartCount, 0);
  assertEquals(await unreadyAfterRestart(node, web), []);
  await node.exec(containerId, ["killall", "httpd"]);
  await wait("web restarted by its tcp probe", () => main(node, web)?.restartCount === 1);
  assertMatch(
    node.events.messages("Unhealthy").join("\n"),
    /Liveness probe failed: dial tcp 10\.[\d.]+:8080: connect: connection refused/,
  );
  await wait("exec restarted", () => (main(node, exec)?.restartCount ?? 0) >= 1);
  const killing = node.events.messages("Killing");
  assert(killing.includes("Container main failed liveness probe, will be restarted"));
  assertMatch(
    node.events.messages("Unhealthy").join("\n"),
    /Liveness probe failed: looking\ncat: can't open '\/alive'/,
  );
  await node.deleteAll();
  assertEquals(await node.containerd.containers(), []);
});

testWith(POD_NODE_PARTS, "hooks on containerd: postStart, preStop within the grace", async () => {
  await using node = await PodNode.start();
  const say = (what: string) => ({
    exec: { command: ["sh", "-c", `echo ${what} > /proc/1/fd/1`] },
  });
  const web = node.pod("web", "trap 'echo term; exit 0' TERM; while true; do sleep 0.2; done", (
    pod,
  ) => {
    pod.spec.terminationGracePeriodSeconds = 10;
    withMain({ lifecycle: { postStart: say("hello"), preStop: say("farewell") } })(pod);
  });
  const broken = node.pod(
    "broken",
    "trap 'exit 0' TERM; while true; do sleep 0.2; done",
    withMain({ lifecycle: { postStart: { exec: { command: ["false"] } } } }),
  );
  for (const pod of [web, broken]) node.ledger.put("pods", pod);
  await node.phase(web, "Running");
  const { path } = await node.agent.localPods.log(
    { namespace: "default", pod: "web", previous: false },
    AbortSignal.timeout(5_000),
  );
  await wait("hello in the log", () => Deno.readTextFileSync(path).includes("stdout F hello"));
  await wait(
    "broken backs off",
    () => main(node, broken)?.state?.waiting?.reason === "CrashLoopBackOff",
  );
  assertEquals(node.events.messages("FailedPostStartHook")[0], "PostStartHook failed");
  // The log goes with the pod, so it is kept open across the deletion.
  const log = await Deno.open(path);
  await node.deleteAll();
  const text = await new Response(log.readable).text();
  assertMatch(text, /stdout F farewell\n[^]*stdout F term\n/);
  assertEquals(await node.containerd.containers(), []);
});
