/** What rules need of the rest of the cloud. */
import type { Changes } from "../../shared/async/wakeup.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import type { NodeSessions } from "../hub/port.ts";

export interface Rule extends KubeObject {
  spec: {
    source: string;
    sourceResource: Record<string, string>;
    target: string;
    targetResource: Record<string, string>;
  };
  status?: RuleStatus;
}

export interface RuleStatus {
  successMessages?: number;
  failMessages?: number;
  errors?: string[];
}

export interface RuleEndpoint extends KubeObject {
  spec: { ruleEndpointType: string; properties?: Record<string, string> };
}

/** A copy of one resource that is kept up to date. */
export interface Followed<T extends KubeObject> {
  readonly changes: Changes;
  /** By "<namespace>/<name>". */
  readonly items: ReadonlyMap<string, T>;
  whenSynced(signal: AbortSignal): Promise<void>;
  run(signal: AbortSignal): Promise<void>;
}

export type Nodes = Pick<NodeSessions, "get" | "list" | "subscribe" | "fetch">;

/** Who sends a request: the user its bearer token is of; undefined when it is of nobody. */
export type WhoIs = (
  authorization: string,
) => Promise<{ username: string; groups: readonly string[] } | undefined>;
