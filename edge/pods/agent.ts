/**
 * The pod agent: kubelet's work on CRI, wired from its parts. It makes what the ledger desires true
 * in the runtime, records what became of it, and hands the local API its view of the pods. Stopping
 * the agent stops no container; starting it again adopts them.
 */
import { resolve } from "@std/path";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { Changes } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Pod } from "../../shared/k8s/types.ts";
import type { LocalPods } from "../api/port.ts";
import type { ContainerRuntime } from "../cri/port.ts";
import type { EventLog, Ledger, PodRecords } from "../meta/port.ts";
import { Admissions } from "./admission.ts";
import { AgentLedger } from "./agent_ledger.ts";
import { type CgroupDriver, cgroupParent, type HostFacts } from "./cgroup.ts";
import { SystemdSlices } from "./cgroup_slices.ts";
import { ContainerStarter } from "./container_starter.ts";
import { ContainerStopper } from "./container_stopper.ts";
import type { DnsSettings } from "./dns.ts";
import { PodExecutor } from "./executor.ts";
import { Gate } from "./gate.ts";
import { Hooks } from "./hooks.ts";
import { type EvictionSettings, Evictor } from "./eviction/evictor.ts";
import { removeDeadContainers } from "./eviction/remove_dead.ts";
import type { Pressure } from "./eviction/thresholds.ts";
import { EmptyDirLimits } from "./housekeeping/empty_dir_limits.ts";
import { Housekeeper } from "./housekeeping/housekeeper.ts";
import { ImageGc } from "./housekeeping/image_gc.ts";
import { kernelRefusal } from "./kernel_admission.ts";
import { LogLinks } from "./housekeeping/log_links.ts";
import { type LogLimits, LogRotation } from "./housekeeping/log_rotation.ts";
import type { DiskUse, ImageGcThresholds } from "./housekeeping/plan_image_gc.ts";
import { Images } from "./images.ts";
import { AgentPods } from "./local_pods.ts";
import { NodeView } from "./node_view.ts";
import { RuntimeObserver } from "./observer.ts";
import { PodCgroups } from "./pod_cgroups.ts";
import { PodEvents } from "./pod_events.ts";
import { NoSiteActs, type PrePullReports, type SiteActs } from "./port.ts";
import { PodShutdown } from "./pod_shutdown.ts";
import { nodeUse } from "./prepull/node_use.ts";
import { PrePuller } from "./prepull/pre_puller.ts";
import { Checker } from "./probes/checker.ts";
import { type NetworkChecks, systemNetworkChecks } from "./probes/network_checks.ts";
import { Prober } from "./probes/prober.ts";
import { Reconciler } from "./reconciler.ts";
import { type RuntimeState, RuntimeWatch } from "./runtime_watch.ts";
import { StaticFolder } from "./static_pods/static_folder.ts";
import type { Mounter } from "./volumes/mounter.ts";
import { PodVolumes } from "./volumes/pod_volumes.ts";

export interface PodAgentOptions {
  runtime: ContainerRuntime;
  ledger: Ledger;
  records: PodRecords;
  events: EventLog;
  /** What people at the site asked for; nothing when left out. */
  siteActs?: SiteActs;
  /** Where results of pre-pull jobs go; without it none is done. */
  prePullReports?: PrePullReports;
  /** Pods this machine runs from files of its own; none when left out. */
  staticPods?: {
    /** Absolute. */
    dir: string;
    /** Where the last good files are kept. */
    cacheFile: string;
  };
  clock: Clock;
  node: {
    name: string;
    /** Addresses of the host, the preferred one first. */
    addresses: () => readonly string[];
    /** The node's allocatable resources, as in its status; {} admits every pod. */
    allocatable: () => Readonly<Record<string, string>>;
    /** Where pods reach the Kubernetes API, HOST:PORT; nowhere when left out. */
    kubernetesApi?: string;
  };
  dirs: {
    /** Volumes and small files of pods, one folder per uid. Absolute. */
    pods: string;
    /** Log folders, by default /var/log/pods. Absolute. */
    podLogs: string;
    /** Profiles that `Localhost` seccomp names. */
    seccomp: string;
    /** Where the kernel shows cgroups: /sys/fs/cgroup. */
    cgroup: string;
  };
  /** As read from this machine by `readHost`. */
  host: HostFacts & {
    dns: DnsSettings;
    hostsFile: string;
    /** Size and space of the file system a path lies on; without it no image is collected. */
    diskUse?: (path: string) => Promise<DiskUse>;
    hasAppArmor?: boolean;
  };
  /** Kernel parameters pods may set besides the safe ones. */
  unsafeSysctls?: readonly string[];
  dns: { clusterDns: readonly string[]; clusterDomain: string };
  cgroupDriver: CgroupDriver | "auto";
  mounter: Mounter;
  /** Pulls at once; 1 is kubelet's serial pulling. */
  pullsMax: number;
  /** Pods the runtime works for at once. */
  podsAtOnceMax: number;
  /** How often the runtime is listed when it tells no events. */
  scanMs: number;
  /** When logs are rotated, and how many files are kept. */
  logs: LogLimits & {
    /** Where collectors look for logs; "" for no links. Absolute. */
    linksDir: string;
  };
  imageGc: ImageGcThresholds;
  /** Processes a pod may have; as many as it likes when left out. */
  podPidsLimit?: number;
  /** When pods give way to a shortage of the node; never when left out. */
  eviction?: EvictionSettings;
  /** Pods ended by a shutdown of the machine are Failed; they run again when left out. */
  endsFinally?: boolean;
  /** How probes and hooks reach the network; tests have none. */
  network?: NetworkChecks;
}

/** What suits a node; tests and odd runtimes differ. */
export const POD_AGENT_DEFAULTS = {
  cgroupDriver: "auto",
  pullsMax: 3,
  podsAtOnceMax: 8,
  scanMs: 1_000,
  logs: { bytesMax: 10 * 1024 * 1024, filesMax: 5, linksDir: "" },
  imageGc: { highPercent: 85, lowPercent: 80 },
} as const;

export class PodAgent {
  /** Notified when a pod's status or the runtime's state has changed. */
  readonly changes = new Changes();
  /** Notified when the node itself is told of otherwise: the runtime's state, or a shortage. */
  readonly nodeChanges = new Changes();
  readonly localPods: LocalPods;
  /** For whoever takes the machine down. */
  readonly shutdown: PodShutdown;
  readonly #watch: RuntimeWatch;
  readonly #reconciler: Reconciler;
  readonly #prober: Prober;
  readonly #housekeeper: Housekeeper;
  readonly #evictor: Evictor | undefined;
  readonly #slices = new SystemdSlices();
  readonly #statics: StaticFolder | undefined;
  readonly #prePuller: PrePuller | undefined;

  constructor(options: PodAgentOptions) {
    const { runtime, records, clock } = options;
    this.#statics = staticFolder(options);
    const ledger = new AgentLedger(options.ledger, this.#statics);
    const dirs = absolute(options.dirs);
    const notify = () => this.changes.notify();
    const notifyNode = () => {
      this.nodeChanges.notify();
      notify();
    };
    const events = new PodEvents(options.events);
    const watch = new RuntimeWatch(runtime, options.cgroupDriver);
    const node = nodeView({ ...options, ledger }, dirs, watch);
    const volumes = new PodVolumes(dirs.pods, options.mounter);
    const images = new Images({ runtime, events, clock, pullsMax: options.pullsMax });
    const observer = new RuntimeObserver(runtime, options.node.name, clock);
    const links = new LogLinks(options.logs.linksDir, dirs.podLogs);
    const network = options.network ?? systemNetworkChecks;
    const cgroups = podCgroups({ ...options, ledger }, watch, this.#slices);
    this.#prober = new Prober({
      checker: new Checker(runtime, network, clock),
      events,
      clock,
      onChange: (uid) => this.#reconciler.touch(uid),
    });
    const onVerdict = (uid: string) => this.#reconciler.touch(uid);
    const emptyDirLimits = limitsOfEmptyDirs(ledger, volumes, onVerdict);
    const imageGc = imageCollector({ ...options, ledger });
    this.#housekeeper = housekeeper(options, { links, observer, watch, emptyDirLimits, imageGc });
    this.#prePuller = prePuller(options, images, imageGc);
    this.#watch = watch;
    this.#reconciler = new Reconciler({
      runtime,
      ledger,
      records,
      clock,
      events,
      observer,
      executor: podExecutor(options, { events, node, volumes, images, network, links, cgroups }),
      volumes,
      images,
      prober: this.#prober,
      emptyDirLimits,
      ...this.#judges(options),
      siteActs: options.siteActs ?? new NoSiteActs(),
      node,
      watch,
      cgroups,
      scanMs: options.scanMs,
      onRecorded: notify,
      onRuntimeChange: notifyNode,
      staticsSettled: () => this.#statics?.settled ?? true,
    });
    this.localPods = new AgentPods({
      ledger,
      records,
      changes: this.changes,
      runtime,
      podLogsDir: dirs.podLogs,
      retryInMs: (uid) => this.#reconciler.retryInMs(uid),
    });
    this.shutdown = new PodShutdown({
      pods: () => this.localPods.list(),
      isFinal: options.endsFinally ?? false,
      onVerdict: (uid) => this.#reconciler.touch(uid),
    });
    this.#evictor = this.#makeEvictor(options, imageGc);
  }

  /** Who decides, besides its own containers, whether a pod may run here. */
  #judges({ node, host, unsafeSysctls = [] }: PodAgentOptions) {
    const rules = { unsafeSysctls, hasAppArmor: host.hasAppArmor ?? false };
    return {
      verdicts: {
        verdict: (pod: Pod) =>
          this.#evictor?.verdict(pod.metadata.uid ?? "") ?? this.shutdown.verdict(pod),
        hold: (pod: Pod) => this.shutdown.hold(pod),
      },
      admissions: new Admissions(
        node.allocatable,
        (pod) =>
          kernelRefusal(pod, rules) ?? this.shutdown.refusal() ?? this.#evictor?.refusal(pod),
      ),
    };
  }

  #makeEvictor(options: PodAgentOptions, imageGc: ImageGc): Evictor | undefined {
    const { eviction, runtime, clock } = options;
    return eviction && new Evictor({
      ...eviction,
      clock,
      pods: () => this.localPods.list(),
      reclaimDisk: async (signal) => {
        await removeDeadContainers(runtime, this.localPods.list(), signal);
        await imageGc.removeUnused(signal);
      },
      tellNode: (reason, message) => tellNode(options, reason, message),
      onVerdict: (uid) => this.#reconciler.touch(uid),
      onPressure: () => {
        this.nodeChanges.notify();
        this.changes.notify();
      },
    });
  }

  /** Works until `signal` aborts; leaves every container running. */
  async run(signal: AbortSignal): Promise<void> {
    const scope = new TaskScope(signal);
    scope.spawn("pods", (s) => this.#reconciler.run(s));
    scope.spawn("probes", (s) => this.#prober.run(s));
    scope.spawn("housekeeping", (s) => this.#housekeeper.run(s));
    const evictor = this.#evictor;
    if (evictor) scope.spawn("eviction", (s) => evictor.run(s));
    const prePuller = this.#prePuller;
    if (prePuller) scope.spawn("pre-pulls", (s) => prePuller.run(s));
    const statics = this.#statics;
    if (statics) scope.spawn("static pods", (s) => statics.run(s));
    try {
      await scope.join();
    } finally {
      await this.#slices.close();
    }
  }

  /** Pods of this machine's own files; undefined before the files have been looked at. */
  staticPods(): readonly Pod[] | undefined {
    if (!this.#statics) return [];
    return this.#statics.settled ? this.#statics.pods() : undefined;
  }

  /** A session with the cloud has begun: it is told of the static pods anew. */
  cloudIsBack(): void {
    this.#reconciler.retellStatics();
  }

  runtimeState(): RuntimeState {
    return this.#watch.state;
  }

  /** What this node is short of; nothing where nobody looks. */
  pressures(): ReadonlySet<Pressure> {
    return this.#evictor?.pressures ?? new Set();
  }

  /** Where a pod's cgroup lies, as CRI writes a parent. */
  cgroupOf(pod: Pod): string {
    return cgroupParent(pod, this.#watch.cgroupDriver());
  }
}

/** The runtime takes these paths as they are, and it runs in another folder. */
function absolute(
  { pods, podLogs, seccomp }: PodAgentOptions["dirs"],
): { pods: string; podLogs: string; seccomp: string } {
  return { pods: resolve(pods), podLogs: resolve(podLogs), seccomp: resolve(seccomp) };
}

function staticFolder(
  { staticPods, node, clock, events }: PodAgentOptions,
): StaticFolder | undefined {
  return staticPods && new StaticFolder({ ...staticPods, nodeName: node.name, clock, events });
}

function prePuller(
  { prePullReports: reports, ledger, runtime, clock, host: { diskUse } }: PodAgentOptions,
  images: Images,
  imageGc: ImageGc,
): PrePuller | undefined {
  return reports && new PrePuller({
    ledger,
    images,
    reports,
    use: nodeUse({ runtime, clock, diskUse }),
    onPulled: (reference) => imageGc.noteUse(reference),
    clock,
  });
}

function limitsOfEmptyDirs(
  ledger: AgentLedger,
  volumes: PodVolumes,
  onVerdict: (uid: string) => void,
): EmptyDirLimits {
  return new EmptyDirLimits({
    desiredPods: () => ledger.list<Pod>("pods"),
    changes: ledger.changes,
    podDir: (uid) => volumes.podDir(uid),
    onVerdict,
  });
}

/** The hands of the agent: what starts and ends sandboxes and containers. */
function podExecutor(
  { runtime, clock, host, podsAtOnceMax }: PodAgentOptions,
  parts: {
    events: PodEvents;
    node: NodeView;
    volumes: PodVolumes;
    images: Images;
    network: NetworkChecks;
    links: LogLinks;
    cgroups: PodCgroups;
  },
): PodExecutor {
  const { events } = parts;
  const gate = new Gate(podsAtOnceMax);
  const hooks = new Hooks(runtime, parts.network, clock);
  const stopper = new ContainerStopper({ runtime, events, hooks, clock });
  const { hostsFile } = host;
  const starter = new ContainerStarter({ runtime, ...parts, gate, hooks, stopper, hostsFile });
  return new PodExecutor({ runtime, clock, ...parts, starter, stopper, gate });
}

function housekeeper(
  { runtime, clock, logs }: PodAgentOptions,
  { links, observer, watch, emptyDirLimits, imageGc }: {
    links: LogLinks;
    observer: RuntimeObserver;
    watch: RuntimeWatch;
    emptyDirLimits: EmptyDirLimits;
    imageGc: ImageGc;
  },
): Housekeeper {
  return new Housekeeper({
    clock,
    rotation: new LogRotation(runtime, clock, logs),
    links,
    emptyDirLimits,
    imageGc,
    runningLogs: () => observer.runningLogs(),
    isRuntimeReady: () => watch.state.ready,
  });
}

function podCgroups(
  { dirs, host, ledger, podPidsLimit = -1 }: PodAgentOptions,
  watch: RuntimeWatch,
  slices: SystemdSlices,
): PodCgroups {
  return new PodCgroups({
    root: dirs.cgroup,
    isV2: host.cgroupV2,
    driver: () => watch.cgroupDriver(),
    slices,
    pidsMax: podPidsLimit,
    pageSizes: host.pageSizes ?? [],
    pods: () => ledger.list<Pod>("pods"),
  });
}

function imageCollector(
  { runtime, ledger, events, clock, node, imageGc, host }: PodAgentOptions,
): ImageGc {
  return new ImageGc({
    runtime,
    events,
    clock,
    nodeName: node.name,
    thresholds: imageGc,
    diskUse: host.diskUse,
    desiredPods: () => ledger.list<Pod>("pods"),
  });
}

/** An event of the node itself. */
function tellNode(
  { events, node: { name } }: PodAgentOptions,
  reason: string,
  message: string,
): Promise<void> {
  const involvedObject = { apiVersion: "v1", kind: "Node", name, uid: name };
  return events.record({ involvedObject, type: "Warning", reason, message });
}

function nodeView(
  options: PodAgentOptions,
  dirs: { podLogs: string; seccomp: string },
  watch: RuntimeWatch,
): NodeView {
  return new NodeView({
    ledger: options.ledger,
    name: options.node.name,
    addresses: options.node.addresses,
    allocatable: options.node.allocatable,
    kubernetesApi: options.node.kubernetesApi ?? "",
    podLogsDir: dirs.podLogs,
    seccompDir: dirs.seccomp,
    host: options.host,
    dns: { ...options.dns, host: options.host.dns },
    cgroupDriver: () => watch.cgroupDriver(),
    networkProblem: () => watch.networkProblem(),
  });
}
