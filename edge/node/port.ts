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
  /** What each handler can do, and the runtime as a whole; where it tells. */
  handlers?: readonly RuntimeHandler[];
  features?: { supplementalGroupsPolicy: boolean };
}

export interface RuntimeHandler {
  name: string;
  features: { recursiveReadOnlyMounts: boolean; userNamespaces: boolean };
}

/** An image on the node, as its status lists it. */
export interface NodeImage {
  names: string[];
  sizeBytes: number;
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
  /** Bytes of huge pages there are, by page size as Kubernetes writes it ("2Mi"). */
  hugepages?: Readonly<Record<string, number>>;
  /** Addresses others reach the node by, the best first; empty without any network. */
  addresses: readonly string[];
}

/** Pods as one who takes the machine down ends them; edge/pods does it. */
export interface EndablePods {
  /** Stops the pods of a class, each with at most so much grace; new ones are refused. */
  end(which: PodClass, graceSeconds: number): void;
  /** True when nothing of that class runs any more. */
  haveEnded(which: PodClass): boolean;
  /** The machine stays up after all. */
  resume(): void;
}

export type PodClass = "ordinary" | "critical";
