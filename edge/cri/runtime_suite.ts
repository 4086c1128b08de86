/**
 * One behavioural suite for every ContainerRuntime: what the pod agent relies on, checked over the
 * fake and over real runtimes alike. Pods are on the host's network, so that no CNI is needed;
 * commands are those that the fake understands too. Each case uses a pod of its own and removes it.
 */
import { join } from "@std/path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AppError, errorChain, isAppError } from "../../shared/errors.ts";
import {
  ContainerEventType,
  ContainerState,
  PodSandboxState,
} from "../../shared/gen/runtime/v1/api_pb.ts";
import { type ContainerRuntime, isDeadline } from "./port.ts";
import {
  ENDS_ON_TERM,
  rejectsWith,
  type RuntimeSuiteTarget,
  SuitePod,
  until,
} from "./runtime_suite_pod.ts";

/** How a test is registered: Deno.test, or something that first looks at what the machine has. */
export type RegisterTest = (name: string, fn: (t: Deno.TestContext) => Promise<void>) => void;

interface SuiteCase {
  name: string;
  run: (target: RuntimeSuiteTarget) => Promise<void>;
}

const CASES: SuiteCase[] = [];

/** Registers the suite as one test named after `name`, with a step for each behaviour. */
export function runtimeSuite(
  name: string,
  open: () => Promise<RuntimeSuiteTarget>,
  register: RegisterTest = Deno.test,
): void {
  register(`${name} behaves as a container runtime`, async (t) => {
    await using target = await open();
    for (const each of CASES) await t.step(each.name, () => each.run(target));
  });
}

function behaviour(name: string, run: (target: RuntimeSuiteTarget) => Promise<void>): void {
  CASES.push({ name, run });
}

behaviour("it tells its version and that it is ready", async ({ runtime }) => {
  const version = await runtime.version();
  assertEquals(version.runtimeApiVersion, "v1");
  assert(version.runtimeName !== "" && version.runtimeVersion !== "");
  const { status } = await runtime.status({});
  // A runtime may have conditions of its own beside these two (containerd from 1.7 on has).
  const types = status?.conditions.map((each) => each.type) ?? [];
  assert(types.includes("NetworkReady"), types.join(", "));
  assert(status?.conditions.find((each) => each.type === "RuntimeReady")?.status);
});

behaviour("a sandbox is ready once it runs, and keeps labels and annotations", async (target) => {
  await using pod = await SuitePod.run(target);
  const { status } = await target.runtime.podSandboxStatus({ podSandboxId: pod.sandboxId });
  assertEquals(status?.state, PodSandboxState.SANDBOX_READY);
  assertEquals(status?.metadata?.uid, pod.uid);
  assertEquals({ ...status?.labels, ...pod.labels }, status?.labels, "some add labels of theirs");
  assertEquals(status?.annotations, { "suite/note": "kept" });
  assertEquals(status?.network?.ip ?? "", "");
  assert((status?.createdAt ?? 0n) > 1_600_000_000_000_000_000n, "nanoseconds");
  const listed = await target.runtime.listPodSandbox({ labelSelector: pod.labels });
  assertEquals(listed.map((each) => each.id), [pod.sandboxId]);
  assertEquals(listed[0]?.createdAt, status?.createdAt);
});

behaviour("a second sandbox needs another attempt", async (target) => {
  await using pod = await SuitePod.run(target);
  const { runtime } = target;
  // Asked for the same again, some refuse, and CRI-O gives the one there is: never a second one.
  const same = await runtime.runPodSandbox({ config: pod.config() })
    .catch((error: unknown) => isAppError(error, "already_exists") ? pod.sandboxId : error);
  assertEquals(same, pod.sandboxId);
  await runtime.stopPodSandbox(pod.sandboxId);
  const next = await runtime.runPodSandbox({ config: pod.config(1) });
  const states = await runtime.listPodSandbox({ labelSelector: pod.labels });
  const byAttempt = states.sort((a, b) => (a.metadata?.attempt ?? 0) - (b.metadata?.attempt ?? 0));
  assertEquals(byAttempt.map((each) => each.state), [
    PodSandboxState.SANDBOX_NOTREADY,
    PodSandboxState.SANDBOX_READY,
  ]);
  const ready = { state: PodSandboxState.SANDBOX_READY };
  const onlyReady = await runtime.listPodSandbox({ state: ready, labelSelector: pod.labels });
  assertEquals(onlyReady.map((each) => each.id), [next]);
  await runtime.stopPodSandbox(next);
  await runtime.removePodSandbox(next);
});

behaviour("a container goes from created to running to exited with its code", async (target) => {
  await using pod = await SuitePod.run(target);
  const id = await pod.create(["sh", "-c", "echo out; echo err >&2; sleep 0.2; exit 3"]);
  const created = await pod.status(id);
  assertEquals(created.state, ContainerState.CONTAINER_CREATED);
  assertEquals([created.startedAt, created.finishedAt], [0n, 0n]);
  await target.runtime.startContainer(id);
  const running = await pod.status(id);
  assertEquals(running.state, ContainerState.CONTAINER_RUNNING);
  assert(running.startedAt >= created.createdAt);
  const exited = await pod.exited(id);
  assertEquals([exited.exitCode, exited.reason], [3, "Error"]);
  assert(exited.finishedAt > exited.startedAt && exited.startedAt === running.startedAt);
  assertEquals(exited.logPath, join(pod.logDirectory, "main.0.log"));
  await pod.logIs("main.0.log", ["stderr F err", "stdout F out"]);
});

behaviour("exit code 0 is Completed", async (target) => {
  await using pod = await SuitePod.run(target);
  const exited = await pod.exited(await pod.start("exit 0"));
  assertEquals([exited.exitCode, exited.reason], [0, "Completed"]);
});

behaviour("a status names the image by id and by digest or id", async (target) => {
  await using pod = await SuitePod.run(target);
  const status = await pod.status(await pod.start("sleep 60"));
  const { image } = await target.runtime.imageStatus({ image: target.image });
  const known = [image?.id, ...(image?.repoDigests ?? []), ...(image?.repoTags ?? [])];
  assert(known.includes(status.imageRef), status.imageRef);
});

behaviour("stop lets a container end by itself within its grace", async (target) => {
  await using pod = await SuitePod.run(target);
  const id = await pod.start(ENDS_ON_TERM);
  await pod.logIs("main.0.log", ["stdout F ready"]);
  await target.runtime.stopContainer({ containerId: id, timeout: 30n });
  const status = await pod.status(id);
  assertEquals([status.state, status.exitCode], [ContainerState.CONTAINER_EXITED, 7]);
});

behaviour("stop kills a container that ignores the signal when its grace ends", async (target) => {
  await using pod = await SuitePod.run(target);
  const id = await pod.start("sleep 60");
  const startMs = target.clock.monotonicMs();
  await target.runtime.stopContainer({ containerId: id, timeout: 1n });
  assert(target.clock.monotonicMs() - startMs >= 950, "it had its grace");
  assertEquals((await pod.status(id)).exitCode, 137);
});

behaviour("stop without grace kills at once, and again is done", async (target) => {
  await using pod = await SuitePod.run(target);
  const id = await pod.start("sleep 60");
  await target.runtime.stopContainer({ containerId: id, timeout: 0n });
  assertEquals((await pod.status(id)).exitCode, 137);
  await target.runtime.stopContainer({ containerId: id, timeout: 0n });
});

behaviour("an aborted signal ends a waiting call with its reason", async (target) => {
  await using pod = await SuitePod.run(target);
  const id = await pod.start("sleep 60");
  const controller = new AbortController();
  const reason = new AppError("canceled", "enough");
  const stop = target.runtime.stopContainer({ containerId: id, timeout: 30n }, controller.signal);
  controller.abort(reason);
  assertEquals(await assertRejects(() => stop), reason);
  const over = () => target.runtime.version(controller.signal);
  assertEquals(await assertRejects(over), reason);
});

behaviour("a running container can be removed, and is then not found", async (target) => {
  await using pod = await SuitePod.run(target);
  const id = await pod.start(ENDS_ON_TERM);
  await pod.logIs("main.0.log", ["stdout F ready"]);
  await target.runtime.removeContainer(id);
  await rejectsWith("not_found", () => target.runtime.containerStatus({ containerId: id }));
  await target.runtime.removeContainer(id);
});

behaviour("stopping a sandbox ends its containers, removing it removes them", async (target) => {
  await using pod = await SuitePod.run(target);
  const { runtime } = target;
  const id = await pod.start(ENDS_ON_TERM);
  await pod.logIs("main.0.log", ["stdout F ready"]);
  await runtime.stopPodSandbox(pod.sandboxId);
  await runtime.stopPodSandbox(pod.sandboxId);
  assert([7, 137].includes((await pod.exited(id)).exitCode), "ended by TERM or KILL");
  // containerd 2.x still creates one there, but starts none.
  await assertRejects(() => pod.start("exit 0", "late"), AppError);
  await runtime.removePodSandbox(pod.sandboxId);
  await rejectsWith("not_found", () => runtime.containerStatus({ containerId: id }));
  const gone = { podSandboxId: pod.sandboxId };
  await rejectsWith("not_found", () => runtime.podSandboxStatus(gone));
});

behaviour("stop and remove of what never was are done", async ({ runtime }) => {
  await runtime.stopContainer({ containerId: "absent", timeout: 0n });
  await runtime.removeContainer("absent");
  await runtime.stopPodSandbox("absent");
  await runtime.removePodSandbox("absent");
  await runtime.removeImage({ image: "skerry.invalid/absent:1" });
});

behaviour("a container needs a sandbox and an image", async (target) => {
  await using pod = await SuitePod.run(target);
  const sandboxConfig = pod.config();
  const metadata = { name: "main", attempt: 0 };
  const absent = "skerry.invalid/absent:1";
  await rejectsWith("not_found", () =>
    target.runtime.createContainer({
      podSandboxId: "absent",
      sandboxConfig,
      config: { metadata, image: { image: target.image } },
    }));
  await rejectsWith("not_found", () =>
    target.runtime.createContainer({
      podSandboxId: pod.sandboxId,
      sandboxConfig,
      config: { metadata, image: { image: absent, userSpecifiedImage: absent } },
    }));
});

behaviour("a container starts once", async (target) => {
  await using pod = await SuitePod.run(target);
  const id = await pod.start("sleep 60");
  await assertRejects(() => target.runtime.startContainer(id), AppError);
  assertEquals((await pod.status(id)).state, ContainerState.CONTAINER_RUNNING);
});

behaviour(
  "a container whose command is missing is refused, or ends as StartError",
  async (target) => {
    await using pod = await SuitePod.run(target);
    const id = await pod.create(["/no/such/command"]).catch((error: AppError) => error);
    const error = typeof id === "string"
      ? await assertRejects(() => target.runtime.startContainer(id), AppError)
      : id;
    assert(error.message.includes("/no/such/command"), error.message);
    if (typeof id !== "string") return; // CRI-O looks when it creates, and keeps no container
    const status = await pod.status(id);
    assertEquals(
      [status.state, status.exitCode, status.reason],
      [ContainerState.CONTAINER_EXITED, 128, "StartError"],
    );
  },
);

behaviour("lists are narrowed by pod, state and labels together", async (target) => {
  await using pod = await SuitePod.run(target);
  const { runtime } = target;
  const running = await pod.start("sleep 60", "runs");
  const ended = await pod.start("exit 1", "ends");
  await pod.exited(ended);
  const ids = async (filter: Parameters<ContainerRuntime["listContainers"]>[0]) =>
    (await runtime.listContainers({ ...filter, podSandboxId: pod.sandboxId }))
      .map((each) => each.id).sort();
  assertEquals(await ids({}), [running, ended].sort());
  assertEquals(await ids({ state: { state: ContainerState.CONTAINER_RUNNING } }), [running]);
  assertEquals(await ids({ state: { state: ContainerState.CONTAINER_CREATED } }), []);
  const labelSelector = { "io.kubernetes.container.name": "ends" };
  assertEquals(await ids({ labelSelector }), [ended]);
  const both = { labelSelector, state: { state: ContainerState.CONTAINER_RUNNING } };
  assertEquals(await ids(both), []);
});

behaviour("a command in a container answers with its output and code", async (target) => {
  await using pod = await SuitePod.run(target);
  const containerId = await pod.start("sleep 60");
  const cmd = ["sh", "-c", "echo one; echo two >&2; exit 5"];
  const answer = await target.runtime.execSync({ containerId, cmd, timeout: 10n });
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assertEquals([text(answer.stdout), text(answer.stderr)], ["one\n", "two\n"]);
  assertEquals(answer.exitCode, 5);
});

behaviour("a command that outlasts its time is ended as past its deadline", async (target) => {
  await using pod = await SuitePod.run(target);
  const containerId = await pod.start("sleep 60");
  const request = { containerId, cmd: ["sleep", "30"], timeout: 1n };
  const error = await assertRejects(() => target.runtime.execSync(request), AppError);
  assert(isDeadline(error), errorChain(error));
});

behaviour("commands need a running container", async (target) => {
  await using pod = await SuitePod.run(target);
  const containerId = await pod.start("exit 0");
  await pod.exited(containerId);
  const cmd = ["true"];
  await assertRejects(() => target.runtime.execSync({ containerId, cmd }), AppError);
  const absent = { containerId: "absent", cmd };
  await rejectsWith("not_found", () => target.runtime.execSync(absent));
});

behaviour("after a rename the log goes on in a new file once reopened", async (target) => {
  await using pod = await SuitePod.run(target);
  const id = await pod.start("echo first; sleep 1; echo second; sleep 60");
  await pod.logIs("main.0.log", ["stdout F first"]);
  const path = join(pod.logDirectory, "main.0.log");
  await Deno.rename(path, `${path}.old`);
  await target.runtime.reopenContainerLog(id);
  await pod.logIs("main.0.log", ["stdout F second"]);
  await pod.logIs("main.0.log.old", ["stdout F first"]);
  await target.runtime.stopContainer({ containerId: id, timeout: 0n });
  await assertRejects(() => target.runtime.reopenContainerLog(id), AppError);
});

behaviour("resources of a running container can be changed", async (target) => {
  await using pod = await SuitePod.run(target);
  const containerId = await pod.start("sleep 60");
  await target.runtime.updateContainerResources({ containerId, linux: { cpuShares: 512n } });
  const absent = { containerId: "absent", linux: { cpuShares: 512n } };
  await rejectsWith("not_found", () => target.runtime.updateContainerResources(absent));
});

behaviour("a running container is measured", async (target) => {
  await using pod = await SuitePod.run(target);
  const id = await pod.start("sleep 60");
  const stats = await target.runtime.containerStats(id);
  assertEquals(stats?.attributes?.id, id);
  assert((stats?.memory?.workingSetBytes?.value ?? 0n) > 0n);
  const listed = await target.runtime.listContainerStats({ podSandboxId: pod.sandboxId });
  assertEquals(listed.map((each) => each.attributes?.id), [id]);
  const sandboxes = await target.runtime.listPodSandboxStats({ labelSelector: pod.labels });
  assertEquals(sandboxes.map((each) => each.attributes?.id), [pod.sandboxId]);
  const sandbox = await target.runtime.podSandboxStats(pod.sandboxId);
  assertEquals(sandbox?.linux?.containers.map((each) => each.attributes?.id), [id]);
  await rejectsWith("not_found", () => target.runtime.containerStats("absent"));
});

behaviour("an image is found by its reference and by its id", async ({ runtime, image }) => {
  const byName = await runtime.imageStatus({ image });
  assert(byName.image);
  assertEquals((await runtime.imageStatus({ image: byName.image.id })).image?.id, byName.image.id);
  const listed = await runtime.listImages({ image: { image } });
  assertEquals(listed.map((each) => each.id), [byName.image.id]);
  assert((await runtime.listImages({})).some((each) => each.id === byName.image?.id));
  assertEquals((await runtime.imageStatus({ image: "skerry.invalid/absent:1" })).image, undefined);
  const fs = await runtime.imageFsInfo();
  assert(fs.imageFilesystems[0]?.fsId?.mountpoint);
});

behaviour("a pull that cannot be done names the registry", async ({ runtime }) => {
  // Port 1 of this machine: nothing listens there, and no network is needed to find that out.
  const image = { image: "127.0.0.1:1/absent:1" };
  const error = await assertRejects(() => runtime.pullImage({ image }), AppError);
  assert(error.message.includes("127.0.0.1:1"), error.message);
});

behaviour("events tell of a container, or the runtime says it has none", async (target) => {
  await using pod = await SuitePod.run(target);
  const controller = new AbortController();
  const seen = new Map<string, ContainerEventType[]>();
  let ended: { error: unknown } | undefined;
  const watch = (async () => {
    for await (const event of target.runtime.containerEvents(controller.signal)) {
      const types = seen.get(event.containerId) ?? [];
      seen.set(event.containerId, [...types, event.containerEventType]);
    }
    ended = { error: undefined };
  })().catch((error: unknown) => ended = { error });
  const id = await pod.start("exit 0");
  await pod.exited(id);
  await target.runtime.removeContainer(id);
  const isDeleted = () => seen.get(id)?.includes(ContainerEventType.CONTAINER_DELETED_EVENT);
  const isKnown = () => Promise.resolve(ended !== undefined || isDeleted() === true);
  await until(target.clock, "container is told deleted, or there are no events", isKnown);
  // No such call, or (CRI-O by default) none are told and the stream ends at once.
  if (isAppError(ended?.error, "unimplemented") || ended && seen.size === 0) return;
  const reason = new AppError("canceled", "enough events");
  controller.abort(reason);
  await watch;
  assertEquals(ended?.error, reason);
  assertEquals(seen.get(id), [
    ContainerEventType.CONTAINER_CREATED_EVENT,
    ContainerEventType.CONTAINER_STARTED_EVENT,
    ContainerEventType.CONTAINER_STOPPED_EVENT,
    ContainerEventType.CONTAINER_DELETED_EVENT,
  ]);
});

behaviour("another client finds the same container, started at the same time", async (target) => {
  await using pod = await SuitePod.run(target);
  const first = target.connect();
  const id = await pod.start("sleep 60");
  const before = await pod.status(id);
  await first.close();
  await rejectsWith("canceled", () => first.version());
  await using second = target.connect();
  const found = await second.listContainers({ labelSelector: pod.labels });
  assertEquals(found.map((each) => each.id), [id]);
  const { status } = await second.containerStatus({ containerId: id });
  assertEquals(status?.startedAt, before.startedAt);
});
