/** The pod agent of a configured node, over the machine's parts and the node's memory. */
import { join, resolve } from "@std/path";
import { parseQuantity, wholeValue } from "../shared/k8s/quantity.ts";
import type { EdgeConfig } from "./config.ts";
import type { Memory } from "./memory.ts";
import type { NodeReporter } from "./node/node_reporter.ts";
import type { EdgePorts } from "./ports.ts";
import { POD_AGENT_DEFAULTS, PodAgent } from "./pods/agent.ts";
import type { EvictionSettings } from "./pods/eviction/evictor.ts";

export function buildAgent(
  config: EdgeConfig,
  { clock, runtime, host, mounter, cgroupDir }: EdgePorts,
  { ledger, records, events, intents, outbox }: Memory,
  { reporter, eviction }: { reporter: NodeReporter; eviction: EvictionSettings },
): PodAgent {
  return new PodAgent({
    ...POD_AGENT_DEFAULTS,
    runtime,
    ledger,
    records,
    events,
    siteActs: intents,
    prePullReports: {
      put: (job, result) =>
        outbox.put("status", `imageprepull/${job.uid}`, { kind: "image_prepull", job, result }),
      holds: (uid) => outbox.holds(`imageprepull/${uid}`),
    },
    clock,
    node: {
      name: config.nodeName,
      addresses: () => reporter.addresses(),
      allocatable: () => reporter.allocatable(),
      kubernetesApi: config.pods.kubernetesApi,
    },
    ...(config.pods.staticPath === "" ? {} : {
      staticPods: {
        dir: resolve(config.pods.staticPath),
        cacheFile: join(config.dataDir, "static-pods.json"),
      },
    }),
    dirs: {
      pods: join(config.dataDir, "pods"),
      podLogs: config.pods.logsDir,
      seccomp: join(config.dataDir, "seccomp"),
      cgroup: cgroupDir,
    },
    host,
    dns: { clusterDns: config.pods.clusterDns, clusterDomain: config.pods.clusterDomain },
    cgroupDriver: config.runtime.cgroupDriver,
    mounter,
    pullsMax: config.pods.serializeImagePulls ? 1 : POD_AGENT_DEFAULTS.pullsMax,
    logs: {
      bytesMax: wholeValue(parseQuantity(config.pods.containerLogMaxSize)),
      filesMax: config.pods.containerLogMaxFiles,
      linksDir: logLinksDir(config.pods),
    },
    imageGc: {
      highPercent: config.pods.imageGCHighThresholdPercent,
      lowPercent: config.pods.imageGCLowThresholdPercent,
    },
    eviction,
    podPidsLimit: config.node.podPidsLimit,
    unsafeSysctls: config.node.allowedUnsafeSysctls,
    endsFinally: config.shutdown.pods === "fail",
  });
}

/** A node whose pod logs were moved is not the only one here: it keeps out of the common folder. */
function logLinksDir({ containerLogsDir, logsDir }: EdgeConfig["pods"]): string {
  if (containerLogsDir === "off") return "";
  if (containerLogsDir !== "auto") return resolve(containerLogsDir);
  return resolve(logsDir) === "/var/log/pods" ? "/var/log/containers" : "";
}
