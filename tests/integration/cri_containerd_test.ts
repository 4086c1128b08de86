/** GrpcRuntime against a real, private containerd. Needs root, containerd, runc and busybox. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { GrpcRuntime } from "../../edge/cri/grpc_runtime.ts";
import { runtimeSuite } from "../../edge/cri/runtime_suite.ts";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { NamespaceMode, PodSandboxState } from "../../shared/gen/runtime/v1/api_pb.ts";
import { SystemRandom } from "../../shared/random.ts";
import { removeCgroup } from "../support/cgroup_sweep.ts";
import { startContainerd } from "../support/containerd.ts";
import { buildImage, buildPause, BUSYBOX_IMAGE } from "../support/images.ts";
import { Registry } from "../support/registry.ts";
import { type Part, testWith } from "../support/requirements.ts";

const PARTS: Part[] = ["root", "containerd", "busybox", "ip"];

runtimeSuite("containerd", async () => {
  const containerd = await startContainerd();
  const logRoot = await Deno.makeTempDir({ prefix: "skerry-cri-logs-" });
  const cgroupRoot = `/skerry-suite-${new SystemRandom().bytes(4).toHex()}`;
  const runtime = new GrpcRuntime(containerd.endpoint);
  return {
    runtime,
    connect: () => new GrpcRuntime(containerd.endpoint),
    image: BUSYBOX_IMAGE,
    logRoot,
    cgroupRoot,
    clock: new SystemClock(),
    random: new SystemRandom(),
    [Symbol.asyncDispose]: async () => {
      await runtime.close();
      await containerd.stop();
      await removeCgroup(cgroupRoot);
      await Deno.remove(logRoot, { recursive: true });
    },
  };
}, (name, fn) => testWith(PARTS, name, fn));

/** A sandbox on the host's network, which needs no CNI. */
function hostSandbox(uid: string) {
  const namespaceOptions = { network: NamespaceMode.NODE };
  return {
    metadata: { name: "pod", namespace: "suite", uid, attempt: 0 },
    linux: { securityContext: { namespaceOptions } },
  };
}

testWith(PARTS, "a client outlives a crash of containerd and finds its sandbox again", async () => {
  await using containerd = await startContainerd();
  await using runtime = new GrpcRuntime(containerd.endpoint);
  const podSandboxId = await runtime.runPodSandbox({ config: hostSandbox("restart") });
  const before = await runtime.podSandboxStatus({ podSandboxId });

  await containerd.crash();
  const error = await assertRejects(() => runtime.version(), AppError);
  assertEquals(error.code, "unavailable");
  assert(error.message.includes(containerd.socket), error.message);

  await containerd.start();
  const after = await runtime.podSandboxStatus({ podSandboxId });
  assertEquals(after.status?.state, PodSandboxState.SANDBOX_READY);
  assertEquals(after.status?.createdAt, before.status?.createdAt);
  await runtime.stopPodSandbox(podSandboxId);
  await runtime.removePodSandbox(podSandboxId);
});

testWith(
  PARTS,
  "a pull that hangs ends when containerd dies, and when its signal aborts",
  async () => {
    await using containerd = await startContainerd({ images: [await buildPause()] });
    await using runtime = new GrpcRuntime(containerd.endpoint);
    const connected = Promise.withResolvers<void>();
    // A registry that takes the connection and never answers.
    using registry = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const accepted: Deno.Conn[] = [];
    const accepting = (async () => {
      for await (const connection of registry) {
        accepted.push(connection);
        connected.resolve();
      }
    })();
    const image = { image: `127.0.0.1:${registry.addr.port}/slow:1` };

    const reason = new AppError("canceled", "no longer wanted");
    const controller = new AbortController();
    const abandoned = runtime.pullImage({ image }, controller.signal);
    await connected.promise;
    controller.abort(reason);
    assertEquals(await assertRejects(() => abandoned), reason);

    const hanging = assertRejects(() => runtime.pullImage({ image }), AppError);
    await runtime.version();
    await containerd.crash();
    assertEquals((await hanging).code, "unavailable");

    registry.close();
    await accepting;
    for (const connection of accepted) connection.close();
  },
);

testWith([...PARTS, "cni"], "a pulled image runs in a sandbox with an address", async () => {
  await using registry = new Registry();
  const image = await buildImage({ name: "pulled", files: { "etc/pulled": "over the wire" } });
  const reference = await registry.add(image, "lib/busybox", "pulled");
  await using containerd = await startContainerd({ images: [await buildPause()], cni: true });
  await using runtime = new GrpcRuntime(containerd.endpoint);

  const ref = await runtime.pullImage({ image: { image: reference } });
  const { image: pulled } = await runtime.imageStatus({ image: reference });
  assertEquals(ref, pulled?.id);

  const config = { metadata: { name: "net", namespace: "suite", uid: "net", attempt: 0 } };
  const podSandboxId = await runtime.runPodSandbox({ config });
  const { status } = await runtime.podSandboxStatus({ podSandboxId });
  assert(/^\d+\.\d+\.\d+\.\d+$/.test(status?.network?.ip ?? ""), status?.network?.ip);
  const containerId = await runtime.createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: {
      metadata: { name: "main", attempt: 0 },
      image: { image: ref },
      command: ["sleep", "600"],
    },
  });
  await runtime.startContainer(containerId);
  const cmd = ["cat", "/etc/pulled"];
  const { stdout } = await runtime.execSync({ containerId, cmd, timeout: 10n });
  assertEquals(new TextDecoder().decode(stdout), "over the wire");
  const streams = { stdin: true, stdout: true, tty: true };
  const url = await runtime.exec({ containerId, cmd: ["sh"], ...streams });
  assert(/^http:\/\/127\.0\.0\.1:\d+\/exec\/[\w-]+$/.test(url), url);
  const forward = await runtime.portForward({ podSandboxId, port: [80] });
  assert(/^http:\/\/127\.0\.0\.1:\d+\/portforward\/[\w-]+$/.test(forward), forward);

  await runtime.stopPodSandbox(podSandboxId);
  await runtime.removePodSandbox(podSandboxId);
  await runtime.removeImage({ image: ref });
  assertEquals((await runtime.imageStatus({ image: reference })).image, undefined);
});
