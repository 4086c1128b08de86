import { assertEquals } from "@std/assert";
import type { Pod, PodStatus } from "../../shared/k8s/types.ts";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import type { Waiting } from "./plan.ts";
import { podStatus } from "./status.ts";

const NOW_MS = Date.UTC(2026, 0, 1);
const AT = "2026-01-01T00:00:00Z";

const TYPES = [
  "PodReadyToStartContainers",
  "Initialized",
  "Ready",
  "ContainersReady",
  "PodScheduled",
];

interface Given {
  pod?: (pod: Pod) => void;
  runs?: Partial<ObservedContainer>[];
  noSandbox?: boolean;
  previous?: PodStatus;
  waiting?: Record<string, Waiting>;
  nowMs?: number;
}

function status(given: Given): PodStatus {
  const pod: Pod = {
    metadata: { name: "p", namespace: "ns", uid: "u" },
    spec: { containers: [{ name: "a", image: "img" }] },
  };
  given.pod?.(pod);
  const observed: ObservedPod = {
    uid: "u",
    namespace: "ns",
    name: "p",
    sandboxes: given.noSandbox ? [] : [{
      id: "s",
      attempt: 0,
      ready: true,
      createdAtMs: 1,
      hostNetwork: pod.spec.hostNetwork === true,
      ips: pod.spec.hostNetwork ? [] : ["10.0.0.2", "fd00::2"],
    }],
    containers: (given.runs ?? []).map((run) => ({
      id: `${run.name ?? "a"}-${run.attempt ?? 0}`,
      sandboxId: "s",
      name: "a",
      attempt: 0,
      restartCount: run.attempt ?? 0,
      hash: "",
      state: "running",
      createdAtMs: NOW_MS - 3_000,
      startedAtMs: NOW_MS - 2_000,
      finishedAtMs: run.state === "exited" ? NOW_MS - 1_000 : 0,
      endedAtMs: 0,
      exitCode: 0,
      reason: "",
      message: "",
      image: "docker.io/img:1",
      imageRef: "docker.io/img@sha256:1",
      logPath: "",
      graceSeconds: 30,
      ...run,
    })),
  };
  return podStatus({
    pod,
    observed,
    previous: given.previous,
    waiting: new Map(Object.entries(given.waiting ?? {})),
    hostIps: ["192.0.2.7"],
    runtimeName: "containerd",
    nowMs: given.nowMs ?? NOW_MS,
  });
}

const two = (p: Pod) => p.spec.containers.push({ name: "b", image: "img" });
const policy = (restartPolicy: "OnFailure" | "Never", more?: (p: Pod) => void) => (p: Pod) => {
  p.spec.restartPolicy = restartPolicy;
  more?.(p);
};
const init = (more?: (p: Pod) => void) => (p: Pod) => {
  p.spec.initContainers = [{ name: "i", image: "img" }];
  more?.(p);
};
const deleting = (p: Pod) => p.metadata.deletionTimestamp = AT;
const exit = (exitCode: number, more: Partial<ObservedContainer> = {}) =>
  ({ state: "exited", exitCode, ...more }) as const;

const PHASES: [string, Given, string][] = [
  ["nothing yet", { noSandbox: true }, "Pending"],
  ["running", { runs: [{}] }, "Running"],
  ["one running, one not begun", { pod: two, runs: [{}] }, "Pending"],
  ["one running, one ended", { pod: two, runs: [{}, exit(0, { name: "b" })] }, "Running"],
  ["all ended under Always", { runs: [exit(1)] }, "Running"],
  ["all ended well under OnFailure", { pod: policy("OnFailure"), runs: [exit(0)] }, "Succeeded"],
  ["ended badly under OnFailure", { pod: policy("OnFailure"), runs: [exit(1)] }, "Running"],
  ["all ended well under Never", { pod: policy("Never"), runs: [exit(0)] }, "Succeeded"],
  ["ended badly under Never", { pod: policy("Never"), runs: [exit(1)] }, "Failed"],
  [
    "one good, one bad under Never",
    { pod: policy("Never", two), runs: [exit(0), exit(9, { name: "b" })] },
    "Failed",
  ],
  ["deleted, ended well", { pod: deleting, runs: [exit(0)] }, "Succeeded"],
  ["deleted, killed", { pod: deleting, runs: [exit(137)] }, "Failed"],
  ["deleted, still running", { pod: deleting, runs: [{}] }, "Running"],
  ["init runs", { pod: init(), runs: [{ name: "i" }] }, "Pending"],
  ["init failed, retried", { pod: init(), runs: [exit(1, { name: "i" })] }, "Pending"],
  [
    "init failed under Never",
    { pod: init(policy("Never")), runs: [exit(1, { name: "i" })] },
    "Failed",
  ],
  ["init done", { pod: init(), runs: [exit(0, { name: "i" }), {}] }, "Running"],
  [
    "crash loop",
    { runs: [exit(1)], waiting: { a: { reason: "CrashLoopBackOff" } } },
    "Running",
  ],
  [
    "terminal stays terminal",
    { pod: policy("Never"), runs: [{}], previous: { phase: "Failed" } },
    "Failed",
  ],
];

for (const [name, given, phase] of PHASES) {
  Deno.test(`podStatus(): phase of ${name} is ${phase}`, () => {
    assertEquals(status(given).phase, phase);
  });
}

Deno.test("podStatus() of a running pod is kubelet's", () => {
  assertEquals(status({ runs: [{}] }), {
    phase: "Running",
    conditions: TYPES.map((type) => ({
      type,
      status: "True" as const,
      lastProbeTime: null,
      lastTransitionTime: AT,
    })),
    qosClass: "BestEffort",
    startTime: AT,
    containerStatuses: [{
      name: "a",
      ready: true,
      started: true,
      restartCount: 0,
      image: "docker.io/img:1",
      imageID: "docker.io/img@sha256:1",
      containerID: "containerd://a-0",
      state: { running: { startedAt: "2025-12-31T23:59:58Z" } },
    }],
    hostIP: "192.0.2.7",
    hostIPs: [{ ip: "192.0.2.7" }],
    podIP: "10.0.0.2",
    podIPs: [{ ip: "10.0.0.2" }, { ip: "fd00::2" }],
  });
});

Deno.test("podStatus(): a run that will be repeated waits, the last end beside it", () => {
  const waiting = { a: { reason: "CrashLoopBackOff", message: "back-off 10s" } };
  const [a] = status({ runs: [exit(2, { attempt: 3 })], waiting }).containerStatuses!;
  assertEquals(a?.state, { waiting: waiting.a });
  assertEquals(a?.lastState?.terminated?.exitCode, 2);
  assertEquals(a?.lastState?.terminated?.reason, "Error");
  assertEquals(a?.restartCount, 3);
});

Deno.test("podStatus(): a running container shows how its last run ended", () => {
  const runs = [exit(137, { reason: "OOMKilled" }), { attempt: 1 }];
  const [a] = status({ runs }).containerStatuses!;
  assertEquals(a?.state?.running !== undefined, true);
  assertEquals(a?.lastState?.terminated?.reason, "OOMKilled");
});

Deno.test("podStatus(): waiting reasons before the first run", () => {
  const reason = (given: Given) => status(given).containerStatuses![0]!.state?.waiting?.reason;
  assertEquals(reason({ noSandbox: true }), "ContainerCreating");
  assertEquals(reason({ pod: init(), runs: [{ name: "i" }] }), "PodInitializing");
  assertEquals(reason({ waiting: { a: { reason: "ErrImagePull" } } }), "ErrImagePull");
});

Deno.test("podStatus(): what vanished while it ran counts as a restart", () => {
  const previous = status({ runs: [{ attempt: 2 }] });
  const [a] = status({ previous, noSandbox: true }).containerStatuses!;
  assertEquals(a?.restartCount, 3);
  assertEquals(a?.lastState?.terminated?.reason, "ContainerStatusUnknown");
  assertEquals(a?.lastState?.terminated?.exitCode, 137);
});

Deno.test("podStatus(): conditions keep their time until they turn", () => {
  const first = status({ noSandbox: true });
  const later = status({ runs: [{}], previous: first, nowMs: NOW_MS + 5_000 });
  const time = (s: PodStatus, type: string) =>
    s.conditions?.find((c) => c.type === type)?.lastTransitionTime;
  assertEquals(time(later, "Ready"), "2026-01-01T00:00:05Z");
  assertEquals(time(later, "Initialized"), AT);
  assertEquals(later.startTime, AT);
  const unready = first.conditions?.find((c) => c.type === "Ready");
  assertEquals(unready?.message, "containers with unready status: [a]");
});

Deno.test("podStatus(): readiness gates hold Ready back; others' conditions travel along", () => {
  const gate = "example.com/gate";
  const made = (open: boolean) =>
    status({
      runs: [{}],
      pod: (p) => {
        p.spec.readinessGates = [{ conditionType: gate }];
        p.status = { conditions: [{ type: gate, status: open ? "True" : "False" }] };
      },
    }).conditions!;
  const ready = (open: boolean) => made(open).find((c) => c.type === "Ready");
  assertEquals([ready(false)?.status, ready(false)?.reason], ["False", "ReadinessGatesNotReady"]);
  assertEquals(ready(true)?.status, "True");
  assertEquals(made(true).some((c) => c.type === gate), true);
});

Deno.test("podStatus(): a pod on the host's network has the host's addresses", () => {
  const made = status({ pod: (p) => p.spec.hostNetwork = true, runs: [{}] });
  assertEquals([made.podIP, made.hostIP], ["192.0.2.7", "192.0.2.7"]);
});
