/**
 * Pure: may a session that just said hello take the place of the one a node has? It must prove to
 * be newer. Numbers order the sessions of one process; another key is newer because only the
 * enrolled key gets this far; between two processes with one key, the one that still answers
 * stays, so that a cloned machine cannot push the real one out.
 */
export interface SessionClaim {
  /** Random per process of the node. */
  instanceId: string;
  /** Rises with every session of that process. */
  sessionNumber: bigint;
  /** Key the certificate was issued for. */
  keyHash: string;
}

export type SessionVerdict =
  | { kind: "accept" }
  | { kind: "replace" }
  /** Ask the present session for a sign of life; replace it when there is none. */
  | { kind: "probe" }
  | { kind: "refuse"; reason: string };

/** `last` is the session of this node that was accepted last, whether it is there or not. */
export function judgeSession(
  present: SessionClaim | undefined,
  next: SessionClaim,
  last: SessionClaim | undefined,
): SessionVerdict {
  // a session that was on its way for long may come when its successors have come and gone
  const isLate = last?.instanceId === next.instanceId && last.keyHash === next.keyHash &&
    next.sessionNumber <= last.sessionNumber;
  if (!present) {
    return isLate
      ? { kind: "refuse", reason: "a newer session of the same process has been here" }
      : { kind: "accept" };
  }
  if (present.keyHash !== next.keyHash) return { kind: "replace" };
  if (present.instanceId !== next.instanceId) return { kind: "probe" };
  if (next.sessionNumber > present.sessionNumber) return { kind: "replace" };
  return { kind: "refuse", reason: "a newer session of the same process is live" };
}
