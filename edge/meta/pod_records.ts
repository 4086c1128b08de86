/**
 * The last status of each pod on this node, for local readers and across restarts. A status and its
 * report are one commit, so neither can be there without the other.
 */
import { Changes } from "../../shared/async/wakeup.ts";
import type { Pod, PodStatus } from "../../shared/k8s/types.ts";
import type { Store } from "../../shared/store/port.ts";
import type { Report } from "../../shared/wire/report.ts";
import { BUCKET } from "./buckets.ts";
import type { DurableOutbox } from "./outbox.ts";
import type { History, PodRecord, PodRecords, PodRef } from "./port.ts";

export class DurablePodRecords implements PodRecords {
  readonly changes = new Changes();
  readonly #store: Store;
  readonly #outbox: DurableOutbox;

  readonly #history: History | undefined;

  constructor(options: { store: Store; outbox: DurableOutbox; history?: History }) {
    this.#store = options.store;
    this.#outbox = options.outbox;
    this.#history = options.history;
  }

  get(uid: string): PodRecord | undefined {
    return this.#store.get<PodRecord>(BUCKET.podStatus, uid);
  }

  list(): PodRecord[] {
    return this.#store.list<PodRecord>(BUCKET.podStatus).map((row) => row.value);
  }

  async recordStatus(pod: PodRef, status: PodStatus, mirror?: Pod): Promise<void> {
    const value: PodRecord = { pod, status };
    const before = this.get(pod.uid)?.status;
    // beside the commit, not in it: history may be refused, a status may not; it never rejects
    if (summaryOf(before) !== summaryOf(status)) void this.#tell(pod, status);
    const report: Report = { kind: "pod_status", pod, status, ...(mirror ? { mirror } : {}) };
    await this.#outbox.putWith("status", outboxKey(pod), report, [
      { op: "put", bucket: BUCKET.podStatus, key: pod.uid, value },
    ]);
    this.changes.notify();
  }

  async #tell(pod: PodRef, status: PodStatus): Promise<void> {
    const { phase = "Unknown", reason, containerStatuses = [] } = status;
    await this.#history?.record({
      kind: "pod_status",
      subject: `pods/${pod.namespace}/${pod.name}`,
      what: phase,
      detail: {
        uid: pod.uid,
        ...(reason === undefined ? {} : { reason }),
        ready: containerStatuses.filter((container) => container.ready).length,
        restarts: restartsOf(status),
      },
    });
  }

  /** Under the status' key: a status that still waits is replaced, the end is what counts. */
  async recordGone(pod: PodRef): Promise<void> {
    const subject = `pods/${pod.namespace}/${pod.name}`;
    // as in `recordStatus`
    void this.#history?.record({
      kind: "pod_gone",
      subject,
      what: "Gone",
      detail: { uid: pod.uid },
    });
    await this.#outbox.putWith("control", outboxKey(pod), { kind: "pod_gone", pod }, [
      { op: "delete", bucket: BUCKET.podStatus, key: pod.uid },
    ]);
    this.changes.notify();
  }
}

/** What makes a status worth a row of history: not every probe's stamp. */
function summaryOf(status: PodStatus | undefined): string {
  if (!status) return "";
  const ready = (status.containerStatuses ?? []).map((container) => container.ready);
  return JSON.stringify([status.phase, status.reason, ready, restartsOf(status)]);
}

function restartsOf({ containerStatuses = [] }: PodStatus): number {
  return containerStatuses.reduce((sum, container) => sum + (container.restartCount ?? 0), 0);
}

function outboxKey(pod: PodRef): string {
  return `pod/${pod.uid}`;
}
