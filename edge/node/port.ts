/** What the node's account of itself needs from the rest of the edge; edge/app.ts hands it over. */

/** How the container runtime is; the pod agent watches it. */
export interface RuntimeHealth {
  /** Reachable, and its RuntimeReady condition true. */
  ready: boolean;
  /** What is not well, in kubelet's words where the runtime gave them. */
  message?: string;
  /** "containerd" */
  name?: string;
  /** "1.6.20" */
  version?: string;
  network: { ready: boolean; message?: string };
}

/** The machine as it is now. Sizes are of the machine, not of this process. */
export interface MachineFacts {
  /** Kubernetes' word: "amd64", "arm64", "arm". */
  architecture: string;
  kernelVersion: string;
  osImage: string;
  machineId: string;
  systemUuid: string;
  bootId: string;
  cpus: number;
  memoryBytes: number;
  memoryAvailableBytes: number;
  /** The file system the node's data lies on. */
  disk: { totalBytes: number; availableBytes: number; inodes: number; inodesFree: number };
  pids: { max: number; used: number };
  /** Addresses others reach the node by, the best first; empty without any network. */
  addresses: readonly string[];
}
