import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Summary } from "../../../shared/k8s/stats_summary.ts";
import { renderResourceMetrics } from "./resource_metrics.ts";

const TIME = "2026-01-01T00:00:00.250000Z";
const AT_MS = 1_767_225_600_250;
const SUMMARY: Summary = {
  node: {
    nodeName: "n",
    startTime: TIME,
    cpu: { time: TIME, usageCoreNanoSeconds: 2_500_000_000 },
    memory: { time: TIME, workingSetBytes: 10 },
  },
  pods: [{
    podRef: { name: "web", namespace: "shop", uid: "u" },
    startTime: TIME,
    containers: [{
      name: "a",
      startTime: "2026-01-01T00:00:00Z",
      cpu: { time: TIME, usageCoreNanoSeconds: 1e9 },
      memory: { time: TIME, workingSetBytes: 7 },
    }, { name: "young", startTime: TIME, cpu: { time: TIME, usageCoreNanoSeconds: 1 } }],
    cpu: { time: TIME, usageCoreNanoSeconds: 1e9 },
    memory: { time: TIME, workingSetBytes: 8 },
  }],
};

Deno.test("resource metrics have kubelet's names, labels and timestamps", () => {
  const samples = renderResourceMetrics(SUMMARY).split("\n").filter((line) => /^[a-z]/.test(line));
  const labels = 'container="a",namespace="shop",pod="web"';
  assertEquals(samples, [
    `container_cpu_usage_seconds_total{${labels}} 1 ${AT_MS}`,
    `container_memory_working_set_bytes{${labels}} 7 ${AT_MS}`,
    `container_start_time_seconds{${labels}} 1767225600`,
    `node_cpu_usage_seconds_total 2.5 ${AT_MS}`,
    `node_memory_working_set_bytes 10 ${AT_MS}`,
    `pod_cpu_usage_seconds_total{namespace="shop",pod="web"} 1 ${AT_MS}`,
    `pod_memory_working_set_bytes{namespace="shop",pod="web"} 8 ${AT_MS}`,
    "resource_scrape_error 0",
    "scrape_error 0",
  ]);
});

Deno.test("a scrape that failed says so", () => {
  assertStringIncludes(renderResourceMetrics(undefined), "\nresource_scrape_error 1\n");
});
