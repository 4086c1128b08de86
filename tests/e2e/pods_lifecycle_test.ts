import {
  assertEquals,
  assertGreaterOrEqual,
  assertLess,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { join } from "@std/path";
import { SystemClock } from "../../shared/clock.ts";
import type { ContainerStatus, Pod } from "../../shared/k8s/types.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

const clock = new SystemClock();

function main(pod: Pod): ContainerStatus | undefined {
  return pod.status?.containerStatuses?.[0];
}

siteTest("containers end, crash, restart and stop as their policy says", async ({ site, t }) => {
  const { kubectl } = site;
  const host = join(site.dir, "host");
  await Deno.mkdir(host);
  const onHost = {
    container: { volumeMounts: [{ name: "host", mountPath: "/host" }] },
    volumes: [{ name: "host", hostPath: { path: host } }],
  };

  await t.step("Always: a crash is restarted, then backed off, with its last state", async () => {
    await kubectl.apply(podManifest("crash", { script: "echo run; sleep 0.2; exit 3" }));
    const pod = await site.podIs(
      "crash",
      "in CrashLoopBackOff",
      (pod) => main(pod)?.state?.waiting?.reason === "CrashLoopBackOff",
    );
    const status = main(pod);
    assertGreaterOrEqual(status?.restartCount ?? 0, 1);
    assertEquals(status?.lastState?.terminated?.exitCode, 3);
    assertEquals(status?.lastState?.terminated?.reason, "Error");
    assertMatch(status?.state?.waiting?.message ?? "", /back-off 10s restarting failed container/);
    assertEquals(pod.status?.phase, "Running");
    assertMatch(await kubectl.must(["get", "pod", "crash"]), /crash\s+0\/1\s+CrashLoopBackOff\s+1/);
    assertEquals(await kubectl.must(["logs", "crash", "--previous"]), "run\n");
    await site.podIs("crash", "restarted again", (pod) => (main(pod)?.restartCount ?? 0) >= 2);
  });

  await t.step("Never: exit status decides between Succeeded and Failed", async () => {
    const spec = { restartPolicy: "Never" } as const;
    await kubectl.apply(podManifest("good", { script: "echo done", spec }));
    await kubectl.apply(podManifest("bad", { script: "exit 7", spec }));
    const good = await site.podIs("good", "ended", ({ status }) => status?.phase === "Succeeded");
    assertEquals(main(good)?.state?.terminated?.exitCode, 0);
    assertEquals(main(good)?.state?.terminated?.reason, "Completed");
    const bad = await site.podIs("bad", "ended", ({ status }) => status?.phase === "Failed");
    assertEquals(main(bad)?.state?.terminated?.exitCode, 7);
    assertEquals(main(bad)?.restartCount, 0);
    assertMatch(await kubectl.must(["get", "pod", "good"]), /good\s+0\/1\s+Completed/);
    assertMatch(await kubectl.must(["get", "pod", "bad"]), /bad\s+0\/1\s+Error/);
  });

  await t.step("OnFailure: runs again until it succeeds", async () => {
    await kubectl.apply(podManifest("retry", {
      script: "[ -e /host/tried ] && exit 0; touch /host/tried; exit 1",
      container: onHost.container,
      spec: { restartPolicy: "OnFailure", volumes: onHost.volumes },
    }));
    const pod = await site.podIs("retry", "ended", ({ status }) => status?.phase === "Succeeded");
    assertEquals(main(pod)?.restartCount, 1);
  });

  await t.step("deletion: TERM is heard and its handler has its time", async () => {
    await kubectl.apply(podManifest("polite", {
      script: "trap 'sleep 1; echo ended > /host/polite; exit 0' TERM; echo up; " +
        "while :; do sleep 60 & wait $!; done",
      container: onHost.container,
      spec: { terminationGracePeriodSeconds: 20, volumes: onHost.volumes },
    }));
    await site.podRuns("polite");
    await until(async () => (await kubectl.must(["logs", "polite"])) === "up\n", { what: "up" });
    const startMs = clock.monotonicMs();
    await kubectl.must(["delete", "pod", "polite"]);
    assertEquals(await Deno.readTextFile(join(host, "polite")), "ended\n");
    assertLess(clock.monotonicMs() - startMs, 10_000);
  });

  await t.step("deletion: what does not hear TERM is killed after its grace", async () => {
    const spec = { terminationGracePeriodSeconds: 2 };
    await kubectl.apply(podManifest("deaf", { script: "trap '' TERM; sleep 600", spec }));
    await site.podRuns("deaf");
    const startMs = clock.monotonicMs();
    await kubectl.must(["delete", "pod", "deaf", "--wait=false"]);
    const ending = await site.cloud.pod("deaf");
    assertEquals(typeof ending.metadata.deletionTimestamp, "string");
    assertMatch(await kubectl.must(["get", "pod", "deaf"]), /deaf\s+1\/1\s+Terminating/);
    await site.podGone("deaf");
    const tookMs = clock.monotonicMs() - startMs;
    assertGreaterOrEqual(tookMs, 1_800);
    assertLess(tookMs, 15_000);
  });

  await t.step("forced deletion ends the container too", async () => {
    await kubectl.apply(podManifest("forced", { script: "trap '' TERM; sleep 600" }));
    const pod = await site.podRuns("forced");
    const id = main(pod)?.containerID?.replace("containerd://", "") ?? "";
    await kubectl.must(["delete", "pod", "forced", "--force", "--grace-period=0"]);
    await until(async () => !(await site.containerd.containers()).includes(id), {
      what: "the container of the forced pod to be gone",
      timeoutMs: 30_000,
    });
  });

  await t.step(
    "init containers run first, one by one; a second container has its own log",
    async () => {
      const step = (name: string, script: string) => ({
        ...podManifest("x", { script }).spec.containers[0],
        name,
        volumeMounts: [{ name: "host", mountPath: "/host" }],
      });
      const manifest = podManifest("phased", {
        script: "cat /host/order",
        container: onHost.container,
        spec: { restartPolicy: "Never", volumes: onHost.volumes },
      });
      await kubectl.apply({
        ...manifest,
        spec: {
          ...manifest.spec,
          initContainers: [
            step("one", "sleep 0.3; echo one >> /host/order"),
            step("two", "echo two >> /host/order"),
          ],
        },
      });
      const pod = await site.podIs("phased", "ended", (pod) => pod.status?.phase === "Succeeded");
      assertEquals(pod.status?.initContainerStatuses?.length, 2);
      assertEquals(await kubectl.must(["logs", "phased", "-c", "main"]), "one\ntwo\n");
    },
  );
});

siteTest("kubectl sees a pod as it is used to", async ({ site, t }) => {
  const { kubectl } = site;
  await kubectl.apply(podManifest("seen"));

  await t.step("wait --for=condition=Ready", async () => {
    const waited = await kubectl.must(["wait", "--for=condition=Ready", "pod/seen"]);
    assertEquals(waited, "pod/seen condition met\n");
  });

  await t.step("describe shows state and events", async () => {
    const text = await until(async () => {
      const shown = await kubectl.must(["describe", "pod", "seen"]);
      return ["Scheduled", "Pulled", "Created", "Started"]
        .every((reason) => new RegExp(`Normal\\s+${reason}`).test(shown)) && shown;
    }, { what: "the events in kubectl describe" });
    assertMatch(text, /Successfully assigned default\/seen to edge-1/);
    assertMatch(text, /State:\s+Running/);
    assertMatch(text, /Ready\s+True/);
    assertMatch(text, /Container ID:\s+containerd:\/\/[0-9a-f]{64}/);
    assertMatch(await kubectl.must(["describe", "node", "edge-1"]), /Ready\s+True/);
  });

  await t.step("logs: tail, timestamps, follow to the end", async () => {
    await until(async () => (await kubectl.must(["logs", "seen"])).includes("tick 5\n"), {
      what: "five lines",
    });
    const stamped = await kubectl.must(["logs", "seen", "--tail=2", "--timestamps"]);
    assertMatch(stamped, /^\d{4}-\d\d-\d\dT[\d:.]+Z tick \d+\n\d{4}.* tick \d+\n$/);
    const script = "for n in 1 2 3 4 5; do echo line $n; sleep 0.3; done";
    await kubectl.apply(podManifest("short", { script, spec: { restartPolicy: "Never" } }));
    await site.podRuns("short");
    const followed = await kubectl.must(["logs", "-f", "short"]);
    assertEquals(followed, "line 1\nline 2\nline 3\nline 4\nline 5\n");
  });

  await t.step("a log that is not there is refused by name", async () => {
    const absent = await kubectl.run(["logs", "absent"]);
    assertStringIncludes(absent.stderr, 'pods "absent" not found');
    const previous = await kubectl.run(["logs", "seen", "--previous"]);
    assertStringIncludes(previous.stderr, "previous terminated container");
  });

  await t.step("delete waits until it is gone", async () => {
    assertMatch(await kubectl.must(["delete", "pod", "seen"]), /pod "seen" deleted/);
    assertStringIncludes((await kubectl.run(["get", "pod", "seen"])).stderr, "NotFound");
  });
});
