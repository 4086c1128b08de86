import { assertEquals } from "@std/assert";
import type { Pod, ResourceRequirements } from "../../shared/k8s/types.ts";
import {
  cgroupWrites,
  classLimits,
  cpuWeight,
  podLimits,
  sliceProperties,
  slicesOf,
} from "./cgroup_limits.ts";
import { SystemdSlices } from "./cgroup_slices.ts";
import { PodCgroups } from "./pod_cgroups.ts";
import { testPod } from "./testing.ts";

const FREE = { pidsMax: -1, pageSizes: [] };

function pod(...resources: (ResourceRequirements | undefined)[]): Pod {
  return testPod("web", "true", ({ spec }) => {
    spec.containers = resources.map((each, index) => ({
      name: `c${index}`,
      ...(each ? { resources: each } : {}),
    }));
  });
}

const FULL = { limits: { cpu: "500m", memory: "64Mi" } };

const LIMITS: [string, Pod, (number | string)[]][] = [
  ["best effort", pod(undefined), [2, 0, 0]],
  ["guaranteed", pod(FULL, FULL), [1024, 100_000, 128 * 1024 ** 2]],
  ["a container without limits", pod(FULL, undefined), [512, 0, 0]],
  ["requests alone", pod({ requests: { cpu: "250m", memory: "1Gi" } }), [256, 0, 0]],
];
for (const [name, made, expected] of LIMITS) {
  Deno.test(`limits of a pod: ${name}`, () => {
    const { cpuShares, cpuQuotaUs, memoryBytes } = podLimits(made, FREE);
    assertEquals([cpuShares, cpuQuotaUs, memoryBytes], expected);
  });
}

Deno.test("an init container counts when it needs more than all others", () => {
  const made = pod(FULL);
  made.spec.initContainers = [{ name: "i", resources: { limits: { cpu: "2", memory: "1Gi" } } }];
  const { cpuQuotaUs, memoryBytes } = podLimits(made, FREE);
  assertEquals([cpuQuotaUs, memoryBytes], [200_000, 1024 ** 3]);
});

Deno.test("a class has the shares its pods ask for", () => {
  const asks = pod({ requests: { cpu: "1" } });
  const shares = (qos: "Burstable" | "BestEffort") =>
    classLimits(qos, [asks, asks, pod(FULL), pod(undefined)]).cpuShares;
  assertEquals([shares("Burstable"), shares("BestEffort")], [2048, 2]);
});

const ALL = podLimits(
  pod({ limits: { cpu: "500m", memory: "64Mi", "hugepages-2Mi": "4Mi" } }),
  { pidsMax: 100, pageSizes: ["2Mi", "1Gi"] },
);

Deno.test("files of version 1 and 2", () => {
  const texts = (isV2: boolean) =>
    cgroupWrites(ALL, isV2).map(({ file, text }) => `${file}=${text}`);
  assertEquals(texts(false), [
    "cpu.shares=512",
    "cpu.cfs_period_us=100000",
    "cpu.cfs_quota_us=50000",
    "memory.limit_in_bytes=67108864",
    "pids.max=100",
    "hugetlb.2MB.limit_in_bytes=4194304",
    "hugetlb.1GB.limit_in_bytes=0",
  ]);
  assertEquals(texts(true), [
    "cpu.weight=20",
    "cpu.max=50000 100000",
    "memory.max=67108864",
    "pids.max=100",
    "hugetlb.2MB.max=4194304",
    "hugetlb.1GB.max=0",
  ]);
  const free = cgroupWrites(podLimits(pod(undefined), FREE), true);
  assertEquals(free.map(({ text }) => text), ["1", "max 100000"]);
  assertEquals([2, 1024, 262_144].map(cpuWeight), [1, 39, 10_000]);
});

Deno.test("slices and their properties", () => {
  const parent = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice";
  assertEquals(slicesOf(parent), [
    "kubepods.slice",
    "kubepods-burstable.slice",
    "kubepods-burstable-pod1_2.slice",
  ]);
  const named = (isV2: boolean) =>
    sliceProperties(ALL, isV2).slice(5).map((each) => {
      const [name, variant] = Object(each);
      return `${name}:${variant.type}=${variant.value}`;
    });
  assertEquals(named(true), [
    "CPUWeight:t=20",
    "CPUQuotaPerSecUSec:t=500000",
    "MemoryMax:t=67108864",
    "TasksMax:t=100",
  ]);
  assertEquals(named(false)[0], "CPUShares:t=512");
  assertEquals(named(false)[2], "MemoryLimit:t=67108864");
});

for (const isV2 of [false, true]) {
  Deno.test(`cgroups of version ${isV2 ? 2 : 1} are made with their limits`, async () => {
    const root = await Deno.makeTempDir({ prefix: "skerry-cg-" });
    try {
      const base = isV2 ? root : `${root}/cpu`;
      await Deno.mkdir(base, { recursive: true });
      await Deno.writeTextFile(`${base}/cgroup.procs`, "");
      const made = pod({ requests: { cpu: "1" } });
      const cgroups = new PodCgroups({
        root,
        isV2,
        driver: () => "cgroupfs",
        slices: new SystemdSlices("/nowhere"),
        pods: () => [made],
        ...FREE,
      });
      const dir = `${base}/kubepods/burstable/poduid-web`;
      // the kernel makes these files; a plain folder has none
      const file = isV2 ? "cpu.weight" : "cpu.shares";
      await Deno.mkdir(dir, { recursive: true });
      await Deno.writeTextFile(`${dir}/${file}`, "");
      await Deno.writeTextFile(`${base}/kubepods/burstable/${file}`, "");
      await cgroups.ensure(made);
      const text = isV2 ? "39" : "1024";
      assertEquals(await Deno.readTextFile(`${dir}/${file}`), text);
      assertEquals(await Deno.readTextFile(`${base}/kubepods/burstable/${file}`), text);
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  });
}

Deno.test("a machine without systemd on the bus keeps no pod waiting", async () => {
  const cgroups = new PodCgroups({
    root: "/nowhere",
    isV2: true,
    driver: () => "systemd",
    slices: new SystemdSlices("/nowhere/bus"),
    pods: () => [],
    ...FREE,
  });
  await cgroups.ensure(pod(undefined));
  await cgroups.remove("uid-web");
});

Deno.test("cgroups around pods are made again when somebody took them away", async () => {
  const root = await Deno.makeTempDir({ prefix: "skerry-cg-" });
  try {
    const pods = [pod({ requests: { cpu: "1" } })];
    const cgroups = new PodCgroups({
      root,
      isV2: true,
      driver: () => "cgroupfs",
      slices: new SystemdSlices("/nowhere"),
      pods: () => pods,
      ...FREE,
    });
    const shares = `${root}/kubepods/burstable/cpu.weight`;
    const ensure = async () => {
      await cgroups.ensure(pods[0]!);
      assertEquals((await Deno.stat(`${root}/kubepods/burstable/poduid-web`)).isDirectory, true);
    };
    await ensure();
    await Deno.writeTextFile(shares, "kept"); // the kernel makes this file
    pods.push(pod({ requests: { cpu: "1" } }));
    await ensure();
    assertEquals(await Deno.readTextFile(shares), "79");
    await Deno.writeTextFile(shares, "kept");
    await ensure(); // nothing to share has changed
    assertEquals(await Deno.readTextFile(shares), "kept");
    await Deno.remove(`${root}/kubepods`, { recursive: true });
    await ensure();
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
