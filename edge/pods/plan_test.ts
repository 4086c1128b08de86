import { assertEquals } from "@std/assert";
import type { Pod, PodStatus } from "../../shared/k8s/types.ts";
import { type BackoffEntry, backoffUntil, goDuration, nextBackoff } from "./backoff_table.ts";
import { containerHash } from "./marks.ts";
import type { ObservedContainer, ObservedPod, ObservedSandbox } from "./observed.ts";
import { planPod, type PodPlan } from "./plan.ts";

const NOW_MS = 1_000_000;

function pod(change: (pod: Pod) => void = () => {}): Pod {
  const made: Pod = {
    metadata: { name: "p", namespace: "ns", uid: "u" },
    spec: {
      containers: [{ name: "a", image: "i" }, { name: "b", image: "i" }],
      terminationGracePeriodSeconds: 30,
    },
  };
  change(made);
  return made;
}

function sandbox(change: Partial<ObservedSandbox> = {}): ObservedSandbox {
  return {
    id: "s0",
    attempt: 0,
    ready: true,
    createdAtMs: 1,
    hostNetwork: false,
    ips: ["10.0.0.2"],
    ...change,
  };
}

function run(name: string, change: Partial<ObservedContainer> = {}): ObservedContainer {
  const attempt = change.attempt ?? 0;
  return {
    id: `${name}${attempt}`,
    sandboxId: "s0",
    name,
    attempt,
    restartCount: attempt,
    hash: containerHash({ name, image: "i" }),
    state: "running",
    createdAtMs: 1,
    startedAtMs: 2,
    finishedAtMs: 0,
    endedAtMs: NOW_MS - 1_000,
    exitCode: 0,
    reason: "",
    message: "",
    image: "i",
    imageRef: "i@sha",
    logPath: `/logs/${name}/${attempt}.log`,
    graceSeconds: 7,
    ...change,
  };
}

const seen = (
  sandboxes: ObservedSandbox[],
  containers: ObservedContainer[] = [],
): ObservedPod => ({ uid: "u", namespace: "ns", name: "p", sandboxes, containers });

function plan(
  desired: Pod | undefined,
  observed: ObservedPod,
  more: { previous?: PodStatus; backoffs?: Map<string, BackoffEntry> } = {},
): PodPlan {
  return planPod({
    pod: desired,
    observed,
    previous: more.previous,
    backoffs: more.backoffs ?? new Map(),
    nowMs: NOW_MS,
  });
}

/** Actions in short: "start a#0", "stop a (30)". */
function short(made: PodPlan): string[] {
  return made.actions.map((action) => {
    switch (action.kind) {
      case "run_sandbox":
        return `sandbox #${action.attempt}`;
      case "start_container":
        return `start ${action.name}#${action.attempt}`;
      case "stop_container":
        return `stop ${action.containerId} (${action.graceSeconds})`;
      case "remove_container":
        return `remove ${action.containerId}`;
      default:
        return `${action.kind} ${action.sandboxId}`;
    }
  });
}

const dead = (name: string, exitCode: number, change: Partial<ObservedContainer> = {}) =>
  run(name, { state: "exited", exitCode, ...change });
const deleting = (seconds: number) =>
  pod((p) => {
    p.metadata.deletionTimestamp = "2026-01-01T00:00:00Z";
    p.metadata.deletionGracePeriodSeconds = seconds;
  });
const policy = (restartPolicy: "Always" | "OnFailure" | "Never") =>
  pod((p) => p.spec.restartPolicy = restartPolicy);
const withInit = (more: (p: Pod) => void = () => {}) =>
  pod((p) => {
    p.spec.initContainers = [
      { name: "i1", image: "i" },
      { name: "side", image: "i", restartPolicy: "Always" },
      { name: "i2", image: "i" },
    ];
    more(p);
  });

const TABLE: [string, PodPlan, string[]][] = [
  ["nothing there: a sandbox", plan(pod(), seen([])), ["sandbox #0"]],
  ["a sandbox: all ordinary containers", plan(pod(), seen([sandbox()])), [
    "start a#0",
    "start b#0",
  ]],
  ["all running: nothing", plan(pod(), seen([sandbox()], [run("a"), run("b")])), []],
  [
    "a dead sandbox is replaced",
    plan(pod(), seen([sandbox({ ready: false })], [dead("a", 137)])),
    ["sandbox #1"],
  ],
  [
    "a new sandbox after a dead one: runs are counted on",
    plan(
      pod(),
      seen([sandbox({ ready: false }), sandbox({ id: "s1", attempt: 1 })], [
        dead("a", 137, { attempt: 4 }),
        dead("b", 137),
      ]),
    ),
    ["start a#5", "start b#1"],
  ],
  [
    "a sandbox without an address is stopped",
    plan(pod(), seen([sandbox({ ips: [] })], [run("a")])),
    ["stop a0 (30)", "stop_sandbox s0"],
  ],
  [
    "a sandbox on the host's network does where that is wanted",
    plan(
      pod((p) => p.spec.hostNetwork = true),
      seen([sandbox({ hostNetwork: true, ips: [] })], [run("a"), run("b")]),
    ),
    [],
  ],
  [
    "a sandbox on the wrong network is stopped",
    plan(pod((p) => p.spec.hostNetwork = true), seen([sandbox()])),
    ["stop_sandbox s0"],
  ],
  [
    "of two ready sandboxes the one in use stays",
    plan(pod(), seen([sandbox(), sandbox({ id: "s1", attempt: 1 })], [run("a"), run("b")])),
    ["stop_sandbox s1"],
  ],
  [
    "created but never started: made anew",
    plan(pod(), seen([sandbox()], [run("a", { state: "created" }), run("b")])),
    ["remove a0"],
  ],
  [
    "unknown to the runtime: removed",
    plan(pod(), seen([sandbox()], [run("a", { state: "unknown" }), run("b")])),
    ["remove a0"],
  ],
  [
    "Always restarts after success",
    plan(policy("Always"), seen([sandbox()], [dead("a", 0), run("b")])),
    ["start a#1"],
  ],
  [
    "OnFailure does not",
    plan(policy("OnFailure"), seen([sandbox()], [dead("a", 0), run("b")])),
    [],
  ],
  [
    "OnFailure restarts after failure",
    plan(policy("OnFailure"), seen([sandbox()], [dead("a", 2), run("b")])),
    ["start a#1"],
  ],
  ["Never does not", plan(policy("Never"), seen([sandbox()], [dead("a", 2), run("b")])), []],
  [
    "no new sandbox for work that is done",
    plan(policy("Never"), seen([sandbox({ ready: false })], [dead("a", 0), dead("b", 1)])),
    [],
  ],
  [
    "a changed image stops the container",
    plan(
      pod((p) => {
        p.spec.containers[0]!.image = "j";
        p.spec.terminationGracePeriodSeconds = 9;
      }),
      seen([sandbox()], [run("a"), run("b")]),
    ),
    ["stop a0 (9)"],
  ],
  ["init first", plan(withInit(), seen([sandbox()])), ["start i1#0"]],
  ["init still runs", plan(withInit(), seen([sandbox()], [run("i1")])), []],
  [
    "then the sidecar",
    plan(withInit(), seen([sandbox()], [dead("i1", 0)])),
    ["start side#0"],
  ],
  [
    "a running sidecar lets the next one start",
    plan(withInit(), seen([sandbox()], [dead("i1", 0), run("side")])),
    ["start i2#0"],
  ],
  [
    "all init done: the ordinary ones",
    plan(withInit(), seen([sandbox()], [dead("i1", 0), run("side"), dead("i2", 0)])),
    ["start a#0", "start b#0"],
  ],
  [
    "a sidecar that ended later is started again beside the others",
    plan(
      withInit(),
      seen([sandbox()], [dead("i1", 0), dead("side", 1), dead("i2", 0), run("a"), run("b")]),
    ),
    ["start side#1"],
  ],
  [
    "failed init under Never: nothing more",
    plan(withInit((p) => p.spec.restartPolicy = "Never"), seen([sandbox()], [dead("i1", 1)])),
    [],
  ],
  [
    "init runs again in a new sandbox",
    plan(
      withInit(),
      seen([sandbox({ ready: false }), sandbox({ id: "s1", attempt: 1 })], [
        dead("i1", 0),
        dead("side", 0),
        dead("i2", 0),
        dead("a", 137),
      ]),
    ),
    ["start i1#1"],
  ],
  [
    "deleted: stopped with its grace",
    plan(deleting(12), seen([sandbox()], [run("a"), dead("b", 0)])),
    ["stop a0 (12)"],
  ],
  [
    "deleted at once: the least grace",
    plan(deleting(0), seen([sandbox()], [run("a")])),
    ["stop a0 (2)"],
  ],
  ["then the sandbox", plan(deleting(5), seen([sandbox()], [dead("a", 0)])), ["stop_sandbox s0"]],
  [
    "then what is left",
    plan(
      deleting(5),
      seen([sandbox({ ready: false })], [
        dead("a", 0),
        dead("z", 0, {
          sandboxId: "lost",
        }),
      ]),
    ),
    ["remove z0", "remove_sandbox s0"],
  ],
  [
    "not desired: the grace it was created with",
    plan(undefined, seen([sandbox()], [run("a")])),
    ["stop a0 (7)"],
  ],
  [
    "a pod that has failed is wound up",
    plan(policy("Never"), seen([sandbox()], [dead("a", 1), run("b")]), {
      previous: { phase: "Failed" },
    }),
    ["stop b0 (30)"],
  ],
  [
    "dead runs but the newest are removed",
    plan(
      pod(),
      seen([sandbox()], [
        dead("a", 1),
        dead("a", 1, { attempt: 1 }),
        run("a", { attempt: 2 }),
        run("b"),
      ]),
    ),
    ["remove a0"],
  ],
  [
    "forgotten by the runtime: the record counts",
    plan(pod((p) => p.spec.containers.pop()), seen([sandbox()]), {
      previous: {
        containerStatuses: [{
          name: "a",
          ready: true,
          restartCount: 3,
          image: "i",
          imageID: "",
          containerID: "x://1",
        }],
      },
    }),
    ["start a#4"],
  ],
];

for (const [name, made, actions] of TABLE) {
  Deno.test(`planPod(): ${name}`, () => assertEquals(short(made), actions));
}

Deno.test("planPod(): sidecars stop after the ordinary containers, the last one first", () => {
  const desired = withInit((p) => {
    p.spec.initContainers!.push({ name: "side2", image: "i", restartPolicy: "Always" });
    p.metadata.deletionTimestamp = "2026-01-01T00:00:00Z";
  });
  const sides = [run("side"), run("side2")];
  assertEquals(short(plan(desired, seen([sandbox()], [...sides, run("a")]))), ["stop a0 (30)"]);
  assertEquals(short(plan(desired, seen([sandbox()], sides))), ["stop side20 (30)"]);
});

Deno.test("planPod(): a pod to end with nothing left has ended", () => {
  assertEquals(plan(undefined, seen([])).ended, true);
  assertEquals(plan(deleting(3), seen([])).ended, true);
  assertEquals(plan(pod(), seen([])).ended, false);
});

Deno.test("planPod(): within the window nothing starts, and the plan says until when", () => {
  const key = `u/a/${containerHash({ name: "a", image: "i" })}`;
  const observed = seen([sandbox()], [dead("a", 1), run("b")]);
  const backoffs = new Map([[key, { delayMs: 10_000, updatedAtMs: NOW_MS - 1_000 }]]);
  const held = plan(pod(), observed, { backoffs });
  assertEquals(held.actions, []);
  assertEquals(held.wakeAtMs, NOW_MS + 9_000);
  assertEquals(held.backingOff.get("a")?.reason, "CrashLoopBackOff");
  const free = plan(pod(), observed);
  assertEquals(free.actions[0], {
    kind: "start_container",
    name: "a",
    role: "main",
    attempt: 1,
    sandboxId: "s0",
    backoff: { key, endedAtMs: NOW_MS - 1_000 },
  });
});

Deno.test("nextBackoff() doubles from 10 s to 5 min and forgets after a long good run", () => {
  let entry: BackoffEntry | undefined;
  const delays: number[] = [];
  for (let i = 0; i < 7; i++) {
    entry = nextBackoff(entry, i * 1_000, i * 1_000);
    delays.push(entry.delayMs / 1_000);
  }
  assertEquals(delays, [10, 20, 40, 80, 160, 300, 300]);
  assertEquals(nextBackoff(entry, 6_000 + 600_001, 700_000).delayMs, 10_000);
  assertEquals(backoffUntil(entry, 6_000 + 600_001, 6_000 + 600_002), undefined);
  assertEquals(backoffUntil({ delayMs: 10_000, updatedAtMs: 0 }, 5_000, 14_999), 15_000);
  assertEquals(backoffUntil({ delayMs: 10_000, updatedAtMs: 0 }, 5_000, 15_000), undefined);
});

Deno.test("goDuration() writes as Go does", () => {
  assertEquals([10_000, 160_000, 300_000].map(goDuration), ["10s", "2m40s", "5m0s"]);
});

Deno.test("planPod(): a probe that gave a run up ends it, within its own grace", () => {
  const observed = seen([sandbox()], [run("a"), run("b")]);
  const made = (failed: "liveness" | "startup", change: (p: Pod) => void = () => {}) =>
    planPod({
      pod: pod(change),
      observed,
      previous: undefined,
      backoffs: new Map(),
      health: new Map([["a0", { started: failed === "liveness", ready: false, failed }]]),
      nowMs: NOW_MS,
    });
  const messages = (of: PodPlan) =>
    of.actions.map((a) => a.kind === "stop_container" ? a.message : "");
  assertEquals(short(made("liveness")), ["stop a0 (30)"]);
  assertEquals(messages(made("startup")), ["Container a failed startup probe, will be restarted"]);
  const own = made("liveness", (p) => {
    p.spec.restartPolicy = "Never";
    p.spec.containers[0]!.livenessProbe = { terminationGracePeriodSeconds: 5 };
  });
  assertEquals(short(own), ["stop a0 (5)"]);
  assertEquals(messages(own), ["Container a failed liveness probe"]);
  const none = made("liveness", (p) => {
    p.spec.containers[0]!.livenessProbe = { terminationGracePeriodSeconds: 0 };
  });
  assertEquals(short(none), ["stop a0 (2)"]);
});

Deno.test("planPod(): what ends shares one grace, and hooks come from spec or container", () => {
  const preStop = { exec: { command: ["bye"] } };
  const hooked = (p: Pod) => p.spec.containers[0]!.lifecycle = { preStop };
  const made = (desired: Pod | undefined, endingForMs: number) =>
    planPod({
      pod: desired,
      observed: seen([sandbox()], [run("a", { preStop })]),
      previous: undefined,
      backoffs: new Map(),
      endingForMs,
      nowMs: NOW_MS,
    });
  const ending = (seconds: number) => {
    const desired = deleting(seconds);
    hooked(desired);
    return desired;
  };
  const hooks = (of: PodPlan) => of.actions.map((a) => a.kind === "stop_container" && a.preStop);
  assertEquals(short(made(ending(20), 0)), ["stop a0 (20)"]);
  assertEquals(short(made(ending(20), 12_900)), ["stop a0 (8)"]);
  assertEquals(short(made(ending(20), 60_000)), ["stop a0 (2)"]);
  assertEquals(hooks(made(ending(20), 0)), [preStop]);
  assertEquals(hooks(made(ending(0), 0)), [undefined]);
  assertEquals(hooks(made(undefined, 0)), [preStop]);
  // The pod as it is desired now has none: what it had when it was created does not count.
  assertEquals(hooks(made(deleting(20), 0)), [undefined]);
});
