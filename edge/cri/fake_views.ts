/** What the fake runtime's lists and statistics show of its records. Pure. */
import { create } from "@bufbuild/protobuf";
import {
  type ContainerStats,
  ContainerStatsSchema,
  type PodSandboxStats,
  PodSandboxStatsSchema,
} from "../../shared/gen/runtime/v1/api_pb.ts";
import type { FakeContainer } from "./fake_container.ts";
import type { FakeSandbox } from "./fake_sandbox.ts";

/** Every fake process uses one hundredth of a core and 4 MiB. */
const NANO_CORES = 10_000_000n;
const WORKING_SET_BYTES = 4_194_304n;

/** True when `labels` has every pair of `selector`, exactly. */
export function matchesLabels(
  labels: Record<string, string>,
  selector: Record<string, string> | undefined,
): boolean {
  return Object.entries(selector ?? {}).every(([key, value]) => labels[key] === value);
}

/** Undefined for a container that does not run: there is nothing to measure. */
export function containerStatsOf(
  container: FakeContainer,
  nowNs: bigint,
): ContainerStats | undefined {
  if (container.state.kind !== "running") return undefined;
  const { metadata, labels, annotations } = container.config;
  return create(ContainerStatsSchema, {
    attributes: { id: container.id, ...(metadata && { metadata }), labels, annotations },
    ...usage(nowNs - container.state.startedAtNs, 1n, nowNs),
  });
}

export function sandboxStatsOf(
  sandbox: FakeSandbox,
  containers: FakeContainer[],
  nowNs: bigint,
): PodSandboxStats {
  const { metadata, labels, annotations } = sandbox.config;
  const stats = containers.map((each) => containerStatsOf(each, nowNs)).filter((each) => !!each);
  const cpuNs = stats.reduce(
    (sum, each) => sum + (each.cpu?.usageCoreNanoSeconds?.value ?? 0n),
    0n,
  );
  const count = BigInt(stats.length);
  return create(PodSandboxStatsSchema, {
    attributes: { id: sandbox.id, ...(metadata && { metadata }), labels, annotations },
    linux: {
      cpu: {
        timestamp: nowNs,
        usageCoreNanoSeconds: { value: cpuNs },
        usageNanoCores: { value: NANO_CORES * count },
      },
      memory: { timestamp: nowNs, workingSetBytes: { value: WORKING_SET_BYTES * count } },
      process: { timestamp: nowNs, processCount: { value: count + 1n } },
      containers: stats,
    },
  });
}

function usage(runningNs: bigint, processes: bigint, nowNs: bigint) {
  return {
    cpu: {
      timestamp: nowNs,
      usageCoreNanoSeconds: { value: runningNs * NANO_CORES / 1_000_000_000n },
      usageNanoCores: { value: NANO_CORES * processes },
    },
    memory: { timestamp: nowNs, workingSetBytes: { value: WORKING_SET_BYTES * processes } },
  };
}
