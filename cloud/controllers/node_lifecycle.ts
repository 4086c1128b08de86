/**
 * Keeps the cloud's view of each edge node's link on its Node object.
 *
 *     live -> grace (nodeGraceMs after the session's end) -> away: Ready=Unknown, unreachable taint
 *     live <- a session; the node's own report makes it Ready, then the taint goes
 *
 * After a start of the cloud every node has startGraceMs to come back before it is called away. It
 * touches only nodes whose agent is ours, and looks at whole state at each wake-up.
 */
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Node } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { NodeSessions } from "../hub/port.ts";
import type { KubeClient } from "../kube/port.ts";
import { forEachBounded } from "./bounded.ts";
import type { EventRecorder } from "./events.ts";
import { type HealthVerdict, judgeNode, type NodeLink } from "./node_health.ts";
import { isEdgeNode } from "./node_report.ts";
import type { ObjectCache } from "./port.ts";

const WRITES_MAX = 32;
const RETRY_MS = 1_000;
/** Without anything to wait for it still looks around this often. */
const LOOK_MS = 60_000;

export interface NodeLifecycleOptions {
  kube: KubeClient;
  nodes: ObjectCache<Node>;
  sessions: Pick<NodeSessions, "get" | "subscribe">;
  events: EventRecorder;
  clock: Clock;
  nodeGraceMs: number;
  startGraceMs: number;
}

interface Absence {
  dueAtMs: number;
  sinceMs: number;
}

export class NodeLifecycle {
  readonly #options: NodeLifecycleOptions;
  readonly #log = roomLogger("cloud", "controllers", "node_lifecycle");
  readonly #wakeup = new Wakeup();
  readonly #absences = new Map<string, Absence>();
  /** Where each node's last session came from; an entry per node object. */
  readonly #addresses = new Map<string, string>();
  #startedAtMs = 0;

  constructor(options: NodeLifecycleOptions) {
    this.#options = options;
    options.nodes.subscribe(({ before, after }) => {
      const name = before?.metadata.name ?? "";
      if (!after) {
        this.#absences.delete(name);
        this.#addresses.delete(name);
      }
      this.#wakeup.wake();
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { nodes, sessions, clock } = this.#options;
    await nodes.ready(signal);
    this.#startedAtMs = clock.monotonicMs();
    const unsubscribe = sessions.subscribe(() => this.#wakeup.wake());
    try {
      while (true) {
        const waitMs = await this.#pass(signal);
        await waitAtMost(this.#wakeup, clock, waitMs, signal);
      }
    } finally {
      unsubscribe();
    }
  }

  /** Judges every node; returns after how long to look again without a wake-up. */
  async #pass(signal: AbortSignal): Promise<number> {
    const { nodes, clock } = this.#options;
    let waitMs = LOOK_MS;
    const work: { node: Node; verdict: HealthVerdict }[] = [];
    for (const node of nodes.list()) {
      if (!isEdgeNode(node)) continue;
      const link = this.#linkOf(node.metadata.name ?? "");
      if (link.kind === "grace") {
        const absence = this.#absences.get(node.metadata.name ?? "")!; // #linkOf has just set it
        waitMs = Math.min(waitMs, Math.max(1, absence.dueAtMs - clock.monotonicMs()));
      }
      const verdict = judgeNode(node, link, clock.nowMs());
      if (verdict.status || verdict.taints) work.push({ node, verdict });
    }
    let isComplete = true;
    await forEachBounded(work, WRITES_MAX, async ({ node, verdict }) => {
      if (!await this.#write(node, verdict, signal)) isComplete = false;
    });
    return isComplete ? waitMs : RETRY_MS;
  }

  #linkOf(name: string): NodeLink {
    const { sessions, clock, nodeGraceMs, startGraceMs } = this.#options;
    const session = sessions.get(name);
    if (session) {
      this.#absences.delete(name);
      this.#addresses.set(name, session.remoteAddress);
      return { kind: "live" };
    }
    const monotonicMs = clock.monotonicMs();
    const wasSeen = this.#addresses.has(name);
    let absence = this.#absences.get(name);
    if (!absence) {
      const dueAtMs = wasSeen ? monotonicMs + nodeGraceMs : this.#startedAtMs + startGraceMs;
      absence = { dueAtMs, sinceMs: clock.nowMs() };
      this.#absences.set(name, absence);
    }
    if (monotonicMs < absence.dueAtMs) return { kind: "grace" };
    return { kind: "away", sinceMs: absence.sinceMs, remoteAddress: this.#addresses.get(name) };
  }

  /** False when it must be tried again without a further change. */
  async #write(node: Node, verdict: HealthVerdict, signal: AbortSignal): Promise<boolean> {
    const { kube, events } = this.#options;
    const name = node.metadata.name ?? "";
    try {
      let current = node;
      if (verdict.status) {
        const next = { ...node, status: verdict.status };
        current = await kube.update<Node>(GVR.nodes, next, signal, { subresource: "status" });
        this.#log.info("Node is away", { node: name });
        const message = `Node ${name} status is now: NodeNotReady`;
        const about = { ...node, apiVersion: "v1", kind: "Node" };
        await events.record(about, { type: "Normal", reason: "NodeNotReady", message }, signal);
      }
      if (verdict.taints) {
        const { resourceVersion } = current.metadata;
        const body = { metadata: { resourceVersion }, spec: { taints: verdict.taints } };
        await kube.patch<Node>(GVR.nodes, { name }, { type: "merge", body }, signal);
      }
      return true;
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      // Somebody else wrote, or removed it: that change has woken or will wake us.
      if (isAppError(error, "conflict", "not_found")) return true;
      this.#log.warn("Cannot write node", { node: name, error: errorChain(error) });
      return false;
    }
  }
}
