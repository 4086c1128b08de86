/** The test support against a real containerd. Needs root, containerd, runc and busybox. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { GrpcRuntime } from "../../edge/cri/grpc_runtime.ts";
import { startContainerd } from "../support/containerd.ts";
import { mountsBelow, processesOf } from "../support/containerd_sweep.ts";
import { buildImage, buildPause, BUSYBOX_IMAGE, PAUSE_IMAGE } from "../support/images.ts";
import { must, run } from "../support/process.ts";
import { Registry } from "../support/registry.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

testWith(
  ["root", "containerd", "busybox", "ip"],
  "a private containerd runs a container, survives a crash, and leaves nothing",
  async () => {
    const containerd = await startContainerd();
    try {
      assertStringIncludes(await containerd.ctr("images", "ls", "-q"), PAUSE_IMAGE);
      const hello = await containerd.ctr(
        "run",
        "--rm",
        BUSYBOX_IMAGE,
        "hello",
        "echo",
        "from inside",
      );
      assertEquals(hello, "from inside\n");

      await containerd.ctr("run", "-d", BUSYBOX_IMAGE, "sleeper", "sleep", "600");
      const pid = (await containerd.tasks()).get("sleeper");
      await containerd.crash();
      await assertRejects(() => containerd.containers());
      await containerd.start();
      assertEquals((await containerd.tasks()).get("sleeper"), pid);
      assertEquals((await processesOf(containerd.dir)).includes(pid ?? -1), true);
    } finally {
      await containerd.stop();
    }
    assertEquals(await processesOf(containerd.dir), []);
    const mountinfo = await Deno.readTextFile("/proc/self/mountinfo");
    assertEquals(mountsBelow(mountinfo, containerd.dir), []);
    await assertRejects(() => Deno.stat(containerd.dir), Deno.errors.NotFound);
  },
);

testWith(
  ["root", "containerd", "busybox", "cni", "ip"],
  "the pause image ends on TERM, and images are pulled from a loopback registry",
  async () => {
    await using registry = new Registry();
    const image = await buildImage({ name: "pulled", files: { "etc/pulled": "over the wire" } });
    const reference = await registry.add(image, "lib/busybox", "pulled");
    await using containerd = await startContainerd({ images: [await buildPause()] });
    await containerd.ctr("images", "pull", "--plain-http", reference);
    assertEquals(registry.served.blobs, 2);
    const content = await containerd.ctr("run", "--rm", reference, "once", "cat", "/etc/pulled");
    assertEquals(content, "over the wire");
    await containerd.ctr("run", "-d", PAUSE_IMAGE, "pause");
    const started = (await containerd.tasks()).get("pause");
    assertEquals(typeof started, "number");
    // again and again: process 1 of a container does not hear a TERM before it has its handler
    await until(async () => {
      if (!(await containerd.tasks()).has("pause")) return true;
      await run("ctr", [
        ...["--address", containerd.socket, "-n", "k8s.io"],
        ...["tasks", "kill", "pause"],
      ], { timeoutMs: 10_000 });
      return false;
    }, { what: "the pause container to end on TERM", timeoutMs: 10_000 });
    await containerd.ctr("tasks", "delete", "pause");
  },
);

testWith(
  ["root", "containerd", "busybox", "cni", "ip"],
  "a pod sandbox gets an address and a host port, and no rule, bridge or namespace stays",
  async () => {
    const containerd = await startContainerd({ cni: true, images: [] });
    const bridge = containerd.network?.bridge ?? "";
    const signal = AbortSignal.timeout(30_000);
    try {
      await using runtime = new GrpcRuntime(containerd.endpoint);
      const id = await runtime.runPodSandbox({
        config: {
          metadata: { name: "a", namespace: "default", uid: "u1", attempt: 0 },
          logDirectory: containerd.dir,
          portMappings: [{ hostPort: 18_080, containerPort: 80, hostIp: "127.0.0.1" }],
          linux: {},
        },
      }, signal);
      const { status } = await runtime.podSandboxStatus({ podSandboxId: id }, signal);
      const prefix = containerd.network?.subnet.replace(/0\/24$/, "");
      assertStringIncludes(status?.network?.ip ?? "", prefix ?? "no network");
      assertStringIncludes(await must("iptables", ["-t", "nat", "-S"]), "18080");
    } finally {
      await containerd.stop();
    }
    assertEquals((await run("ip", ["link", "show", bridge])).code, 1);
    const rules = await must("iptables", ["-t", "nat", "-S"]);
    assertEquals(rules.includes(containerd.network?.name ?? ""), false);
    assertEquals(rules.includes("18080"), false);
  },
);
