/**
 * All controllers of the cloud over one set of caches. `desired` and `sink` are what the hub needs;
 * `attachSessions` closes the circle, because the hub is built from them. Start order:
 *
 *     new Controllers -> new hub(desired, sink) -> attachSessions -> run -> ready -> hub serves
 */
import { TaskScope } from "../../shared/async/task_scope.ts";
import { Changes } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { type GroupVersionResource, GVR } from "../../shared/k8s/gvr.ts";
import type { Device, DeviceModel } from "../../shared/k8s/devices.ts";
import type { ImagePrePullJob } from "../../shared/k8s/prepull.ts";
import type { ConfigMap, KubeObject, Node, Pod, Secret } from "../../shared/k8s/types.ts";
import type { Random } from "../../shared/random.ts";
import type { Store } from "../../shared/store/port.ts";
import type { DesiredSource, NodeSessions, ReportSink, SessionInfo } from "../hub/port.ts";
import type { KubeClient } from "../kube/port.ts";
import { DeltaCache } from "./delta_cache.ts";
import { DevicePlacement } from "./device_placement.ts";
import { DeviceReports } from "./device_reports.ts";
import { DeviceReview } from "./device_review.ts";
import { EventRecorder } from "./events.ts";
import { LeaseKeeper } from "./leases.ts";
import type { LossGuard } from "./loss_guard.ts";
import { MirrorPods } from "./mirror_pods.ts";
import { NamespaceLifecycle } from "./namespace_lifecycle.ts";
import { NodeLifecycle } from "./node_lifecycle.ts";
import { PodGc } from "./pod_gc.ts";
import type { FollowResource, NamespacedResources, ObjectCache, PodTokenIssuer } from "./port.ts";
import { PrePullJobs } from "./prepull_jobs.ts";
import { Projector } from "./projector.ts";
import { KubeReportSink } from "./report_sink.ts";
import { Scheduler } from "./scheduler.ts";
import { ServiceAccounts } from "./service_accounts.ts";
import { SiteIntents } from "./site_intents.ts";
import { VolumeBinder } from "./volume_binder.ts";

export interface ControllerSettings {
  /** `remote`: a real cluster, which schedules, collects pods and ends namespaces by itself. */
  cluster: "embedded" | "remote";
  /** From the end of a session to Ready=Unknown. */
  nodeGraceMs: number;
  /** From the start of the cloud to Ready=Unknown for nodes that have not come back since. */
  startGraceMs: number;
  leaseRenewMs: number;
  /** How long a node object must be missing before its pods are removed. */
  orphanQuarantineMs: number;
  /** Ended pods kept before the oldest are removed. */
  terminatedPodsMax: number;
  /** Deleted pods one absent node may leave waiting: twice what a node runs by default. */
  terminatingPodsMax: number;
}

export const CONTROLLER_DEFAULTS: ControllerSettings = {
  cluster: "embedded",
  nodeGraceMs: 10_000,
  startGraceMs: 40_000,
  leaseRenewMs: 10_000,
  orphanQuarantineMs: 40_000,
  terminatedPodsMax: 12_500,
  terminatingPodsMax: 220,
};

export interface ControllersOptions {
  kube: KubeClient;
  store: Store;
  clock: Clock;
  random: Random;
  /** Makes an informer: `(gvr) => new Informer(kube, gvr, { clock, random })`. */
  follow: FollowResource;
  /** What a namespace is emptied of; without it the kinds the controllers know. */
  namespacedResources?: NamespacedResources;
  sessions?: NodeSessions;
  /** Spares what nodes hold and a damaged store may have lost. */
  lossGuard?: LossGuard;
  /** With it pods get the tokens they ask for, and namespaces what goes with them. */
  serviceAccounts?: { issuer: PodTokenIssuer; caCertificate: string };
  settings?: Partial<ControllerSettings>;
}

const KNOWN_NAMESPACED: readonly GroupVersionResource[] = [
  GVR.pods,
  GVR.configmaps,
  GVR.secrets,
  { group: "", version: "v1", resource: "services" },
  { group: "", version: "v1", resource: "endpoints" },
  GVR.serviceAccounts,
  GVR.claims,
  GVR.leases,
  GVR.events,
  GVR.devices,
  GVR.deviceModels,
];

export class Controllers {
  readonly #sessions = new LateSessions();
  readonly #projector: Projector;
  readonly #sink: ReportSink;
  readonly #tasks: [name: string, run: (signal: AbortSignal) => Promise<void>][] = [];

  constructor(options: ControllersOptions) {
    const { kube, clock, random, store, follow } = options;
    const settings = { ...CONTROLLER_DEFAULTS, ...options.settings };
    if (options.sessions) this.attachSessions(options.sessions);
    const pods = this.#cache(new DeltaCache<Pod>(follow<Pod>(GVR.pods)), "pods");
    const nodes = this.#cache(new DeltaCache<Node>(follow<Node>(GVR.nodes)), "nodes");
    const configmaps = this.#cache(
      new DeltaCache<ConfigMap>(follow<ConfigMap>(GVR.configmaps)),
      "configmaps",
    );
    const secrets = this.#cache(new DeltaCache<Secret>(follow<Secret>(GVR.secrets)), "secrets");
    const devices = this.#cache(new DeltaCache<Device>(follow<Device>(GVR.devices)), "devices");
    const models = this.#cache(
      new DeltaCache<DeviceModel>(follow<DeviceModel>(GVR.deviceModels)),
      "device models",
    );
    const follows = (gvr: GroupVersionResource) =>
      this.#cache(new DeltaCache<KubeObject>(follow<KubeObject>(gvr)), gvr.resource);
    const storage = { claims: follows(GVR.claims), volumes: follows(GVR.volumes) };
    const accounts = options.serviceAccounts ? { accounts: follows(GVR.serviceAccounts) } : {};
    const runtimeClasses = follows(GVR.runtimeClasses);
    const named = { configmaps, secrets, runtimeClasses, ...storage, ...accounts };
    const sessions = this.#sessions;
    const prePullJobs = this.#cache(
      new DeltaCache<ImagePrePullJob>(follow<ImagePrePullJob>(GVR.imagePrePullJobs)),
      "pre-pull jobs",
    );
    this.#projector = new Projector({
      caches: { nodes, pods, devices, models, prePullJobs, ...named },
      store,
      clock,
      random,
      ...(options.lossGuard ? { lossGuard: options.lossGuard } : {}),
      ...(options.serviceAccounts ? { tokenIssuer: options.serviceAccounts.issuer } : {}),
    });
    const intents = new SiteIntents({ kube, clock });
    const mirrors = new MirrorPods({ kube, pods, nodes, clock });
    this.#add("mirror pods", mirrors);
    const deviceReports = new DeviceReports({ kube, devices });
    const prePulls = new PrePullJobs({ kube, jobs: prePullJobs, nodes, clock });
    this.#add("pre-pull jobs", prePulls);
    const reported = { kube, pods, nodes, intents, mirrors, deviceReports, prePulls };
    this.#sink = new KubeReportSink(reported);
    this.#add("projector", this.#projector);
    const events = new EventRecorder(kube, clock, random, "node-controller");
    const { nodeGraceMs, startGraceMs, leaseRenewMs } = settings;
    const common = { kube, pods, nodes, sessions, events, clock };
    this.#add("node lifecycle", new NodeLifecycle({ ...common, nodeGraceMs, startGraceMs }));
    this.#add("leases", new LeaseKeeper({ ...common, leaseRenewMs }));
    this.#add("device placement", new DevicePlacement({ kube, devices, nodes }));
    if (settings.cluster === "remote") return;
    const deviceEvents = new EventRecorder(kube, clock, random, "device-controller");
    const review = new DeviceReview({ kube, devices, models, events: deviceEvents, clock });
    this.#add("device review", review);
    const bindable = { ...storage, classes: follows(GVR.storageClasses) };
    this.#add(
      "scheduler",
      new Scheduler({ kube, pods, nodes, clock, random, storage: bindable }),
    );
    this.#add("volume binder", new VolumeBinder({ kube, pods, nodes, clock, ...bindable }));
    const isLive = (node: string) => sessions.get(node) !== undefined;
    const { orphanQuarantineMs: quarantineMs, terminatedPodsMax, terminatingPodsMax } = settings;
    const bounds = { quarantineMs, terminatedPodsMax, terminatingPodsMax };
    const guard = options.lossGuard ? { lossGuard: options.lossGuard } : {};
    this.#add("pod gc", new PodGc({ ...common, isLive, ...guard, ...bounds }));
    this.#addNamespaces(options, { configmaps, ...accounts });
  }

  #addNamespaces(
    options: ControllersOptions,
    { configmaps, accounts }: {
      configmaps: ObjectCache<ConfigMap>;
      accounts?: ObjectCache<KubeObject>;
    },
  ): void {
    const { kube, clock, follow } = options;
    const namespaces = this.#cache(
      new DeltaCache<KubeObject>(follow<KubeObject>(GVR.namespaces)),
      "namespaces",
    );
    if (options.serviceAccounts && accounts) {
      const { caCertificate } = options.serviceAccounts;
      const parts = { kube, namespaces, accounts, configmaps, clock };
      this.#add("service accounts", new ServiceAccounts({ ...parts, caCertificate }));
    }
    const resources = options.namespacedResources ?? (() => Promise.resolve(KNOWN_NAMESPACED));
    this.#add("namespaces", new NamespaceLifecycle({ kube, namespaces, resources, clock }));
  }

  get desired(): DesiredSource {
    return this.#projector;
  }

  get sink(): ReportSink {
    return this.#sink;
  }

  /** Gives the controllers the hub's sessions; once, before `run`. */
  attachSessions(sessions: NodeSessions): void {
    this.#sessions.attach(sessions);
  }

  /** Resolves when every projection is served; the hub may take sessions from then on. */
  ready(signal: AbortSignal): Promise<void> {
    return this.#projector.ready(signal);
  }

  /** Runs everything until `signal` aborts; rejects when a controller fails for good. */
  async run(signal: AbortSignal): Promise<void> {
    const scope = new TaskScope(signal);
    for (const [name, run] of this.#tasks) scope.spawn(name, run);
    await scope.join();
  }

  #add(name: string, controller: { run(signal: AbortSignal): Promise<void> }): void {
    this.#tasks.push([name, (signal) => controller.run(signal)]);
  }

  #cache<C extends { run(signal: AbortSignal): Promise<void> }>(cache: C, name: string): C {
    this.#add(`cache of ${name}`, cache);
    return cache;
  }
}

/** The hub's sessions once there is a hub; none before. */
class LateSessions implements Pick<NodeSessions, "get" | "list" | "subscribe"> {
  readonly #changes = new Changes();
  #sessions: NodeSessions | undefined;

  attach(sessions: NodeSessions): void {
    this.#sessions = sessions;
    sessions.subscribe(() => this.#changes.notify()); // for the life of both
    this.#changes.notify();
  }

  get(node: string): SessionInfo | undefined {
    return this.#sessions?.get(node);
  }

  list(): SessionInfo[] {
    return this.#sessions?.list() ?? [];
  }

  subscribe(listener: () => void): () => void {
    return this.#changes.subscribe(listener);
  }
}
