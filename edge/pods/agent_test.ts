import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Pod } from "../../shared/k8s/types.ts";
import { FakeRuntime } from "../cri/fake_runtime.ts";
import { LABEL, NODE_MARK } from "./marks.ts";
import { IMAGE, TestNode, testPod } from "./testing.ts";

const FOREVER = "trap 'exit 0' TERM; while true; do sleep 1; done";

Deno.test("a pod of one container comes to run, with kubelet's status and events", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("web", FOREVER));
  const status = await node.phase("uid-web", "Running");
  assertEquals(status.containerStatuses?.[0]?.ready, true);
  assertMatch(status.containerStatuses?.[0]?.containerID ?? "", /^fake:\/\/[0-9a-f]{64}$/);
  assertEquals(status.conditions?.filter((c) => c.status !== "True"), []);
  assertEquals(status.podIP, status.podIPs?.[0]?.ip);
  assertEquals(status.hostIP, "192.0.2.7");
  await node.clock.until(() => node.events.messages("Started").length > 0);
  assertEquals(node.events.all.map((e) => e.reason), ["Pulled", "Created", "Started"]);
  assertEquals(node.events.messages("Pulled"), [
    `Container image "${IMAGE}" already present on machine`,
  ]);
});

Deno.test("nothing is recorded while nothing changes", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  const before = node.records.history.length;
  await node.clock.advance(60_000);
  assertEquals(node.records.history.length, before);
});

Deno.test("a deleted pod gets its grace, then leaves nothing and is reported gone", async () => {
  await using node = await TestNode.start();
  const pod = node.apply(testPod("web", "sleep inf"));
  await node.phase("uid-web", "Running");
  const startedAtMs = node.clock.monotonicMs();
  node.apply({
    ...pod,
    metadata: {
      ...pod.metadata,
      deletionTimestamp: "2026-01-01T00:00:10Z",
      deletionGracePeriodSeconds: 5,
    },
  });
  await node.gone("uid-web");
  assert(node.clock.monotonicMs() - startedAtMs >= 5_000, "SIGTERM was ignored: KILL after grace");
  assertEquals([node.world.sandboxes.size, node.world.containers.size], [0, 0]);
  assertEquals(node.events.messages("Killing"), ["Stopping container main"]);
  const last = node.records.history.at(-1)?.status;
  assertEquals(last?.phase, "Failed");
  assertEquals(last?.containerStatuses?.[0]?.state?.terminated?.exitCode, 137);
  assertEquals([...Deno.readDirSync(`${node.dir}/pods`)], []);
  assertEquals([...Deno.readDirSync(`${node.dir}/logs`)], []);
});

Deno.test("a shorter grace cuts a longer stop short", async () => {
  await using node = await TestNode.start();
  const pod = node.apply(testPod("web", "sleep inf"));
  await node.phase("uid-web", "Running");
  const deletion = { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:10Z" };
  node.apply({ ...pod, metadata: { ...deletion, deletionGracePeriodSeconds: 300 } });
  await node.clock.until(() => node.events.messages("Killing").length === 1);
  await node.clock.advance(1_000);
  node.apply({ ...pod, metadata: { ...deletion, deletionGracePeriodSeconds: 0 } });
  await node.gone("uid-web", 10_000);
});

Deno.test("a pod that is no longer desired is cleaned up without a deletion", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  node.ledger.drop("pods/default/web");
  await node.clock.until(() => node.world.sandboxes.size === 0);
  await node.clock.until(() => node.records.records.size === 0);
});

Deno.test("an agent that is started again adopts what runs", async () => {
  await using node = await TestNode.start();
  for (const name of ["a", "b", "c"]) node.apply(testPod(name, FOREVER));
  for (const name of ["a", "b", "c"]) await node.phase(`uid-${name}`, "Running");
  const before = [...node.world.containers.keys()];
  const statuses = JSON.stringify(node.records.list());
  await node.stopAgent();
  await node.clock.advance(60_000);
  node.startAgent();
  await node.clock.until(() => node.agent.runtimeState().ready);
  await node.clock.advance(30_000);
  assertEquals([...node.world.containers.keys()], before);
  assertEquals(JSON.stringify(node.records.list()), statuses);
});

Deno.test("a crashing container backs off 10 s, 20 s, ... and says so", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("crash", "exit 3"));
  const status = await node.waiting("uid-crash", "CrashLoopBackOff");
  const main = status.containerStatuses?.[0];
  assertEquals(main?.restartCount, 1);
  assertEquals(main?.lastState?.terminated?.exitCode, 3);
  assertEquals(main?.lastState?.terminated?.reason, "Error");
  assertEquals(
    main?.state?.waiting?.message,
    "back-off 10s restarting failed container=main pod=crash_default(uid-crash)",
  );
  assertEquals(status.phase, "Running");
  const starts = () => node.events.times("Started");
  await node.clock.until(() => starts().length === 5, { withinMs: 120_000 });
  const gapsMs = starts().slice(1).map((atMs, n) => atMs - starts()[n]!);
  // Never before the window ends; after it, as soon as the next look at the runtime.
  const windowsMs = [0, 10_000, 20_000, 40_000];
  windowsMs.forEach((windowMs, n) => {
    assert(gapsMs[n]! >= windowMs && gapsMs[n]! < windowMs + 5_000, `gaps ${gapsMs}`);
  });
  await node.clock.until(() => node.world.containers.size <= 2);
});

Deno.test("a long good run forgets the back-off", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("slow", "sleep 700; exit 1"));
  await node.phase("uid-slow", "Running");
  const restarts = () => node.status("uid-slow")?.containerStatuses?.[0]?.restartCount ?? 0;
  await node.clock.until(() => restarts() === 2, { withinMs: 1_500_000 });
  assertEquals(node.events.messages("BackOff"), []);
});

Deno.test("restartPolicy Never ends in Succeeded or Failed and is not run again", async () => {
  await using node = await TestNode.start();
  for (const [name, code] of [["good", 0], ["bad", 4]] as const) {
    node.apply(testPod(name, `exit ${code}`, (pod) => pod.spec.restartPolicy = "Never"));
  }
  const good = await node.phase("uid-good", "Succeeded");
  const bad = await node.phase("uid-bad", "Failed");
  assertEquals(good.containerStatuses?.[0]?.state?.terminated?.reason, "Completed");
  assertEquals(good.conditions?.find((c) => c.type === "Ready")?.reason, "PodCompleted");
  assertEquals(bad.containerStatuses?.[0]?.state?.terminated?.exitCode, 4);
  await node.clock.advance(30_000);
  assertEquals(node.events.messages("Started").length, 2);
  await node.stopAgent();
  node.startAgent();
  await node.clock.advance(30_000);
  assertEquals(node.events.messages("Started").length, 2);
});

Deno.test("init containers run one by one, sidecars stay, then the ordinary ones", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("app", FOREVER, (pod) => {
    pod.spec.initContainers = [
      { name: "one", image: IMAGE, command: ["sh", "-c", "sleep 2; exit 0"] },
      { name: "side", image: IMAGE, command: ["sh", "-c", FOREVER], restartPolicy: "Always" },
      { name: "two", image: IMAGE, command: ["sh", "-c", "sleep 2; exit 0"] },
    ];
  }));
  const pending = await node.waiting("uid-app", "PodInitializing");
  assertEquals(pending.phase, "Pending");
  const status = await node.phase("uid-app", "Running");
  assertEquals(node.events.messages("Started"), [
    "Started container one",
    "Started container side",
    "Started container two",
    "Started container main",
  ]);
  assertEquals(status.initContainerStatuses?.map((s) => s.ready), [true, true, true]);
});

Deno.test("a failing init container under Never fails the pod", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("app", FOREVER, (pod) => {
    pod.spec.restartPolicy = "Never";
    pod.spec.initContainers = [{ name: "one", image: IMAGE, command: ["sh", "-c", "exit 2"] }];
  }));
  await node.phase("uid-app", "Failed");
  await node.clock.until(() => [...node.world.sandboxes.values()].every((s) => !s.isReady));
});

Deno.test("an image that cannot be pulled backs off and harms no other pod", async () => {
  await using node = await TestNode.start();
  const image = "127.0.0.1:1/absent:1";
  node.world.images.setPull(image, { kind: "fail", code: "unavailable", message: "refused" });
  node.apply(testPod("bad", FOREVER, (pod) => pod.spec.containers[0]!.image = image));
  node.apply(testPod("good", FOREVER));
  const status = await node.waiting("uid-bad", "ErrImagePull");
  assertEquals(status.phase, "Pending");
  await node.phase("uid-good", "Running", 5_000);
  await node.waiting("uid-bad", "ImagePullBackOff");
  node.world.images.setPull(image, { kind: "ok", image: {} });
  await node.phase("uid-bad", "Running");
  assertEquals(node.agent.runtimeState().ready, true);
});

Deno.test("a config map that is missing holds the pod until it comes", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("conf", FOREVER, (pod) => {
    pod.spec.volumes = [{ name: "c", configMap: { name: "settings" } }];
    pod.spec.containers[0]!.volumeMounts = [{ name: "c", mountPath: "/etc/app" }];
    pod.spec.containers[0]!.env = [{
      name: "A",
      valueFrom: { configMapKeyRef: { name: "env", key: "a" } },
    }];
  }));
  await node.clock.until(() => node.events.messages("FailedMount").length > 0);
  assertEquals(
    node.events.messages("FailedMount")[0],
    [
      'MountVolume.SetUp failed for volume "c" : configmap "settings" not found',
    ][0],
  );
  await node.waiting("uid-conf", "ContainerCreating");
  node.ledger.put("configmaps", { metadata: { name: "settings" }, data: { "a.ini": "x=1" } });
  const status = await node.waiting("uid-conf", "CreateContainerConfigError", 5_000);
  assertEquals(status.containerStatuses?.[0]?.state?.waiting?.message, 'configmap "env" not found');
  node.ledger.put("configmaps", { metadata: { name: "env" }, data: { a: "1" } });
  await node.phase("uid-conf", "Running", 30_000);
  const file = `${node.dir}/pods/uid-conf/volumes/c/a.ini`;
  assertEquals(Deno.readTextFileSync(file), "x=1");
  node.ledger.put("configmaps", { metadata: { name: "settings" }, data: { "a.ini": "x=2" } });
  await node.clock.until(() => Deno.readTextFileSync(file) === "x=2");
});

Deno.test("while the runtime is away pods keep their status; then all is reconciled", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  const before = JSON.stringify(node.status("uid-web"));
  node.world.faults.down = true;
  await node.clock.until(() => !node.agent.runtimeState().ready);
  assertMatch(node.agent.runtimeState().message ?? "", /container runtime is down/);
  node.apply(testPod("late", FOREVER));
  await node.clock.advance(60_000);
  assertEquals(JSON.stringify(node.status("uid-web")), before);
  node.world.faults.down = false;
  await node.phase("uid-late", "Running", 6_000);
  assertEquals(node.agent.runtimeState().ready, true);
  assertEquals(node.events.messages("Started").length, 2);
});

Deno.test("sandboxes without our mark, or of another node, are left alone", async () => {
  await using node = await TestNode.start();
  const other = new FakeRuntime(node.world);
  for (const mark of [{}, { [NODE_MARK]: "edge-2" }]) {
    const uid = `foreign-${Object.keys(mark).length}`;
    await other.runPodSandbox({
      config: {
        metadata: { name: uid, namespace: "default", uid, attempt: 0 },
        labels: { [LABEL.podUid]: uid, [LABEL.podName]: uid, [LABEL.podNamespace]: "default" },
        annotations: mark,
      },
    });
  }
  await node.clock.advance(60_000);
  assertEquals([...node.world.sandboxes.values()].filter((s) => s.isReady).length, 2);
});

Deno.test("a node that never had a session stops nothing, even of its own", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  await node.stopAgent();
  node.ledger.head = { cloudId: "", generation: 0, digest: "" };
  node.ledger.objects.clear();
  node.records.records.clear();
  node.startAgent();
  await node.clock.advance(60_000);
  assertEquals([...node.world.sandboxes.values()].filter((s) => s.isReady).length, 1);
});

Deno.test("the first session decides on what was found before it", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  await node.stopAgent();
  node.ledger.head = { cloudId: "", generation: 0, digest: "" };
  node.ledger.objects.clear();
  node.records.records.clear();
  node.startAgent();
  await node.clock.advance(20_000);
  node.ledger.head = { cloudId: "cloud-1", generation: 1, digest: "" };
  node.ledger.changes.notify();
  await node.clock.until(() => node.world.sandboxes.size === 0);
});

Deno.test("a sandbox that comes late, after its pod has gone, is removed", async () => {
  await using node = await TestNode.start();
  const pod = node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  const config = [...node.world.sandboxes.values()][0]!.config;
  const metadata = { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:10Z" };
  node.apply({ ...pod, metadata });
  await node.gone("uid-web");
  await new FakeRuntime(node.world).runPodSandbox({ config });
  await node.clock.until(() => node.world.sandboxes.size === 0);
});

Deno.test("a wall clock that jumps by years changes no back-off", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("crash", "exit 3"));
  await node.waiting("uid-crash", "CrashLoopBackOff");
  for (const jumpMs of [-1e11, 3e11]) {
    node.clock.jumpWall(jumpMs);
    const before = node.events.messages("Started").length;
    await node.clock.until(() => node.events.messages("Started").length > before, {
      withinMs: 45_000,
    });
    await node.waiting("uid-crash", "CrashLoopBackOff");
  }
});

Deno.test("two pods that want one port of the host: the second is refused", async () => {
  await using node = await TestNode.start();
  for (const name of ["one", "two"]) {
    node.apply(testPod(name, FOREVER, (pod) => {
      pod.spec.containers[0]!.ports = [{ containerPort: 80, hostPort: 8080 }];
    }));
    await node.clock.until(() => node.status(`uid-${name}`));
  }
  await node.phase("uid-one", "Running");
  const status = await node.phase("uid-two", "Failed");
  assertEquals(status.reason, "NodePorts");
});

Deno.test("pods whose fields are unusable are refused, and harm nothing", async () => {
  await using node = await TestNode.start();
  const broken: ((pod: ReturnType<typeof testPod>) => void)[] = [
    (pod) => pod.spec.containers = [],
    (pod) => pod.spec.containers[0]!.name = "../up",
    (pod) => pod.metadata.name = "../../etc",
    (pod) => Object.assign(pod, { spec: {} }),
  ];
  broken.forEach((change, i) => {
    const pod = testPod(`bad${i}`, FOREVER);
    change(pod);
    node.ledger.put("pods", pod);
  });
  node.ledger.put("pods", testPod("no-uid", FOREVER, (pod) => delete pod.metadata.uid));
  node.apply(testPod("good", FOREVER));
  await node.phase("uid-good", "Running");
  for (let i = 0; i < broken.length; i++) {
    assertEquals((await node.phase(`uid-bad${i}`, "Failed")).reason, "InvalidPodSpec");
  }
  for (const pod of node.ledger.list<Pod>("pods")) {
    const metadata = { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" };
    node.ledger.put("pods", { ...pod, metadata });
  }
  for (let i = 0; i < broken.length; i++) await node.gone(`uid-bad${i}`);
  await node.gone("uid-good");
});

Deno.test("an Always pull that fails falls back to the image a container ran from", async () => {
  await using node = await TestNode.start();
  const always = (name: string, script: string) =>
    testPod(name, script, (pod) => pod.spec.containers[0]!.imagePullPolicy = "Always");
  node.world.images.setPull(IMAGE, { kind: "ok", image: {} });
  node.apply(always("old", "sleep 5; exit 1"));
  await node.phase("uid-old", "Running");
  node.world.images.setPull(IMAGE, { kind: "fail", code: "unavailable", message: "no network" });
  node.apply(always("new", FOREVER));
  await node.waiting("uid-new", "ErrImagePull");
  await node.clock.until(() =>
    (node.status("uid-old")?.containerStatuses?.[0]?.restartCount ?? 0) > 0
  );
});

Deno.test("Never and a bad image name wait with kubelet's reasons", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("never", FOREVER, (pod) => {
    pod.spec.containers[0]!.imagePullPolicy = "Never";
    pod.spec.containers[0]!.image = "docker.io/skerry/none:1";
  }));
  node.apply(testPod("bad", FOREVER, (pod) => pod.spec.containers[0]!.image = "Not An Image"));
  await node.waiting("uid-never", "ErrImageNeverPull");
  await node.waiting("uid-bad", "InvalidImageName");
});

Deno.test("a network that is not ready holds back only pods that need one", async () => {
  await using node = await TestNode.start();
  node.world.networkReady = false;
  await node.clock.until(() => !node.agent.runtimeState().network.ready);
  node.apply(testPod("own", FOREVER));
  node.apply(testPod("host", FOREVER, (pod) => pod.spec.hostNetwork = true));
  await node.phase("uid-host", "Running");
  await node.clock.until(() => node.events.messages("NetworkNotReady").length > 0);
  node.world.networkReady = true;
  await node.phase("uid-own", "Running", 5_000);
});

Deno.test("a pod that does not fit is Failed with kubelet's reason", async () => {
  await using node = await TestNode.start();
  node.allocatable = { pods: "110", cpu: "1" };
  const big = (name: string) =>
    testPod(name, FOREVER, (pod) => {
      pod.spec.containers[0]!.resources = { requests: { cpu: "600m" } };
    });
  node.apply(big("first"));
  await node.phase("uid-first", "Running");
  node.apply(big("second"));
  const status = await node.phase("uid-second", "Failed");
  assertEquals(status.reason, "OutOfcpu");
  assertEquals(
    status.message,
    "Pod was rejected: Node didn't have enough resource: cpu, " +
      "requested: 600, used: 600, capacity: 1000",
  );
});

Deno.test("a changed image kills and restarts the container", async () => {
  await using node = await TestNode.start();
  node.world.images.add({ name: "docker.io/skerry/busybox:2" });
  const pod = node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  const spec = structuredClone(pod.spec);
  spec.containers[0]!.image = "docker.io/skerry/busybox:2";
  node.apply({ ...pod, spec });
  await node.clock.until(() => node.status("uid-web")?.containerStatuses?.[0]?.restartCount === 1);
  assertEquals(node.events.messages("Killing"), [
    "Container main definition changed, will be restarted",
  ]);
});

Deno.test("a sandbox that died is replaced and its containers run again", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("web", FOREVER));
  await node.phase("uid-web", "Running");
  await node.world.stopSandbox([...node.world.sandboxes.keys()][0]!);
  await node.clock.until(() => node.events.messages("Started").length === 2);
  assertEquals(node.events.messages("SandboxChanged").length, 1);
  const status = await node.clock.until(() =>
    node.status("uid-web")?.containerStatuses?.[0]?.state?.running && node.status("uid-web")
  );
  assertEquals(status.containerStatuses?.[0]?.restartCount, 1);
});

Deno.test("logs are found for the present and the previous run", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("crash", "echo hello; sleep 1; exit 1"));
  await node.waiting("uid-crash", "CrashLoopBackOff");
  const query = { namespace: "default", pod: "crash", previous: false };
  const { signal } = new AbortController();
  const current = await node.agent.localPods.log(query, signal);
  assertMatch(await Deno.readTextFile(current.path), /stdout F hello\n/);
  assertEquals(await current.running(), false);
  assert(current.path.endsWith("/main/1.log"));
});

Deno.test("a pod that asks for user namespaces is not run without them, and says why", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("fenced", FOREVER, (pod) => pod.spec.hostUsers = false));
  await node.clock.until(() => node.events.messages("FailedCreatePodSandBox").length > 0);
  assertEquals(
    node.events.messages("FailedCreatePodSandBox")[0],
    "Failed to create pod sandbox: can't set `spec.hostUsers: false`, " +
      "this node does not support user namespaces",
  );
  assertEquals(await new FakeRuntime(node.world).listPodSandbox({}), []);
});
