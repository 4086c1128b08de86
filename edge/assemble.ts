/**
 * Joins the rooms of the edge over whatever machine the ports stand for: the real one (app.ts) or a
 * simulated one. Nothing here waits for the cloud or for the container runtime: a node whose link
 * is down, whose runtime is away or whose certificate is damaged still serves its local API and
 * says what is wrong. Nothing here opens a socket or reads a clock of its own.
 */
import { join, resolve } from "@std/path";
import type { TaskScope } from "../shared/async/task_scope.ts";
import { Changes } from "../shared/async/wakeup.ts";
import type { Clock } from "../shared/clock.ts";
import { AppError, errorChain } from "../shared/errors.ts";
import { roomLogger } from "../shared/log.ts";
import { probeDisk } from "../shared/store/disk_probe.ts";
import { VERSION } from "../shared/version.ts";
import { createLocalApi, type LocalApi } from "./api/app.ts";
import { buildAgent } from "./build_agent.ts";
import type { EdgeConfig } from "./config.ts";
import { EdgeFactsView } from "./edge_facts.ts";
import { HeardLedger } from "./heard_ledger.ts";
import { Link } from "./link/link.ts";
import { NodeTime } from "./link/node_time.ts";
import type { LinkLedger } from "./link/port.ts";
import { recordLink } from "./meta/history.ts";
import { type Memory, openMemory } from "./memory.ts";
import { NodeImages } from "./node/node_images.ts";
import { NodeReporter } from "./node/node_reporter.ts";
import { NodeShutdown } from "./node/shutdown/node_shutdown.ts";
import { Stats } from "./node/stats/stats.ts";
import { evictionOf, noLogind, reservationsOf, shutdownOf } from "./node_settings.ts";
import type { PodAgent } from "./pods/agent.ts";
import { podId, podLogDir } from "./pods/to_cri.ts";
import type { EdgePorts } from "./ports.ts";
import { EdgeRules } from "./rules/edge_rules.ts";

export interface EdgeSettings {
  /** Its `dataDir` is absolute. */
  config: EdgeConfig;
  /** Why the config file is not the one in use; shown, and nothing stops. */
  problem?: string;
}

export interface Edge {
  memory: Memory;
  agent: PodAgent;
  api: LocalApi;
  /** Undefined before `start`, and when the identity cannot be used. */
  link(): Link | undefined;
  /** Starts link, pods and node in `scope`, which ends them. */
  start(scope: TaskScope): Promise<void>;
}

const log = roomLogger("edge");

/** Opens the store, which `stack` closes, and builds everything on it; runs nothing yet. */
export async function assembleEdge(
  { config, problem }: EdgeSettings,
  machine: EdgePorts,
  stack: AsyncDisposableStack,
): Promise<Edge> {
  const time = new NodeTime(machine.clock);
  const ports = { ...machine, clock: time };
  const startedAtMs = ports.clock.nowMs();
  const memory = await openMemory(config, ports);
  stack.defer(() => memory.store.close());
  const link = new LinkHolder();
  const { agent, reporter, stats, shutdown } = await buildNode(config, ports, memory, link);
  const desired = new HeardLedger(memory.ledger);
  const serviceBus = () => machine.serviceBus?.();
  const { random } = machine;
  const rules = new EdgeRules({ ...memory, answers: serviceBus, clock: time, random });
  const facts = new EdgeFactsView({
    mqtt: () => machine.mqtt?.()?.status() ?? {},
    serviceBus: () => serviceBus()?.status(),
    config,
    configProblem: problem,
    memory,
    startedAtMs,
    link: () => link.link,
    linkProblem: () => link.problem,
    apiProblem: () => machine.apiProblem?.(),
    dmiProblem: () => machine.dmi?.()?.problem,
    heardGeneration: () => desired.heard,
    runtime: () => agent.runtimeState(),
    node: () => reporter.node,
    clock: ports.clock,
    time: () => time.status(),
  });
  const api = buildLocalApi(ports, { memory, agent, facts, link, stats });
  return {
    memory,
    agent,
    api,
    link: () => link.link,
    start: async (scope) => {
      const handler = (request: Request) =>
        EdgeRules.isFor(request) ? rules.handle(request) : api.handleFromCloud(request);
      await link.open(async () => {
        const made = await buildLink(config, ports, { ...memory, ledger: desired }, handler);
        recordLink(memory.history, made);
        return made;
      });
      onceEachSession(link, () => agent.cloudIsBack());
      scope.spawn("outbox", (signal) => memory.outbox.run(signal));
      scope.spawn("disk budget", (signal) => memory.diskBudget.run(signal));
      scope.spawn("disk", (signal) => probeDisk(memory.store, ports.clock, signal));
      scope.spawn("intents", (signal) => memory.intents.run(signal));
      scope.spawn("devices", (signal) => memory.devices.run(signal));
      scope.spawn("push", (signal) => memory.push.run(signal));
      const bus = machine.mqtt?.();
      if (bus) scope.spawn("rules", (signal) => rules.run(bus, signal));
      scope.spawn("link", (signal) => link.run(ports.clock, signal));
      scope.spawn("pods", (signal) => agent.run(signal));
      scope.spawn("node", (signal) => reporter.run(signal));
      scope.spawn("shutdown", (signal) => shutdown.run(signal));
    },
  };
}

const IDENTITY_RETRY_MS = 10_000;

/**
 * The link, once there is one. It is made last, because its tunnel ends in the local API; who needs
 * it before looks here. A node whose identity cannot be read runs without, says why, and tries
 * again: a file may be put back, a disk may have failed once.
 */
class LinkHolder {
  readonly changes = new Changes();
  link: Link | undefined;
  #problem: string | undefined;
  #build: (() => Promise<Link>) | undefined;

  /** Why there is no link. */
  get problem(): string | undefined {
    return this.#problem;
  }

  async open(build: () => Promise<Link>): Promise<void> {
    this.#build = build;
    try {
      this.link = await build();
      this.#problem = undefined;
    } catch (error) {
      const problem = errorChain(error);
      if (problem !== this.#problem) {
        log.error("Cannot use the node's identity", { error: problem });
      }
      this.#problem = problem;
    }
    this.link?.changes.subscribe(() => this.changes.notify());
  }

  async run(clock: Clock, signal: AbortSignal): Promise<void> {
    while (!this.link && this.#build) {
      await clock.sleep(IDENTITY_RETRY_MS, signal);
      await this.open(this.#build);
    }
    await this.link?.run(signal);
  }

  liveSince(): string | undefined {
    const status = this.link?.status();
    return status?.state === "live" ? status.since : undefined;
  }
}

/** Calls `work` when a session has begun. */
function onceEachSession(link: LinkHolder, work: () => void): void {
  let liveSince: string | undefined;
  link.changes.subscribe(() => {
    const now = link.liveSince();
    if (now !== undefined && now !== liveSince) work();
    liveSince = now;
  });
}

interface NodeParts {
  agent: PodAgent;
  reporter: NodeReporter;
  stats: Stats;
  shutdown: NodeShutdown;
}

/**
 * The pod agent and the node's account of itself: each asks the other, so they are made together.
 */
async function buildNode(
  config: EdgeConfig,
  ports: EdgePorts,
  memory: Memory,
  link: LinkHolder,
): Promise<NodeParts> {
  const runtimeChanges = new Changes();
  const images = new NodeImages(ports.runtime, config.node.statusMaxImages, ports.clock);
  const eviction = evictionOf(config, ports.readMachine, () => stats);
  const reporter: NodeReporter = new NodeReporter({
    identity: {
      name: config.nodeName,
      labels: config.labels,
      taints: config.taints,
      podsMax: config.pods.max,
      reservations: reservationsOf(config),
    },
    readMachine: ports.readMachine,
    runtime: () => agent.runtimeState(),
    pressures: () => agent.pressures(),
    isShuttingDown: () => shutdown.isGoingDown,
    readImages: () => images.read(),
    liveSince: () => link.liveSince(),
    changes: [link.changes, runtimeChanges],
    outbox: memory.outbox,
    clock: ports.clock,
  });
  const agent: PodAgent = buildAgent(config, ports, memory, { reporter, eviction });
  memory.statics.pods = () => agent.staticPods();
  const stats: Stats = buildStats(config, ports, agent);
  agent.nodeChanges.subscribe(() => runtimeChanges.notify());
  const shutdown: NodeShutdown = new NodeShutdown({
    ...shutdownOf(config),
    open: ports.openLogind ?? noLogind,
    pods: agent.shutdown,
    clock: ports.clock,
    onChange: () => runtimeChanges.notify(),
  });
  await reporter.start();
  return { agent, reporter, stats, shutdown };
}

interface ApiSources {
  memory: Memory;
  agent: PodAgent;
  facts: EdgeFactsView;
  link: LinkHolder;
  stats: Stats;
}

function buildStats(
  { nodeName, dataDir, pods }: EdgeConfig,
  { clock, runtime, host, cgroupDir }: EdgePorts,
  agent: PodAgent,
): Stats {
  return new Stats({
    nodeName,
    runtime,
    pods: () => agent.localPods.list(),
    podCgroup: (pod) => agent.cgroupOf(pod),
    podDir: (uid) => join(dataDir, "pods", uid),
    podLogDir: (pod) => podLogDir(podId(pod), resolve(pods.logsDir)),
    dataDir,
    cgroupDir,
    cgroupV2: host.cgroupV2,
    clock,
    residentBytes: () => Deno.memoryUsage().rss,
    ...(host.diskUse ? { diskUse: host.diskUse } : {}),
  });
}

function buildLocalApi(
  { clock, apiToken, mqtt, dmi, builtIn }: EdgePorts,
  { memory, agent, facts, link, stats }: ApiSources,
): LocalApi {
  const startedAtMs = clock.monotonicMs();
  return createLocalApi({
    pods: agent.localPods,
    objects: {
      list: (resource) => memory.ledger.list(resource),
      subscribe: (listener) => memory.ledger.changes.subscribe(listener),
    },
    facts,
    intents: memory.intents,
    devices: () => memory.devices.twins,
    mappers: () => dmi?.()?.mappers,
    dmi: () => dmi?.()?.counts(),
    ...(builtIn ? { builtIn } : {}),
    mqtt: () => mqtt?.()?.counts(),
    stats,
    token: apiToken,
    changes: merge([
      agent.changes,
      memory.ledger.changes,
      memory.events.changes,
      memory.devices.changes,
      link.changes,
    ]),
    process: () => {
      const { rss, heapUsed } = Deno.memoryUsage();
      const uptimeSeconds = (clock.monotonicMs() - startedAtMs) / 1_000;
      return { residentBytes: rss, heapUsedBytes: heapUsed, uptimeSeconds };
    },
    clock,
  });
}

async function buildLink(
  config: EdgeConfig,
  ports: EdgePorts & { clock: NodeTime },
  { ledger, outbox, events, history, devices }: Omit<Memory, "ledger"> & { ledger: LinkLedger },
  handler: (request: Request) => Promise<Response>,
): Promise<Link> {
  if (config.cloud.addresses.length === 0) {
    throw new AppError("invalid", "Cannot dial the cloud: cloud.addresses in the config is empty");
  }
  return new Link({
    addresses: config.cloud.addresses,
    identity: await ports.readIdentity(),
    onRenewed: ports.keepCertificate,
    transport: ports.transport,
    softwareVersion: VERSION,
    ledger,
    outbox,
    handler,
    onTime: async (serverMs, askedMs) => {
      const learned = ports.clock.learn(serverMs, askedMs);
      await events.timeIsKnown(learned);
      await history.time.timeIsKnown(learned.correctionMs);
      await devices.timeIsKnown(learned);
    },
    clock: ports.clock,
    random: ports.random,
  });
}

function merge(all: Changes[]): Changes {
  const merged = new Changes();
  for (const each of all) each.subscribe(() => merged.notify());
  return merged;
}
