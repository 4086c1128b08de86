/**
 * Renews kube-node-lease/<node> for every node with a live session: the sign of life that
 * Kubernetes' own controllers and people look for. Whether a node is away is decided by its
 * session, never by the lease.
 *
 * Cost: all leases of one beat are renewed side by side, so their commits share a few syncs of the
 * disk; a renewal is a merge patch of one field, without a read before it. With the embedded API
 * nobody depends on the beat and it may be made slower; a real cluster needs it under the 40 s the
 * lease holds.
 */
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import { type Clock, toMicroTime } from "../../shared/clock.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Lease, Node } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { NodeSessions } from "../hub/port.ts";
import type { KubeClient } from "../kube/port.ts";
import { forEachBounded } from "./bounded.ts";
import type { ObjectCache } from "./port.ts";

export const LEASE_NAMESPACE = "kube-node-lease";
const LEASE_DURATION_S = 40;
const WRITES_MAX = 64;
/** With no node live there is nothing to renew. */
const IDLE_MS = 600_000;

export interface LeaseKeeperOptions {
  kube: KubeClient;
  nodes: ObjectCache<Node>;
  sessions: Pick<NodeSessions, "list" | "subscribe">;
  clock: Clock;
  leaseRenewMs: number;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #log = roomLogger("cloud", "controllers", "leases");
  readonly #wakeup = new Wakeup();
  /** Monotonic time of each live node's last renewal. */
  #renewedAtMs = new Map<string, number>();

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    options.nodes.subscribe(({ before }) => {
      if (!before) this.#wakeup.wake(); // a session may be there before its node has registered
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { nodes, sessions, clock, leaseRenewMs } = this.#options;
    await nodes.ready(signal);
    const unsubscribe = sessions.subscribe(() => this.#wakeup.wake());
    try {
      while (true) {
        await this.#renewDue(signal);
        const isIdle = this.#renewedAtMs.size === 0; // a session that comes wakes it
        await waitAtMost(this.#wakeup, clock, isIdle ? IDLE_MS : leaseRenewMs, signal);
      }
    } finally {
      unsubscribe();
    }
  }

  async #renewDue(signal: AbortSignal): Promise<void> {
    const { nodes, sessions, clock, leaseRenewMs } = this.#options;
    const live = sessions.list().map((session) => session.node);
    const known = new Map<string, number>();
    for (const name of live) known.set(name, this.#renewedAtMs.get(name) ?? -Infinity);
    this.#renewedAtMs = known;
    // Half a beat early counts as due: a session that came in between must not shift the others.
    const dueBeforeMs = clock.monotonicMs() - leaseRenewMs / 2;
    const due = live.filter((name) => known.get(name)! <= dueBeforeMs); // set just above
    await forEachBounded(due, WRITES_MAX, async (name) => {
      const node = nodes.get(undefined, name);
      if (node && await this.#renew(node, signal)) known.set(name, clock.monotonicMs());
    });
  }

  async #renew(node: Node, signal: AbortSignal): Promise<boolean> {
    const { kube, clock } = this.#options;
    const name = node.metadata.name ?? "";
    const renewTime = toMicroTime(clock.nowMs());
    try {
      const body = { spec: { renewTime, holderIdentity: name } };
      const target = { namespace: LEASE_NAMESPACE, name };
      await kube.patch(GVR.leases, target, { type: "merge", body }, signal).catch((error) => {
        if (!isAppError(error, "not_found")) throw error;
        return kube.create<Lease>(GVR.leases, newLease(node, renewTime), signal);
      });
      return true;
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      this.#log.warn("Cannot renew lease", { node: name, error: errorChain(error) });
      return false;
    }
  }
}

function newLease(node: Node, renewTime: string): Lease {
  const { name = "", uid = "" } = node.metadata;
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: {
      name,
      namespace: LEASE_NAMESPACE,
      ownerReferences: [{ apiVersion: "v1", kind: "Node", name, uid }],
    },
    spec: { holderIdentity: name, leaseDurationSeconds: LEASE_DURATION_S, renewTime },
  };
}
