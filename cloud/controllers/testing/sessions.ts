/** Node sessions that tests open and close. */
import { Changes } from "../../../shared/async/wakeup.ts";
import type { NodeSessions, SessionInfo } from "../../hub/port.ts";

export class FakeSessions implements NodeSessions {
  readonly #changes = new Changes();
  readonly #sessions = new Map<string, SessionInfo>();

  open(node: string): void {
    this.#sessions.set(node, {
      node,
      sinceMs: 0,
      lastHeartbeatMs: 0,
      ackedGeneration: 0,
      remoteAddress: "192.0.2.7:4711",
    });
    this.#changes.notify();
  }

  close(node: string): void {
    this.#sessions.delete(node);
    this.#changes.notify();
  }

  get(node: string): SessionInfo | undefined {
    return this.#sessions.get(node);
  }

  list(): SessionInfo[] {
    return [...this.#sessions.values()];
  }

  subscribe(listener: () => void): () => void {
    return this.#changes.subscribe(listener);
  }

  fetch(): Promise<Response> {
    return Promise.reject(new Error("not used"));
  }
}
