/**
 * The hub without its listener: the services nodes call, and the sessions they make. Whatever
 * carries the calls (TLS in server.ts, memory in the simulation) asks `register` for them and says
 * through the PEER context who calls. Every task of a session is owned here and joined by `close`.
 */
import type { ConnectRouter } from "@connectrpc/connect";
import { KeyedMutex } from "../../shared/async/keyed_mutex.ts";
import type { Clock } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { GoAwayReason } from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { HEARTBEAT_MS } from "../../shared/limits.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import { TrafficCounters, type TrafficTotals } from "../../shared/wire/traffic.ts";
import type { DesiredSource, NodeIdentities, NodeSessions, ReportSink, TunnelEnd } from "./port.ts";
import { SessionRegistry } from "./registry.ts";
import { HubServices } from "./services.ts";
import { NodeSession } from "./session.ts";

/** Nodes at once by default; each costs about a tenth of a megabyte. */
const SESSIONS_MAX = 10_000;

const log = roomLogger("cloud", "hub");

export interface HubOptions {
  identities: NodeIdentities;
  source: DesiredSource;
  sink: ReportSink;
  /** Makes the cloud's end of a tunnel. */
  openTunnel: () => TunnelEnd;
  /** Further addresses told to nodes at enrolment, as host:port, best first. */
  addresses?: readonly string[];
  heartbeatMs?: number;
  sessionsMax?: number;
  clock: Clock;
  random: Random;
}

export class Hub {
  readonly #registry: SessionRegistry;
  readonly #services: HubServices;
  readonly #tasks = new Set<Promise<void>>();
  readonly #order = new KeyedMutex();
  readonly #traffic = new TrafficCounters();

  constructor(options: HubOptions) {
    const { identities, openTunnel, addresses, heartbeatMs, source, sink, clock, random } = options;
    this.#registry = new SessionRegistry({ sessionsMax: options.sessionsMax ?? SESSIONS_MAX });
    this.#services = new HubServices({
      identities,
      registry: this.#registry,
      addresses: () => addresses ?? [],
      openSession: (of) =>
        new NodeSession({
          ...of,
          heartbeatMs: heartbeatMs ?? HEARTBEAT_MS,
          source,
          sink,
          order: this.#order,
          traffic: this.#traffic,
          clock,
          random,
        }),
      openTunnel,
      traffic: this.#traffic,
      own: (task) => this.#own(task),
      clock,
    });
  }

  /** One that fails, as when the store is closed while it begins, ends nothing but itself. */
  #own(task: Promise<void>): void {
    const owned: Promise<void> = task
      .catch((error) => log.warn("Session failed", { error: errorChain(error) }))
      .finally(() => this.#tasks.delete(owned));
    this.#tasks.add(owned);
  }

  /** Live sessions, for the rest of the cloud. */
  get sessions(): NodeSessions {
    return this.#registry;
  }

  /** Messages and bytes with all nodes since the process began. */
  get traffic(): TrafficTotals {
    return this.#traffic.totals;
  }

  register(router: ConnectRouter): void {
    this.#services.register(router);
  }

  /** Begins a session whose call did not come through the router. */
  openSession(
    ...call: Parameters<HubServices["openSession"]>
  ): ReturnType<HubServices["openSession"]> {
    return this.#services.openSession(...call);
  }

  /** Tells every session that the hub stops; `joined` waits for their ends. */
  endSessions(): void {
    for (const session of this.#registry.sessions()) {
      session.end(GoAwayReason.SHUTDOWN, "The hub stops");
    }
  }

  async joined(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.allSettled([...this.#tasks]);
  }
}
