/** A machine, a runtime and a name for tests. */
import type { NodeIdentity } from "../node_object.ts";
import type { MachineFacts, RuntimeHealth } from "../port.ts";

export const MACHINE: MachineFacts = {
  architecture: "arm64",
  kernelVersion: "6.1.0",
  osImage: "Debian GNU/Linux 12 (bookworm)",
  machineId: "m",
  systemUuid: "s",
  bootId: "b",
  cpus: 4,
  memoryBytes: 4 * 1024 ** 3,
  memoryAvailableBytes: 1024 ** 3,
  disk: { totalBytes: 10_000_000_000, availableBytes: 5e9, inodes: 1000, inodesFree: 900 },
  pids: { max: 32_768, used: 300 },
  addresses: ["192.0.2.5", "2001:db8::5"],
};
export const RUNTIME: RuntimeHealth = {
  ready: true,
  name: "containerd",
  version: "1.6.20",
  network: { ready: true },
};
export const IDENTITY: NodeIdentity = {
  name: "n1",
  labels: { site: "plant-7" },
  taints: [{ key: "site", effect: "NoSchedule" }],
  podsMax: 110,
};
