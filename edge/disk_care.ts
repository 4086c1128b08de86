/** What follows when the node has written more to its disk than it may in a day. */
import type { DurableStore } from "../shared/store/durable_store.ts";
import type { DiskBudget } from "../shared/store/write_budget.ts";
import type { EventLog } from "./meta/port.ts";

export interface DiskCare {
  nodeName: string;
  store: Pick<DurableStore, "sparing">;
  events: Pick<EventLog, "record">;
}

/** Spares the disk where that is not seen, and says so; desired state and statuses go on. */
export async function careForDisk(
  { state, writtenBytes, limitBytes }: DiskBudget,
  { nodeName, store, events }: DiskCare,
): Promise<void> {
  store.sparing = state === "exceeded";
  if (state !== "exceeded") return;
  const megabytes = (bytes: number) => `${Math.round(bytes / 1_000_000)} MB`;
  await events.record({
    involvedObject: { apiVersion: "v1", kind: "Node", name: nodeName, uid: nodeName },
    type: "Warning",
    reason: "DiskWriteBudgetExceeded",
    message: `${megabytes(writtenBytes)} written to the disk in a day, more than the ` +
      `${megabytes(limitBytes)} of store.dailyWriteBudgetMb: history and snapshots are coarser`,
  });
}
