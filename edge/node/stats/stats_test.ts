import { assert, assertEquals } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { ContainerStatsSchema } from "../../../shared/gen/runtime/v1/api_pb.ts";
import { AppError } from "../../../shared/errors.ts";
import type { Pod } from "../../../shared/k8s/types.ts";
import { SimClock } from "../../../shared/testing/sim_clock.ts";
import { cgroupReader } from "./cgroup_usage.ts";
import { bootSeconds, ownCpuNanos, parseNetDev } from "./machine_usage.ts";
import { CpuRates } from "./rates.ts";
import { Stats, type StatsOptions } from "./stats.ts";

const reader = (files: Record<string, string>, isV2: boolean) =>
  cgroupReader((path) => Promise.resolve(files[path] ?? ""), isV2);

Deno.test("a cgroup of version 1 is read", async () => {
  const files = {
    "/cpuacct/kubepods/pod1/cpuacct.usage": "1500\n",
    "/memory/kubepods/pod1/memory.usage_in_bytes": "1000\n",
    "/memory/kubepods/pod1/memory.stat":
      "inactive_file 1\ntotal_inactive_file 300\ntotal_rss 200\ntotal_pgfault 7\n",
    "/memory/kubepods/pod1/memory.limit_in_bytes": "9223372036854771712\n",
    "/pids/kubepods/pod1/pids.current": "3\n",
  };
  assertEquals(await reader(files, false).usage("/kubepods/pod1"), {
    cpuNanoSeconds: 1500,
    usageBytes: 1000,
    workingSetBytes: 700,
    rssBytes: 200,
    pageFaults: 7,
    processes: 3,
  });
  assertEquals(await reader(files, false).usage("/kubepods/pod2"), undefined);
});

Deno.test("a cgroup of version 2 is read", async () => {
  const files = {
    "/a/cpu.stat": "usage_usec 15\nuser_usec 9\n",
    "/a/memory.current": "1000\n",
    "/a/memory.stat": "anon 10\ninactive_file 1200\npgmajfault 2\n",
    "/a/memory.max": "5000\n",
    "/a/memory.swap.current": "8\n",
  };
  assertEquals(await reader(files, true).usage("/a"), {
    cpuNanoSeconds: 15_000,
    usageBytes: 1000,
    workingSetBytes: 0,
    rssBytes: 10,
    majorPageFaults: 2,
    limitBytes: 5000,
    swapBytes: 8,
  });
  const noLimit = reader({ "/a/memory.max": "max\n", "/a/memory.current": "1\n" }, true);
  assertEquals((await noLimit.usage("/a"))?.limitBytes, undefined);
});

Deno.test("a rate needs two readings that are neither too close nor too far apart", () => {
  const rates = new CpuRates();
  assertEquals(rates.rate("a", 0, 1_000), undefined);
  rates.turn();
  assertEquals(rates.rate("a", 2e9, 1e9 + 1_000), 5e8);
  rates.turn();
  assertEquals(rates.rate("a", 2.5e9, 1.25e9 + 1_000), 5e8); // half a second: the base stays
  rates.turn();
  assertEquals(rates.rate("a", 4e9, 2e9 + 1_000), 5e8);
  rates.turn();
  assertEquals(rates.rate("a", 5e9, 5), undefined); // it began anew
  rates.turn();
  assertEquals(rates.rate("a", 700e9, 10), undefined);
  rates.turn();
  rates.turn();
  assertEquals(rates.rate("a", 701e9, 20), undefined); // forgotten meanwhile
});

Deno.test("the kernel's tables are read", () => {
  const dev = "Inter-| Receive\n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7\n" +
    "  eth0: 100 2 3 4 5 6 7 8 900 10 11 12 13 14 15 16\nveth1: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n";
  assertEquals(parseNetDev(dev), [
    { name: "eth0", rxBytes: 100, rxErrors: 3, txBytes: 900, txErrors: 11 },
  ]);
  assertEquals(ownCpuNanos("1 (a b) c) S 1 1 1 0 -1 4 1 1 1 1 7 3 0 0"), 1e8);
  assertEquals(bootSeconds("cpu 1\nbtime 1700000000\n"), 1_700_000_000);
});

const POD: Pod = {
  metadata: { name: "web", namespace: "shop", uid: "u1" },
  spec: { containers: [{ name: "a" }, { name: "b" }, { name: "gone" }] },
  status: {
    phase: "Running",
    startTime: "2026-01-01T00:00:00Z",
    containerStatuses: [status("a", "ida"), status("b", "idb"), {
      ...status("gone", "idg"),
      state: { terminated: { exitCode: 0 } },
    }],
  },
};

function status(name: string, id: string) {
  return {
    name,
    containerID: `fake://${id}`,
    state: { running: { startedAt: "2026-01-01T00:00:01Z" } },
    ready: true,
    restartCount: 0,
    image: "i",
    imageID: "i",
  };
}

function stats(change: Partial<StatsOptions>, files: Record<string, string> = {}): Stats {
  return new Stats({
    nodeName: "n1",
    runtime: {
      listContainerStats: () => Promise.resolve([]),
      listPodSandboxStats: () => Promise.reject(new AppError("unimplemented", "old")),
      imageFsInfo: () => Promise.reject(new AppError("unavailable", "away")),
    },
    pods: () => [POD],
    podCgroup: () => "/kubepods/podu1",
    podDir: (uid) => `/nowhere/${uid}`,
    podLogDir: () => "/nowhere/logs",
    dataDir: "/nowhere",
    cgroupDir: "/cg",
    cgroupV2: true,
    clock: new SimClock(),
    residentBytes: () => 5,
    read: (path) => Promise.resolve(files[path] ?? ""),
    diskUse: () => Promise.reject(new Error("no such file system")),
    ...change,
  });
}

Deno.test("figures come from the runtime, and from cgroups where it has none", async () => {
  const told = create(ContainerStatsSchema, {
    attributes: { id: "ida" },
    cpu: { timestamp: 5n, usageCoreNanoSeconds: { value: 7n }, usageNanoCores: { value: 0n } },
    memory: { timestamp: 5n, workingSetBytes: { value: 11n } },
  });
  const { pods: [pod] } = await stats({
    runtime: {
      listContainerStats: () => Promise.resolve([told]),
      listPodSandboxStats: () => Promise.resolve([]),
      imageFsInfo: () => Promise.reject(new AppError("unavailable", "away")),
    },
  }, {
    "/cg/kubepods/podu1/cri-containerd-idb.scope/cpu.stat": "usage_usec 9\n",
    "/cg/kubepods/podu1/cri-containerd-idb.scope/memory.current": "13\n",
  }).summary(true);
  const figures = pod?.containers.map((c) => [
    c.name,
    c.cpu?.usageCoreNanoSeconds,
    c.memory?.workingSetBytes,
  ]);
  assertEquals(figures, [["a", 7, 11], ["b", 9_000, 13]]);
  // neither the runtime nor a cgroup tells of the pod: it is the sum
  assertEquals([pod?.cpu?.usageCoreNanoSeconds, pod?.memory?.workingSetBytes], [9_007, 24]);
});

Deno.test("a runtime that is away leaves the machine's own figures", async () => {
  const { node, pods } = await stats({
    runtime: {
      listContainerStats: () => Promise.reject(new AppError("unavailable", "away")),
      listPodSandboxStats: () => Promise.reject(new AppError("unavailable", "away")),
      imageFsInfo: () => Promise.reject(new AppError("unavailable", "away")),
    },
  }, {
    "/proc/meminfo": "MemTotal: 100 kB\nMemFree: 40 kB\nMemAvailable: 70 kB\n" +
      "Inactive(file): 10 kB\n",
    "/proc/stat": "cpu  10 0 20 900 5 0 0 0 0 0\nbtime 1700000000\n",
  }).summary(false);
  assertEquals(pods[0]?.containers.length, 2);
  assertEquals(node.memory?.workingSetBytes, 50 * 1024);
  assertEquals(node.memory?.availableBytes, 70 * 1024);
  assertEquals(node.cpu?.usageCoreNanoSeconds, 3e8);
  assertEquals(node.startTime, "2023-11-14T22:13:20Z");
  assertEquals(node.fs, undefined);
});

Deno.test("those who ask at the same moment share one look", async () => {
  let asked = 0;
  const made = stats({
    runtime: {
      listContainerStats: () => {
        asked++;
        return Promise.resolve([]);
      },
      listPodSandboxStats: () => Promise.resolve([]),
      imageFsInfo: () => Promise.reject(new AppError("unavailable", "away")),
    },
  });
  const [first, second] = await Promise.all([made.summary(true), made.summary(true)]);
  assert(first === second);
  assertEquals(asked, 1);
  await made.summary(true);
  assertEquals(asked, 2);
});
