import { assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../../../shared/errors.ts";
import type { PodStats } from "../../../shared/k8s/stats_summary.ts";
import { testPod } from "../testing.ts";
import { decideEviction, type EvictionState, NO_EVICTION, type Observations } from "./decide.ts";
import { evictionMessage, rankPods } from "./rank.ts";
import { durationMs, type EvictionWords, parseThresholds } from "./thresholds.ts";

const NONE: EvictionWords = { hard: {}, soft: {}, softGracePeriod: {}, minimumReclaim: {} };
const MI = 1024 ** 2;

Deno.test("thresholds: kubelet's defaults, changed one by one, turned off by 0%", () => {
  const texts = (words: Partial<EvictionWords>) =>
    parseThresholds({ ...NONE, ...words }, "eviction").map((t) =>
      `${t.isHard ? "" : "soft "}${t.signal}<${t.amount.text}`
    );
  assertEquals(texts({}), [
    "memory.available<100Mi",
    "nodefs.available<10%",
    "nodefs.inodesFree<5%",
    "imagefs.available<15%",
    "imagefs.inodesFree<5%",
  ]);
  assertEquals(
    texts({
      hard: {
        "memory.available": "1Gi",
        "nodefs.available": "0%",
        "nodefs.inodesFree": "100%",
        "imagefs.available": "0%",
        "imagefs.inodesFree": "0%",
      },
      soft: { "pid.available": "500" },
      softGracePeriod: { "pid.available": "1m30s" },
    }),
    ["memory.available<1Gi", "soft pid.available<500"],
  );
});

const BAD: [Partial<EvictionWords>, string][] = [
  [{ hard: { "memory.free": "1" } }, "eviction.hard must name one of memory.available"],
  [{ hard: { "memory.available": "lots" } }, "eviction.hard.memory.available must be a quantity"],
  [{ hard: { "nodefs.available": "150%" } }, "eviction.hard.nodefs.available must be"],
  [{ soft: { "memory.available": "1Gi" } }, "must have a softGracePeriod"],
  [{ softGracePeriod: { "memory.available": "1m" } }, "must have a soft threshold"],
  [{ minimumReclaim: { x: "1" } }, "eviction.minimumReclaim must name one of"],
];
for (const [words, message] of BAD) {
  Deno.test(`bad thresholds are refused: ${message}`, () => {
    assertThrows(() => parseThresholds({ ...NONE, ...words }, "eviction"), AppError, message);
  });
}

Deno.test("durations are Go's", () => {
  assertEquals(["90s", "1m30s", "1.5m", "2h", "250ms"].map((text) => durationMs(text, "x")), [
    90_000,
    90_000,
    90_000,
    7_200_000,
    250,
  ]);
  for (const text of ["", "5", "5x", "1m 30s"]) {
    assertThrows(() => durationMs(text, "x"), AppError, "must be a duration");
  }
});

function world(words: Partial<EvictionWords>) {
  const thresholds = parseThresholds({ ...NONE, ...words }, "eviction");
  let state: EvictionState = NO_EVICTION;
  return (nowMs: number, memoryMi: number, more: Observations = {}) => {
    const decision = decideEviction({
      thresholds,
      observations: {
        "memory.available": { available: memoryMi * MI, capacity: 4096 * MI },
        ...more,
      },
      state,
      transitionMs: 300_000,
      nowMs,
    });
    state = decision.state;
    return [[...decision.pressures].join(), decision.act?.threshold.signal ?? ""];
  };
}

Deno.test("a hard threshold is acted on at once, and its pressure is held for a while", () => {
  const at = world({});
  assertEquals(at(0, 500), ["", ""]);
  assertEquals(at(10_000, 99), ["MemoryPressure", "memory.available"]);
  assertEquals(at(20_000, 500), ["MemoryPressure", ""]);
  assertEquals(at(309_000, 500), ["MemoryPressure", ""]);
  assertEquals(at(310_000, 500), ["", ""]);
});

Deno.test("a soft threshold waits for its grace, anew each time it was left", () => {
  const at = world({
    soft: { "memory.available": "1Gi" },
    softGracePeriod: { "memory.available": "1m" },
  });
  assertEquals(at(0, 900), ["MemoryPressure", ""]);
  assertEquals(at(59_000, 900), ["MemoryPressure", ""]);
  assertEquals(at(60_000, 900), ["MemoryPressure", "memory.available"]);
  assertEquals(at(70_000, 1_100)[1], "");
  assertEquals(at(80_000, 900)[1], "");
});

Deno.test("what was short is resolved only beyond its minimum reclaim", () => {
  const at = world({ minimumReclaim: { "memory.available": "400Mi" } });
  assertEquals(at(0, 450)[1], "");
  assertEquals(at(10_000, 90)[1], "memory.available");
  assertEquals(at(20_000, 450)[1], "memory.available");
  assertEquals(at(30_000, 501)[1], "");
  assertEquals(at(40_000, 450)[1], "");
});

Deno.test("memory comes before disk; what was not seen is not short", () => {
  const at = world({});
  const full: Observations = {
    "nodefs.available": { available: 1, capacity: 100 },
    "nodefs.inodesFree": { available: 0, capacity: 0 },
  };
  assertEquals(at(0, 50, full), ["MemoryPressure,DiskPressure", "memory.available"]);
  assertEquals(at(10_000, 500, full)[1], "nodefs.available");
});

function stats(memoryMi: number, more: Partial<PodStats> = {}): PodStats {
  const time = "2026-01-01T00:00:00Z";
  return {
    podRef: { name: "", namespace: "", uid: "" },
    startTime: null,
    containers: [{
      name: "main",
      startTime: null,
      memory: { time, workingSetBytes: memoryMi * MI },
      rootfs: { time, usedBytes: 10 },
      logs: { time, usedBytes: 1 },
    }],
    memory: { time, workingSetBytes: memoryMi * MI },
    ...more,
  };
}

function pod(name: string, requestMi?: number, priority = 0, critical = "") {
  return testPod(name, "true", ({ spec }) => {
    if (requestMi) spec.containers[0]!.resources = { requests: { memory: `${requestMi}Mi` } };
    spec.priority = priority;
    if (critical) spec.priorityClassName = critical;
  });
}

const ranked = (...args: Parameters<typeof rankPods>) =>
  rankPods(...args).map(({ pod }) => pod.metadata.name);

Deno.test("for memory: beyond the request first, then priority, then how far beyond", () => {
  const candidates = [
    { pod: pod("within", 500), stats: stats(400) },
    { pod: pod("important", 0, 1_000), stats: stats(900) },
    { pod: pod("little", 0), stats: stats(10) },
    { pod: pod("much", 100), stats: stats(600) },
    { pod: pod("cheap", 500, -5), stats: stats(1) },
    { pod: pod("critical", 0, 0, "system-node-critical"), stats: stats(2_000) },
    { pod: pod("system", 0, 2_000_001_000), stats: stats(2_000) },
    { pod: pod("silent"), stats: undefined },
  ];
  assertEquals(ranked(candidates, "memory.available", false), [
    "silent",
    "much",
    "little",
    "important",
    "cheap",
    "within",
  ]);
});

Deno.test("for processes: priority, then how many; for disk: what lies on that file system", () => {
  const of = (count: number) => stats(1, { process_stats: { process_count: count } });
  assertEquals(
    ranked(
      [
        { pod: pod("few"), stats: of(2) },
        { pod: pod("many"), stats: of(50) },
        { pod: pod("important", 0, 5), stats: of(500) },
      ],
      "pid.available",
      false,
    ),
    ["many", "few", "important"],
  );
  const time = "2026-01-01T00:00:00Z";
  const disk = [
    { pod: pod("layer"), stats: stats(1) },
    { pod: pod("volume"), stats: stats(1, { volume: [{ name: "v", time, usedBytes: 8 }] }) },
  ];
  disk[0]!.stats.containers[0]!.rootfs!.usedBytes = 15;
  assertEquals(ranked(disk, "nodefs.available", false), ["volume", "layer"]);
  disk[0]!.stats.containers[0]!.rootfs!.usedBytes = 25;
  assertEquals(ranked(disk, "nodefs.available", false), ["layer", "volume"]);
  assertEquals(ranked(disk, "nodefs.available", true), ["volume", "layer"]);
  assertEquals(ranked(disk, "imagefs.available", true), ["layer", "volume"]);
});

Deno.test("a static pod never gives way", () => {
  const fromFile = pod("static");
  fromFile.metadata.annotations = { "kubernetes.io/config.source": "file" };
  assertEquals(ranked([{ pod: fromFile, stats: stats(5) }], "memory.available", false), []);
});

Deno.test("the message is kubelet's", () => {
  const [threshold] = parseThresholds(NONE, "eviction");
  const observation = { available: 48 * MI, capacity: 4096 * MI };
  assertEquals(
    evictionMessage({ pod: pod("a", 100), stats: stats(600) }, {
      threshold: threshold!,
      observation,
    }),
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 48Mi. " +
      "Container main was using 600Mi, request is 100Mi, has larger consumption of memory. ",
  );
});
