/** What the edge says of itself on the local API, gathered from the rooms that know. */
import { type Clock, toTime } from "../shared/clock.ts";
import type { Event, Node } from "../shared/k8s/types.ts";
import type { Store } from "../shared/store/port.ts";
import { VERSION } from "../shared/version.ts";
import { objectKey } from "../shared/wire/keys.ts";
import type { WriteBudget } from "../shared/store/write_budget.ts";
import type {
  DiskBudgetStatus,
  DiskTrouble,
  EdgeFacts,
  EdgeStatus,
  HealthCheck,
  HistoryQuery,
  HistoryRow,
  LinkStatus,
  LinkTraffic,
  WaitingReport,
} from "./api/port.ts";
import type { EdgeConfig } from "./config.ts";
import type { EventLog, History, Ledger, Outbox } from "./meta/port.ts";
import type { MqttStatus } from "./mqtt/port.ts";
import type { RuntimeHealth } from "./node/port.ts";
import type { PushStatus } from "./push/port.ts";
import type { ServiceBusStatus } from "./rules/port.ts";
import type { HistorySize } from "./twins/port.ts";

export interface EdgeFactsSources {
  config: EdgeConfig;
  /** Why the config file is not the one in use. */
  configProblem: string | undefined;
  memory: {
    store: Store;
    diskBudget: Pick<WriteBudget, "state">;
    ledger: Ledger;
    outbox: Outbox;
    events: EventLog;
    history: History;
    push: { status(): PushStatus | undefined };
    devices?: { readonly historySize: HistorySize | undefined };
  };
  startedAtMs: number;
  /** Undefined when the identity cannot be used; `linkProblem` then says why. */
  link: () =>
    | { status(): LinkStatus; certificateNotAfterMs: number; traffic: LinkTraffic }
    | undefined;
  linkProblem: () => string | undefined;
  /** Why nobody can act through the local API. */
  apiProblem: () => string | undefined;
  /** Why mappers cannot connect. */
  dmiProblem: () => string | undefined;
  heardGeneration: () => number | undefined;
  runtime: () => RuntimeHealth;
  node: () => Node;
  time: () => { known: boolean; correctionMs: number };
  mqtt: () => MqttStatus;
  /** Undefined where it is not enabled. */
  serviceBus?: () => ServiceBusStatus | undefined;
  clock: Clock;
}

export class EdgeFactsView implements EdgeFacts {
  readonly #sources: EdgeFactsSources;

  constructor(sources: EdgeFactsSources) {
    this.#sources = sources;
  }

  status(): EdgeStatus {
    const { config, configProblem, memory, startedAtMs, link, linkProblem, runtime, clock } =
      this.#sources;
    const { depth, oldestAtMs, dropped } = memory.outbox.stats();
    const { cloudId, generation } = memory.ledger.head;
    const { ready, name, version, message } = runtime();
    const notAfterMs = link()?.certificateNotAfterMs;
    const problem = linkProblem();
    const traffic = link()?.traffic;
    const trouble = this.#trouble();
    const push = memory.push.status();
    const deviceHistory = memory.devices?.historySize;
    const serviceBus = this.#sources.serviceBus?.();
    return {
      node: config.nodeName,
      version: VERSION,
      link: link()?.status() ?? {
        state: "idle",
        since: toTime(startedAtMs),
        ...(problem === undefined ? {} : { lastError: problem }),
      },
      ledger: { cloudId, generation, objects: memory.ledger.inventory().length },
      outbox: {
        depth,
        dropped,
        ...(oldestAtMs === undefined ? {} : { oldestAt: toTime(oldestAtMs) }),
      },
      store: {
        lastSequence: memory.store.lastSequence,
        damage: this.#damage(),
        ...(trouble === undefined ? {} : { problem: trouble }),
      },
      diskBudget: this.#budget(),
      runtime: {
        endpoint: config.runtime.endpoint,
        ready,
        ...(name === undefined ? {} : { name }),
        ...(version === undefined ? {} : { version }),
        ...(message === undefined ? {} : { message }),
      },
      certificate: {
        expired: notAfterMs !== undefined && notAfterMs < clock.nowMs(),
        ...(notAfterMs === undefined ? {} : { notAfter: toTime(notAfterMs) }),
      },
      startedAt: toTime(startedAtMs),
      ...(traffic === undefined ? {} : { traffic }),
      time: this.#sources.time(),
      ...(push === undefined ? {} : { push }),
      ...(deviceHistory === undefined ? {} : { deviceHistory }),
      ...(serviceBus === undefined ? {} : { serviceBus }),
      config: configProblem === undefined ? { ok: true } : { ok: false, message: configProblem },
    };
  }

  /**
   * The link is not among them: a node that is cut off is ready. What was set aside as damaged is
   * reported in the status, and does not make the node unready for good; a disk that takes no
   * writes does until it takes them again.
   */
  checks(): HealthCheck[] {
    const { configProblem, linkProblem, apiProblem, runtime } = this.#sources;
    const problem = linkProblem();
    const actsProblem = apiProblem();
    const dmiProblem = this.#sources.dmiProblem();
    const trouble = this.#trouble();
    const { ready, message } = runtime();
    const because = (why: string | undefined) => (why === undefined ? {} : { message: why });
    return [
      { name: "config", ok: configProblem === undefined, ...because(configProblem) },
      { name: "store", ok: trouble === undefined, ...because(trouble?.message) },
      { name: "identity", ok: problem === undefined, ...because(problem) },
      { name: "acts", ok: actsProblem === undefined, ...because(actsProblem) },
      { name: "runtime", ok: ready, ...(ready ? {} : because(message)) },
      { name: "dmi", ok: dmiProblem === undefined, ...because(dmiProblem), minor: true },
      ...brokerChecks(this.#sources.mqtt()),
      ...serviceBusChecks(this.#sources.serviceBus?.()),
    ];
  }

  /** The node as the cloud knows it, with the status it has just now. */
  node(): Node {
    const { config, memory, node } = this.#sources;
    const key = objectKey({ group: "", resource: "nodes" }, undefined, config.nodeName);
    const known = memory.ledger.get<Node>(key);
    const status = node().status;
    return known ? { ...known, ...(status ? { status } : {}) } : node();
  }

  events(): Event[] {
    return this.#sources.memory.events.list();
  }

  history(query: HistoryQuery): { rows: HistoryRow[]; next?: number } {
    return this.#sources.memory.history.query(query);
  }

  waitingReports(limit: number): WaitingReport[] {
    return this.#sources.memory.outbox.pending(0, limit);
  }

  heardGeneration(): number | undefined {
    return this.#sources.heardGeneration();
  }

  #trouble(): DiskTrouble | undefined {
    const { store } = this.#sources.memory;
    if (store.problem) {
      const { kind, message, forMs } = store.problem;
      return { kind, message, since: toTime(this.#sources.clock.nowMs() - forMs) };
    }
    return store.bulk.problem === undefined
      ? undefined
      : { kind: "bulk", message: store.bulk.problem };
  }

  #budget(): DiskBudgetStatus {
    const { measuredMs, ...budget } = this.#sources.memory.diskBudget.state();
    return { ...budget, measuredSeconds: Math.round(measuredMs / 1_000) };
  }

  #damage(): string[] {
    return this.#sources.memory.store.recovery.damage.map((damage) =>
      `${damage.what} in ${damage.file}` +
      (damage.setAsideAs === undefined ? "" : `, set aside as ${damage.setAsideAs}`)
    );
  }
}

/** Where it is enabled. */
function serviceBusChecks(status: ServiceBusStatus | undefined): HealthCheck[] {
  if (!status) return [];
  const { address, problem = "it starts" } = status;
  if (address !== undefined) return [{ name: "service-bus", ok: true }];
  return [{ name: "service-bus", minor: true, ok: false, message: problem }];
}

/** Of the brokers this node is to have. */
function brokerChecks({ embedded, external }: MqttStatus): HealthCheck[] {
  const all = Object.entries({ "mqtt": embedded, "mqtt-external": external });
  return all.flatMap(([name, broker]): HealthCheck[] => {
    if (!broker) return [];
    if (broker.state === "up") return [{ name, ok: true }];
    return [{
      name,
      minor: true,
      ok: false,
      message: broker.state === "down" ? broker.problem : "it starts",
    }];
  });
}
