/**
 * The node's usage as kubelet's stats summary. Nothing runs while nobody asks: each question looks
 * once at the runtime and at the kernel, and those who ask at the same moment share one look. A
 * runtime that is away or cannot count is no reason to say nothing: the kernel's files are left.
 */
import { type Clock, toMicroTime } from "../../../shared/clock.ts";
import { errorChain, isAppError } from "../../../shared/errors.ts";
import type {
  ContainerStats as CriContainerStats,
  PodSandboxStats,
} from "../../../shared/gen/runtime/v1/api_pb.ts";
import type { FsStats, Summary } from "../../../shared/k8s/stats_summary.ts";
import type { Pod } from "../../../shared/k8s/types.ts";
import { roomLogger } from "../../../shared/log.ts";
import type { ContainerRuntime } from "../../cri/port.ts";
import { type CgroupReader, cgroupReader } from "./cgroup_usage.ts";
import { FolderSizes } from "./folder_sizes.ts";
import { type FsRoom, wholeFs } from "./from_cri.ts";
import type { ReadText } from "./machine_usage.ts";
import { type NodeRooms, nodeStats } from "./node_stats.ts";
import { type PodDisk, podStats, runsOf } from "./pod_stats.ts";
import { CpuRates } from "./rates.ts";

export interface StatsOptions {
  nodeName: string;
  runtime: Pick<ContainerRuntime, "listContainerStats" | "listPodSandboxStats" | "imageFsInfo">;
  /** Pods of this node, with their status. */
  pods: () => readonly Pod[];
  podCgroup: (pod: Pod) => string;
  podDir: (uid: string) => string;
  podLogDir: (pod: Pod) => string;
  dataDir: string;
  cgroupDir: string;
  cgroupV2: boolean;
  clock: Clock;
  residentBytes: () => number;
  /** Size and room of a file system; without it nothing is said of disks. */
  diskUse?: (path: string) => Promise<Partial<FsRoom> & FsSize>;
  /** For tests: the kernel's files. */
  read?: ReadText;
}

type FsSize = Pick<FsRoom, "capacityBytes" | "availableBytes">;

/** Where all pods lie, with either cgroup driver. */
const PODS_CGROUPS = ["/kubepods", "/kubepods.slice"];
/** Longer than any healthy runtime takes; the callers wait for it. */
const RUNTIME_MS = 10_000;

export class Stats {
  readonly #options: StatsOptions;
  readonly #log = roomLogger("edge", "node", "stats");
  readonly #rates = new CpuRates();
  readonly #sizes: FolderSizes;
  readonly #cgroups: CgroupReader;
  readonly #read: ReadText;
  /** It stays where it is while the runtime runs. */
  #imageMountpoint: string | undefined;
  readonly #asked = new Map<boolean, Promise<Summary>>();

  constructor(options: StatsOptions) {
    this.#options = options;
    this.#sizes = new FolderSizes(options.clock);
    this.#read = options.read ?? readText;
    this.#cgroups = cgroupReader(
      (path) => this.#read(options.cgroupDir + path),
      options.cgroupV2,
    );
  }

  /** `onlyCpuAndMemory` leaves out everything that must be measured on disk. */
  summary(onlyCpuAndMemory: boolean): Promise<Summary> {
    const asked = this.#asked.get(onlyCpuAndMemory) ??
      this.#look(onlyCpuAndMemory).finally(() => this.#asked.delete(onlyCpuAndMemory));
    this.#asked.set(onlyCpuAndMemory, asked);
    return asked;
  }

  /** Room on the file system images lie on, by one cheap call; undefined while it is not known. */
  async imageFs(): Promise<FsStats | undefined> {
    this.#imageMountpoint ??= await this.#askImageMountpoint(AbortSignal.timeout(RUNTIME_MS));
    const room = this.#imageMountpoint && await this.#roomOrNone(this.#imageMountpoint);
    if (!room) return undefined;
    return wholeFs(room, toMicroTime(this.#options.clock.nowMs()));
  }

  async #askImageMountpoint(signal: AbortSignal): Promise<string | undefined> {
    const { runtime } = this.#options;
    const call = runtime.imageFsInfo(signal).then(({ imageFilesystems }) => imageFilesystems);
    const [info] = await this.#orNone(call);
    return info?.fsId?.mountpoint || undefined;
  }

  async #look(onlyCpuAndMemory: boolean): Promise<Summary> {
    const { clock, nodeName, podCgroup, residentBytes } = this.#options;
    const signal = AbortSignal.timeout(RUNTIME_MS);
    const { containers, sandboxes } = await this.#askRuntime(signal);
    const rooms = onlyCpuAndMemory
      ? { node: undefined, images: undefined }
      : await this.#rooms(signal);
    const nowMs = clock.nowMs();
    const shared = { nowMs, rates: this.#rates, cgroups: this.#cgroups };
    const disk = onlyCpuAndMemory ? {} : { disk: this.#disk(rooms, signal) };
    const context = { ...shared, containers, sandboxes, podCgroup, ...disk };
    const pods = [];
    for (const pod of this.#options.pods()) {
      if (runsOf(pod).length > 0) pods.push(await podStats(pod, context));
    }
    const sources = {
      nodeName,
      read: this.#read,
      podsCgroups: PODS_CGROUPS,
      residentBytes,
      ...shared,
    };
    const node = await nodeStats(sources, rooms, nowMs);
    this.#rates.turn();
    this.#sizes.sweep();
    return { node, pods };
  }

  /** Two calls for all there is; the runtime that fails one has no figures of that kind. */
  async #askRuntime(signal: AbortSignal): Promise<{
    containers: Map<string, CriContainerStats>;
    sandboxes: Map<string, PodSandboxStats>;
  }> {
    const { runtime } = this.#options;
    const [containers, sandboxes] = await Promise.all([
      this.#orNone(runtime.listContainerStats({}, signal)),
      this.#orNone(runtime.listPodSandboxStats({}, signal)),
    ]);
    return {
      containers: new Map(containers.map((each) => [each.attributes?.id ?? "", each])),
      sandboxes: new Map(sandboxes.map((each) => [each.attributes?.metadata?.uid ?? "", each])),
    };
  }

  async #orNone<T>(call: Promise<T[]>): Promise<T[]> {
    try {
      return await call;
    } catch (error) {
      if (!isAppError(error)) throw error;
      this.#log.debug("The runtime gives no stats", { error: errorChain(error) });
      return [];
    }
  }

  async #rooms(signal: AbortSignal): Promise<NodeRooms> {
    const { dataDir, runtime } = this.#options;
    const [node, infos] = await Promise.all([
      this.#roomOrNone(dataDir),
      this.#orNone(runtime.imageFsInfo(signal).then(({ imageFilesystems }) => imageFilesystems)),
    ]);
    const [info] = infos;
    if (!info) return { node, images: undefined };
    const mountpoint = info.fsId?.mountpoint;
    const room = mountpoint ? await this.#roomOrNone(mountpoint) : undefined;
    const usedBytes = Number(info.usedBytes?.value ?? 0n);
    const inodesUsed = Number(info.inodesUsed?.value ?? 0n);
    return { node, images: { room, usedBytes, inodesUsed } };
  }

  async #roomOrNone(path: string): Promise<FsRoom | undefined> {
    try {
      const use = await this.#options.diskUse?.(path);
      return use && { freeBytes: use.availableBytes, inodes: 0, inodesFree: 0, ...use };
    } catch {
      return undefined; // a file system that cannot be asked has no figures
    }
  }

  #disk(rooms: NodeRooms, signal: AbortSignal): PodDisk {
    const { podDir, podLogDir } = this.#options;
    const imageRoom = rooms.images?.room;
    return { sizes: this.#sizes, podDir, podLogDir, nodeRoom: rooms.node, imageRoom, signal };
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch {
    return ""; // not there on this machine, or not for us to read: the figure stays unknown
  }
}
