/**
 * Composition root of the edge: the only file that builds everything. The store is opened first and
 * closed last; everything else may be killed at any await. Nothing here waits for the cloud or for
 * the container runtime: a node whose link is down, whose runtime is away or whose certificate is
 * damaged still serves its local API and says what is wrong.
 */
import { isAbsolute, join, resolve } from "@std/path";
import { removeAddresses, writeAddresses } from "../shared/addresses.ts";
import { TaskScope } from "../shared/async/task_scope.ts";
import { withResources } from "../shared/async/with_resources.ts";
import { Changes } from "../shared/async/wakeup.ts";
import type { Clock } from "../shared/clock.ts";
import { formatAddress, parseAddress } from "../shared/config.ts";
import { AppError, errorChain } from "../shared/errors.ts";
import { roomLogger } from "../shared/log.ts";
import type { Random } from "../shared/random.ts";
import { DenoDisk } from "../shared/store/deno_disk.ts";
import { type DurableStore, openStore } from "../shared/store/durable_store.ts";
import { VERSION } from "../shared/version.ts";
import { createLocalApi, type LocalApi } from "./api/app.ts";
import type { EdgeConfig } from "./config.ts";
import { GrpcRuntime } from "./cri/grpc_runtime.ts";
import { EdgeFactsView } from "./edge_facts.ts";
import { readIdentity, writeCertificate } from "./identity_files.ts";
import { Link } from "./link/link.ts";
import { DurableEventLog } from "./meta/event_log.ts";
import { DurableLedger } from "./meta/ledger.ts";
import { DurableOutbox } from "./meta/outbox.ts";
import { DurablePodRecords } from "./meta/pod_records.ts";
import { Machine } from "./node/machine.ts";
import { NodeReporter } from "./node/node_reporter.ts";
import { POD_AGENT_DEFAULTS, PodAgent } from "./pods/agent.ts";
import { readHost } from "./pods/host.ts";
import { SystemMounter } from "./pods/volumes/mounter.ts";
import { trimAfterStart } from "./trim.ts";

export interface SystemPorts {
  clock: Clock;
  random: Random;
}

export interface EdgeSettings {
  config: EdgeConfig;
  /** Why the config file is not the one in use; shown, and nothing stops. */
  problem?: string;
}

export interface EdgeAddresses {
  api: string;
}

/** The durable memory of the node, all parts over one store. */
interface Memory {
  store: DurableStore;
  ledger: DurableLedger;
  outbox: DurableOutbox;
  records: DurablePodRecords;
  events: DurableEventLog;
}

const log = roomLogger("edge");

/** Runs until `signal` aborts; `onReady` is told the addresses once the local API listens. */
export async function runEdge(
  settings: EdgeSettings,
  ports: SystemPorts,
  onReady: (addresses: EdgeAddresses) => void,
  signal: AbortSignal,
): Promise<void> {
  await withResources((stack) => serve({ settings, ports, onReady, signal }, stack));
}

interface Serving {
  settings: EdgeSettings;
  ports: SystemPorts;
  onReady: (addresses: EdgeAddresses) => void;
  signal: AbortSignal;
}

async function serve(
  { settings, ports, onReady, signal }: Serving,
  stack: AsyncDisposableStack,
): Promise<void> {
  const config = { ...settings.config, dataDir: absolute(settings.config.dataDir) };
  const { clock } = ports;
  const startedAtMs = clock.nowMs();
  const memory = await openMemory(config, ports);
  stack.defer(() => memory.store.close());
  const runtime = new GrpcRuntime(config.runtime.endpoint);
  stack.defer(() => runtime.close());
  const link = new LinkHolder();
  const { agent, reporter } = await buildNode(config, ports, memory, { runtime, link });
  const facts = new EdgeFactsView({
    config,
    configProblem: settings.problem,
    memory,
    startedAtMs,
    link: () => link.link,
    linkProblem: () => link.problem,
    runtime: () => agent.runtimeState(),
    node: () => reporter.node,
    clock,
  });
  const api = buildLocalApi(ports, { memory, agent, facts, link });
  const server = serveLocalApi(config.api.listen, api);
  stack.defer(() => server.close());
  await writeAddresses(config.dataDir, { api: `http://${server.address}` });
  stack.defer(() => removeAddresses(config.dataDir));

  const scope = stack.use(new TaskScope(signal));
  await link.open(() => buildLink(config, ports, memory, api));
  scope.spawn("link", (s) => link.run(s));
  scope.spawn("pods", (s) => agent.run(s));
  scope.spawn("node", (s) => reporter.run(s));
  scope.spawn("memory", (s) => trimAfterStart(clock, s));
  log.info("Edge runs", { node: config.nodeName, api: server.address });
  onReady({ api: `http://${server.address}` });
  await scope.join();
}

/**
 * The link, once there is one. It is made last, because its tunnel ends in the local API; who needs
 * it before looks here. A node whose identity cannot be read runs without, and says why.
 */
class LinkHolder {
  readonly changes = new Changes();
  link: Link | undefined;
  problem: string | undefined;

  async open(build: () => Promise<Link>): Promise<void> {
    try {
      this.link = await build();
    } catch (error) {
      this.problem = errorChain(error);
      log.error("Cannot use the node's identity", { error: this.problem });
    }
    this.link?.changes.subscribe(() => this.changes.notify());
  }

  async run(signal: AbortSignal): Promise<void> {
    await this.link?.run(signal);
  }

  liveSince(): string | undefined {
    const status = this.link?.status();
    return status?.state === "live" ? status.since : undefined;
  }
}

/**
 * The pod agent and the node's account of itself: each asks the other, so they are made together.
 */
async function buildNode(
  config: EdgeConfig,
  ports: SystemPorts,
  memory: Memory,
  { runtime, link }: { runtime: GrpcRuntime; link: LinkHolder },
): Promise<{ agent: PodAgent; reporter: NodeReporter }> {
  const machine = new Machine({ dataDir: config.dataDir });
  const runtimeChanges = new Changes();
  const reporter: NodeReporter = new NodeReporter({
    identity: {
      name: config.nodeName,
      labels: config.labels,
      taints: config.taints,
      podsMax: config.pods.max,
    },
    readMachine: () => machine.read(),
    runtime: () => agent.runtimeState(),
    liveSince: () => link.liveSince(),
    changes: [link.changes, runtimeChanges],
    outbox: memory.outbox,
    clock: ports.clock,
  });
  const agent: PodAgent = await buildAgent(config, ports, memory, runtime, reporter);
  agent.changes.subscribe(() => runtimeChanges.notify());
  await reporter.start();
  return { agent, reporter };
}

interface ApiSources {
  memory: Memory;
  agent: PodAgent;
  facts: EdgeFactsView;
  link: LinkHolder;
}

function buildLocalApi(
  { clock }: SystemPorts,
  { memory, agent, facts, link }: ApiSources,
): LocalApi {
  const startedAtMs = clock.monotonicMs();
  return createLocalApi({
    pods: agent.localPods,
    objects: {
      list: (resource) => memory.ledger.list(resource),
      subscribe: (listener) => memory.ledger.changes.subscribe(listener),
    },
    facts,
    changes: merge([agent.changes, memory.ledger.changes, memory.events.changes, link.changes]),
    process: () => {
      const { rss, heapUsed } = Deno.memoryUsage();
      const uptimeSeconds = (clock.monotonicMs() - startedAtMs) / 1_000;
      return { residentBytes: rss, heapUsedBytes: heapUsed, uptimeSeconds };
    },
    clock,
  });
}

async function openMemory(config: EdgeConfig, { clock, random }: SystemPorts): Promise<Memory> {
  const store = await openStore({
    dir: join(config.dataDir, "store"),
    disk: new DenoDisk(),
    clock,
  });
  const outbox = new DurableOutbox({ store, clock });
  return {
    store,
    outbox,
    ledger: new DurableLedger(store),
    records: new DurablePodRecords({ store, outbox }),
    events: new DurableEventLog({ store, outbox, clock, random, nodeName: config.nodeName }),
  };
}

async function buildAgent(
  config: EdgeConfig,
  { clock }: SystemPorts,
  { ledger, records, events }: Memory,
  runtime: GrpcRuntime,
  reporter: NodeReporter,
): Promise<PodAgent> {
  return new PodAgent({
    ...POD_AGENT_DEFAULTS,
    runtime,
    ledger,
    records,
    events,
    clock,
    node: {
      name: config.nodeName,
      addresses: () => reporter.addresses(),
      allocatable: () => reporter.allocatable(),
    },
    dirs: {
      pods: join(config.dataDir, "pods"),
      podLogs: absolute(config.pods.logsDir),
      seccomp: join(config.dataDir, "seccomp"),
      cgroup: "/sys/fs/cgroup",
    },
    host: await readHost(),
    dns: { clusterDns: config.pods.clusterDns, clusterDomain: config.pods.clusterDomain },
    cgroupDriver: config.runtime.cgroupDriver,
    mounter: new SystemMounter(),
    pullsMax: config.pods.serializeImagePulls ? 1 : POD_AGENT_DEFAULTS.pullsMax,
  });
}

async function buildLink(
  config: EdgeConfig,
  { clock, random }: SystemPorts,
  { ledger, outbox }: Memory,
  api: LocalApi,
): Promise<Link> {
  if (config.cloud.addresses.length === 0) {
    throw new AppError("invalid", "Cannot dial the cloud: cloud.addresses in the config is empty");
  }
  return new Link({
    addresses: config.cloud.addresses,
    identity: await readIdentity(config.dataDir),
    onRenewed: (certificate) => writeCertificate(config.dataDir, certificate),
    softwareVersion: VERSION,
    ledger,
    outbox,
    handler: (request) => api.handleFromCloud(request),
    clock,
    random,
  });
}

function serveLocalApi(listen: string, api: LocalApi): { address: string; close(): Promise<void> } {
  const { hostname, port } = parseAddress(listen);
  try {
    const server = Deno.serve({ hostname, port, onListen: () => {} }, (r) => api.fetch(r));
    return {
      address: formatAddress(server.addr),
      // open watches and followed logs would hold a graceful shutdown for ever
      close: async () => {
        const closed = server.shutdown();
        await Promise.race([closed, AbortSignal.timeout(1_000)]);
      },
    };
  } catch (cause) {
    throw new AppError("unavailable", `Cannot listen on ${listen}`, {}, { cause });
  }
}

function merge(all: Changes[]): Changes {
  const merged = new Changes();
  for (const each of all) each.subscribe(() => merged.notify());
  return merged;
}

function absolute(path: string): string {
  return isAbsolute(path) ? path : resolve(Deno.cwd(), path);
}
