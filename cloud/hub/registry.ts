/** The sessions there are, at most one per node; what the rest of the cloud sees of the hub. */
import { KeyedMutex } from "../../shared/async/keyed_mutex.ts";
import { Changes } from "../../shared/async/wakeup.ts";
import { AppError } from "../../shared/errors.ts";
import { GoAwayReason } from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { roomLogger } from "../../shared/log.ts";
import { judgeSession, type SessionClaim } from "./judge_session.ts";
import type { NodeSessions, SessionInfo } from "./port.ts";
import type { NodeSession } from "./session.ts";

/** How long a live session has to answer before a newcomer replaces it. */
const PROBE_MS = 2_000;
/** How long a request waits for the tunnel of a session that has only just begun. */
const TUNNEL_WAIT_MS = 5_000;

const log = roomLogger("cloud", "hub");

export interface SessionRegistryOptions {
  sessionsMax: number;
}

export class SessionRegistry implements NodeSessions {
  readonly #options: SessionRegistryOptions;
  readonly #sessions = new Map<string, NodeSession>();
  /** The session of each node that was accepted last; the longest unseen are forgotten. */
  readonly #last = new Map<string, SessionClaim>();
  readonly #mutex = new KeyedMutex();
  readonly #changes = new Changes();

  constructor(options: SessionRegistryOptions) {
    this.#options = options;
  }

  /** Makes `session` its node's only one, or throws the reason why it may not be. */
  async admit(session: NodeSession): Promise<void> {
    const { node } = session;
    await this.#mutex.run(node, async () => {
      const present = this.#sessions.get(node);
      const verdict = judgeSession(present, session, this.#last.get(node));
      if (verdict.kind === "refuse") {
        throw new AppError("stale", `Cannot begin session of node ${node}: ${verdict.reason}`);
      }
      if (verdict.kind === "probe" && await present?.probe(PROBE_MS)) {
        const address = present?.info().remoteAddress ?? "?";
        log.warn("Second process with the key of a node refused", { node, present: address });
        throw new AppError(
          "conflict",
          `Cannot begin session: node ${node} is live at ${address} in another process`,
        );
      }
      if (!this.#sessions.has(node) && this.#sessions.size >= this.#options.sessionsMax) {
        const message = `Cannot begin session: at most ${this.#options.sessionsMax} nodes at once`;
        throw new AppError("exhausted", message);
      }
      present?.end(GoAwayReason.REPLACED, "A newer session of this node took over");
      this.#sessions.set(node, session);
      this.#remember(session);
    });
    this.#changes.notify();
  }

  #remember({ node, instanceId, sessionNumber, keyHash }: NodeSession): void {
    this.#last.delete(node);
    this.#last.set(node, { instanceId, sessionNumber, keyHash });
    const oldest = this.#last.keys().next().value;
    if (this.#last.size > 2 * this.#options.sessionsMax && oldest !== undefined) {
      this.#last.delete(oldest);
    }
  }

  /** Forgets `session`, unless another has its place already. */
  remove(session: NodeSession): void {
    if (this.#sessions.get(session.node) !== session) return;
    this.#sessions.delete(session.node);
    this.#changes.notify();
  }

  session(node: string): NodeSession | undefined {
    return this.#sessions.get(node);
  }

  sessions(): NodeSession[] {
    return [...this.#sessions.values()];
  }

  get(node: string): SessionInfo | undefined {
    return this.#sessions.get(node)?.info();
  }

  list(): SessionInfo[] {
    return this.sessions().map((session) => session.info());
  }

  subscribe(listener: () => void): () => void {
    return this.#changes.subscribe(listener);
  }

  async fetch(node: string, request: Request): Promise<Response> {
    const session = this.#sessions.get(node);
    if (!session) {
      throw new AppError("unavailable", `Cannot reach node ${node}: it is not connected`);
    }
    if (session.tunnel) return await session.tunnel.fetch(request);
    const wait = AbortSignal.any([request.signal, AbortSignal.timeout(TUNNEL_WAIT_MS)]);
    return await (await session.whenTunnel(wait)).fetch(request);
  }
}
