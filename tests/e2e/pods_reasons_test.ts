/** Reasons, messages and conditions as kubelet writes them, by pods that go wrong in known ways. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Container, ContainerStatus, Pod, PodSpec } from "../../shared/k8s/types.ts";
import { buildBusybox, buildImage, BUSYBOX_IMAGE } from "../support/images.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

const SECOND_IMAGE = "skerry.local/other:2";
const BARE_IMAGE = "skerry.local/bare:1";
const images = [
  await buildBusybox(),
  await buildImage({ name: SECOND_IMAGE, cmd: ["sh"], files: { "etc/second": "2" } }),
  await buildImage({ name: BARE_IMAGE }),
];
const NEVER: Partial<PodSpec> = { restartPolicy: "Never" };

function main(pod: Pod): ContainerStatus | undefined {
  return pod.status?.containerStatuses?.[0];
}

function ended(pod: Pod) {
  return main(pod)?.state?.terminated ?? main(pod)?.lastState?.terminated;
}

function conditions(pod: Pod): string[] {
  return (pod.status?.conditions ?? []).map((c) =>
    `${c.type}=${c.status}${c.reason ? ` ${c.reason}` : ""}${c.message ? `: ${c.message}` : ""}`
  ).sort();
}

/** Name, what the container is given, the reason it waits for, and its message. */
const WAITING: [string, Partial<Container>, RegExp, RegExp][] = [
  ["no-registry", { image: "registry.invalid/none:1" }, /^ErrImagePull$/, /registry\.invalid/],
  [
    "pull-off",
    { image: "registry.invalid/none:2" },
    /^ImagePullBackOff$/,
    /^Back-off pulling image "registry\.invalid\/none:2": ErrImagePull: /,
  ],
  [
    "never",
    { image: "absent:1", imagePullPolicy: "Never" },
    /^ErrImageNeverPull$/,
    /^Container image "absent:1" is not present with pull policy of Never$/,
  ],
  [
    "no-name",
    { image: "Not//A:Name" },
    /^InvalidImageName$/,
    /couldn't parse image name "Not\/\/A:Name": invalid reference format/,
  ],
  [
    "no-config",
    { envFrom: [{ configMapRef: { name: "absent" } }] },
    /^CreateContainerConfigError$/,
    /^configmap "absent" not found$/,
  ],
  [
    "no-key",
    { env: [{ name: "A", valueFrom: { secretKeyRef: { name: "s", key: "k" } } }] },
    /^CreateContainerConfigError$/,
    /^secret "s" not found$/,
  ],
  [
    "root",
    { securityContext: { runAsNonRoot: true } },
    /^CreateContainerConfigError$/,
    /container has runAsNonRoot and image will run as root \(pod: "root_default\(/,
  ],
  [
    "no-program",
    { image: BARE_IMAGE, command: [] },
    /^CreateContainerError$/,
    /no command specified/,
  ],
  ["no-command", { command: ["/not/there"] }, /^(RunContainerError|CrashLoopBackOff)$/, /./],
];

siteTest("what goes wrong is said in kubelet's words", async ({ site, t }) => {
  const { kubectl } = site;
  for (const [name, container] of WAITING) await kubectl.apply(podManifest(name, { container }));
  for (const [name, , reason, message] of WAITING) {
    await t.step(name, async () => {
      const pod = await site.podIs(
        name,
        `waiting with ${reason}`,
        (pod) => reason.test(main(pod)?.state?.waiting?.reason ?? ""),
        60_000,
      );
      assertMatch(main(pod)?.state?.waiting?.message ?? "", message);
      assertEquals(pod.status?.phase, name === "no-command" ? "Running" : "Pending");
      assertEquals(conditions(pod), [
        "ContainersReady=False ContainersNotReady: containers with unready status: [main]",
        "Initialized=True",
        "PodReadyToStartContainers=True",
        "PodScheduled=True",
        "Ready=False ContainersNotReady: containers with unready status: [main]",
      ]);
    });
  }

  await t.step("a start that fails is an end with 128, StartError", async () => {
    const pod = await site.cloud.pod("no-command");
    assertEquals([ended(pod)?.exitCode, ended(pod)?.reason], [128, "StartError"]);
    assertMatch(ended(pod)?.message ?? "", /\/not\/there/);
  });

  await t.step("out of memory: 137, OOMKilled", async () => {
    await kubectl.apply(podManifest("hungry", {
      script: "tail /dev/zero",
      container: { resources: { limits: { memory: "24Mi" } } },
      spec: NEVER,
    }));
    const pod = await site.podIs("hungry", "ended", ({ status }) => status?.phase === "Failed");
    assertEquals([ended(pod)?.exitCode, ended(pod)?.reason], [137, "OOMKilled"]);
    assertMatch(await kubectl.must(["get", "pod", "hungry"]), /hungry\s+0\/1\s+OOMKilled/);
  });

  await t.step("termination messages: from the file, else the log's end", async () => {
    const said = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line $i; done; exit 4";
    const fallback = { terminationMessagePolicy: "FallbackToLogsOnError" } as const;
    const pods: Record<string, [string, Partial<Container>]> = {
      "says-file": ["echo -n gone wrong > /dev/termination-log; exit 4", {}],
      "says-own": ["echo -n mine > /tmp/why; exit 4", { terminationMessagePath: "/tmp/why" }],
      "says-long": ["head -c 9000 /dev/zero | tr '\\0' x > /dev/termination-log; exit 4", {}],
      "says-log": [said, fallback],
      "says-none": ["echo fine; exit 0", fallback],
    };
    for (const [name, [script, container]] of Object.entries(pods)) {
      await kubectl.apply(podManifest(name, { script, container, spec: NEVER }));
    }
    const message = async (name: string) => {
      const over = ({ status }: Pod) => status?.phase === "Failed" || status?.phase === "Succeeded";
      return ended(await site.podIs(name, "ended", over))?.message;
    };
    assertEquals(await message("says-file"), "gone wrong");
    assertEquals(await message("says-own"), "mine");
    assertEquals(await message("says-long"), "x".repeat(4_096));
    const lines = (await message("says-log") ?? "").split("\n");
    assertEquals([lines.length, lines[0], lines[79]], [81, "line 121", "line 200"]);
    assertEquals(await message("says-none"), undefined);
  });

  await t.step("a deadline fails the pod", async () => {
    await kubectl.apply(podManifest("late", { spec: { activeDeadlineSeconds: 2 } }));
    const pod = await site.podIs("late", "Failed", ({ status }) => status?.phase === "Failed");
    assertEquals([pod.status?.reason, pod.status?.message], [
      "DeadlineExceeded",
      "Pod was active on the node longer than the specified deadline",
    ]);
  });

  await t.step("init containers: what waits for them says so", async () => {
    const { containers } = podManifest("x").spec;
    const slow = { ...containers[0]!, name: "slow", command: ["sh", "-c", "sleep 3"] };
    await kubectl.apply(podManifest("begun", { spec: { ...NEVER, initContainers: [slow] } }));
    const pod = await site.podIs(
      "begun",
      "initializing",
      (pod) => pod.status?.initContainerStatuses?.[0]?.state?.running !== undefined,
    );
    assertEquals(main(pod)?.state?.waiting, { reason: "PodInitializing" });
    assertEquals(conditions(pod), [
      "ContainersReady=False ContainersNotReady: containers with unready status: [main]",
      "Initialized=False ContainersNotInitialized: containers with incomplete status: [slow]",
      "PodReadyToStartContainers=True",
      "PodScheduled=True",
      "Ready=False ContainersNotReady: containers with unready status: [main]",
    ]);
    const ready = await site.podIs("begun", "Ready", (pod) => main(pod)?.ready === true);
    assertEquals(conditions(ready), [
      "ContainersReady=True",
      "Initialized=True",
      "PodReadyToStartContainers=True",
      "PodScheduled=True",
      "Ready=True",
    ]);
    assertEquals(ready.status?.initContainerStatuses?.[0]?.state?.terminated?.reason, "Completed");
  });

  await t.step("a job that is over is PodCompleted", async () => {
    await kubectl.apply(podManifest("over", { script: "true", spec: NEVER }));
    const over = (pod: Pod) =>
      pod.status?.phase === "Succeeded" &&
      conditions(pod).includes("PodReadyToStartContainers=False");
    assertEquals(conditions(await site.podIs("over", "Succeeded", over)), [
      "ContainersReady=False PodCompleted",
      "Initialized=True PodCompleted",
      "PodReadyToStartContainers=False",
      "PodScheduled=True",
      "Ready=False PodCompleted",
    ]);
  });

  await t.step("rules of a container: its code decides", async () => {
    const exitCodes = { operator: "In" as const, values: [42] };
    await kubectl.apply(podManifest("ruled", {
      script: "[ -e /scratch/once ] && exit 1; touch /scratch/once; exit 42",
      container: {
        restartPolicy: "Never",
        restartPolicyRules: [{ action: "Restart", exitCodes }],
        volumeMounts: [{ name: "scratch", mountPath: "/scratch" }],
      },
      spec: { volumes: [{ name: "scratch", emptyDir: {} }] },
    }));
    const pod = await site.podIs("ruled", "Failed", ({ status }) => status?.phase === "Failed");
    assertEquals([main(pod)?.restartCount, ended(pod)?.exitCode], [1, 1]);
  });

  await t.step("another image is put in place, in the same pod", async () => {
    await kubectl.apply(podManifest("swap", {}));
    const before = await site.podRuns("swap");
    await kubectl.must(["set", "image", "pod/swap", `main=${SECOND_IMAGE}`]);
    const after = await site.podIs(
      "swap",
      "with the other image",
      (pod) => main(pod)?.image === SECOND_IMAGE && main(pod)?.state?.running !== undefined,
    );
    assertEquals(after.status?.podIP, before.status?.podIP);
    assertEquals([main(after)?.restartCount, main(before)?.image], [1, BUSYBOX_IMAGE]);
    const events = await site.cloud.events("swap");
    assertStringIncludes(
      events.map((e) => e.message).join("\n"),
      "Container main definition changed, will be restarted",
    );
  });
}, { containerd: { images } });
