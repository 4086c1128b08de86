/**
 * The last status of each pod on this node, for local readers and across restarts. A status and its
 * report are one commit, so neither can be there without the other.
 */
import { Changes } from "../../shared/async/wakeup.ts";
import type { PodStatus } from "../../shared/k8s/types.ts";
import type { Store } from "../../shared/store/port.ts";
import { BUCKET } from "./buckets.ts";
import type { DurableOutbox } from "./outbox.ts";
import type { PodRecord, PodRecords, PodRef } from "./port.ts";

export class DurablePodRecords implements PodRecords {
  readonly changes = new Changes();
  readonly #store: Store;
  readonly #outbox: DurableOutbox;

  constructor(options: { store: Store; outbox: DurableOutbox }) {
    this.#store = options.store;
    this.#outbox = options.outbox;
  }

  get(uid: string): PodRecord | undefined {
    return this.#store.get<PodRecord>(BUCKET.podStatus, uid);
  }

  list(): PodRecord[] {
    return this.#store.list<PodRecord>(BUCKET.podStatus).map((row) => row.value);
  }

  async recordStatus(pod: PodRef, status: PodStatus): Promise<void> {
    const value: PodRecord = { pod, status };
    await this.#outbox.putWith("status", outboxKey(pod), { kind: "pod_status", pod, status }, [
      { op: "put", bucket: BUCKET.podStatus, key: pod.uid, value },
    ]);
    this.changes.notify();
  }

  /** Under the status' key: a status that still waits is replaced, the end is what counts. */
  async recordGone(pod: PodRef): Promise<void> {
    await this.#outbox.putWith("control", outboxKey(pod), { kind: "pod_gone", pod }, [
      { op: "delete", bucket: BUCKET.podStatus, key: pod.uid },
    ]);
    this.changes.notify();
  }
}

function outboxKey(pod: PodRef): string {
  return `pod/${pod.uid}`;
}
