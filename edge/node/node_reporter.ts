/**
 * Keeps the node's account of itself and sends it up: when it says something new, when the link has
 * come up (the cloud may have called the node away meanwhile), and every five minutes as a sign of
 * life. In between it only looks. While the link is down there is nobody to prove life to, so only
 * changes go to the outbox: one row, the latest wins.
 *
 *     start -> (look: changed, newly live, or overdue -> outbox)*
 */
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { type Changes, Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, invariant } from "../../shared/errors.ts";
import type { Node } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Outbox } from "../meta/port.ts";
import { buildNode, type NodeIdentity, saysTheSame } from "./node_object.ts";
import type { MachineFacts, NodeImage, RuntimeHealth } from "./port.ts";

/** kubelet's nodeStatusUpdateFrequency and nodeStatusReportFrequency. */
const LOOK_MS = 10_000;
const REPORT_MS = 300_000;

export interface NodeReporterOptions {
  identity: NodeIdentity;
  readMachine: () => Promise<MachineFacts>;
  runtime: () => RuntimeHealth;
  /** What the node is short of, by condition. */
  pressures?: () => ReadonlySet<string>;
  isShuttingDown?: () => boolean;
  readImages?: () => Promise<readonly NodeImage[] | undefined>;
  /** Since when the present session is live; undefined while there is none. */
  liveSince: () => string | undefined;
  /** Each notification makes it look at once: the link's, the runtime's. */
  changes: readonly Changes[];
  outbox: Pick<Outbox, "put">;
  clock: Clock;
}

export class NodeReporter {
  readonly #options: NodeReporterOptions;
  readonly #log = roomLogger("edge", "node");
  readonly #wakeup = new Wakeup();
  #current: Node | undefined;
  #images: readonly NodeImage[] | undefined;
  #reported: { node: Node; atMs: number } | undefined;
  #toldSession: string | undefined;

  constructor(options: NodeReporterOptions) {
    this.#options = options;
  }

  /** Looks for the first time; `node` and what hangs on it can be asked for from then on. */
  async start(): Promise<void> {
    await this.#look();
  }

  /** The node as it is now, conditions included. */
  get node(): Node {
    invariant(this.#current, "start() has looked at the machine");
    return this.#current;
  }

  /** InternalIPs, the best first. */
  addresses(): string[] {
    return (this.node.status?.addresses ?? [])
      .filter(({ type }) => type === "InternalIP").map(({ address }) => address);
  }

  allocatable(): Readonly<Record<string, string>> {
    return this.node.status?.allocatable ?? {};
  }

  async run(signal: AbortSignal): Promise<void> {
    const { changes, clock } = this.#options;
    const unsubscribes = changes.map((each) => each.subscribe(() => this.#wakeup.wake()));
    try {
      while (true) {
        await this.#pass();
        await waitAtMost(this.#wakeup, clock, LOOK_MS, signal);
      }
    } finally {
      for (const unsubscribe of unsubscribes) unsubscribe();
    }
  }

  async #pass(): Promise<void> {
    try {
      await this.#look();
      await this.#reportIfDue();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      // A full disk or a vanished data folder: the next look tries again, nothing else stops.
      this.#log.warn("Cannot report node", { error: errorChain(error) });
    }
  }

  async #look(): Promise<void> {
    const { identity, readMachine, runtime, pressures, isShuttingDown, clock } = this.#options;
    const machine = await readMachine();
    const health = runtime();
    // asked only when it is there: the first look must not wait for a runtime
    if (health.ready) this.#images = await this.#options.readImages?.();
    this.#current = buildNode({
      identity,
      machine,
      runtime: health,
      pressures: pressures?.() ?? new Set(),
      isShuttingDown: isShuttingDown?.() ?? false,
      images: this.#images,
      nowMs: clock.nowMs(),
      previous: this.#current,
    });
  }

  async #reportIfDue(): Promise<void> {
    const { liveSince, outbox, clock } = this.#options;
    const session = liveSince();
    const isLive = session !== undefined;
    const isNewlyLive = isLive && session !== this.#toldSession;
    const last = this.#reported;
    const isOverdue = !last || clock.monotonicMs() - last.atMs >= REPORT_MS;
    const { node } = this;
    const isNews = !last || !saysTheSame(last.node, node) || isNewlyLive;
    if (isNews || (isLive && isOverdue)) {
      // A sign of life is short: the images, which are most of it, stand as they were told.
      const told = isNews ? node : withoutImages(node);
      await outbox.put("control", "node", { kind: "node", node: told });
      this.#reported = { node, atMs: clock.monotonicMs() };
    }
    this.#toldSession = session; // only now: a report that could not be kept is still owed
  }
}

function withoutImages(node: Node): Node {
  const { images: _, ...status } = node.status ?? {};
  return { ...node, status };
}
