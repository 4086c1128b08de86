/**
 * Intents on disk, from the moment they are asked for until the cloud has decided. Recording, the
 * list of what an act ends, and its end are one commit each: whoever is killed in between goes on
 * where it was, and nothing is done twice. Rows are few and small, and are kept in memory too.
 */
import { KeyedMutex } from "../../shared/async/keyed_mutex.ts";
import { Changes, Wakeup } from "../../shared/async/wakeup.ts";
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { type Clock, toTime } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import type { Device } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { KubeObject, Pod } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { Store, StoreOp } from "../../shared/store/port.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import {
  EARLIER_MAX,
  type PodIntent,
  type SiteIntent,
  specDigest,
  type TwinIntent,
} from "../../shared/wire/site_intent.ts";
import type { Ledger } from "../meta/port.ts";
import type { Twins } from "../twins/port.ts";
import { decideIntent, type Decision } from "./merge.ts";
import type {
  Intent,
  IntentOutbox,
  IntentProgress,
  IntentRequest,
  Intents,
  SetTwinRequest,
  SiteAct,
  SiteActs,
} from "./port.ts";

/** Intent id -> IntentRow. A changed layout is a new name and a reader for this one. */
export const INTENTS_BUCKET = "intents/v1";

/** Undecided intents at once: more than a person can mean; a script is told to stop. */
export const OPEN_INTENTS_MAX = 1_000;
/** Decided intents kept for people to read. */
export const DECIDED_INTENTS_MAX = 200;
const RETRY_MS = 5_000;

interface IntentRow<T extends SiteIntent = SiteIntent> {
  intent: T;
  /** Rises with every intent of this node. */
  order: number;
  graceSeconds?: number;
  victims?: string[];
  carriedOut: boolean;
  /** About a pod of the machine itself: no business of the cloud's. */
  isLocal?: true;
  decision?: Decision;
}

export interface DurableIntentsOptions {
  store: Store;
  outbox: IntentOutbox;
  ledger: Pick<Ledger, "changes" | "get">;
  clock: Clock;
  random: Random;
  /** Static pods, which no ledger holds; undefined before they are known. */
  staticPods?: () => readonly Pod[] | undefined;
  /** Undefined while the node has no device. */
  twins?: () => Pick<Twins, "twin" | "desireAtSite"> | undefined;
}

export class DurableIntents implements Intents, SiteActs {
  readonly changes = new Changes();
  readonly #options: DurableIntentsOptions;
  readonly #log = roomLogger("edge", "intents");
  /** One commit at a time per row; "" for recording. */
  readonly #mutex = new KeyedMutex();
  readonly #rows = new Map<string, IntentRow>();
  #order = 0;

  constructor(options: DurableIntentsOptions) {
    this.#options = options;
    const rows = options.store.list<IntentRow>(INTENTS_BUCKET).map((row) => row.value);
    rows.sort((a, b) => a.order - b.order);
    for (const row of rows) this.#rows.set(row.intent.id, row);
    this.#order = rows.at(-1)?.order ?? 0;
  }

  async record(request: IntentRequest): Promise<PodIntent & IntentProgress> {
    const row = await this.#mutex.run("", () => this.#record(request));
    this.changes.notify();
    return { ...row.intent, ...progressOf(row) };
  }

  async setTwin(request: SetTwinRequest): Promise<Intent> {
    const { namespace, name, property } = request;
    const key = twinOutboxKey({ namespace, name }, property);
    const row = await this.#mutex.run(key, () => this.#setTwin(key, request));
    await this.#prune();
    this.changes.notify();
    return toIntent(row);
  }

  list(): Intent[] {
    return [...this.#rows.values()].map(toIntent);
  }

  get(id: string): Intent | undefined {
    const row = this.#rows.get(id);
    return row && toIntent(row);
  }

  of(uid: string): readonly SiteAct[] {
    return [...this.#rows.values()].filter(isOfPod).filter((row) => row.intent.pod.uid === uid)
      .map(toAct);
  }

  async begin(id: string, victims: readonly string[]): Promise<void> {
    await this.#change(id, (row) => ({ ...row, victims: [...victims] }));
  }

  async done(id: string): Promise<void> {
    await this.#change(id, (row) => ({ ...row, carriedOut: true }));
    this.changes.notify();
  }

  /** Looks for the cloud's decisions whenever desired state or the outbox has changed. */
  async run(signal: AbortSignal): Promise<void> {
    const { ledger, outbox, clock } = this.#options;
    const wakeup = new Wakeup();
    const unsubscribes = [ledger.changes, outbox.changes, this.changes].map((changes) =>
      changes.subscribe(() => wakeup.wake())
    );
    try {
      for (;;) {
        try {
          await this.settle();
          await wakeup.wait(signal);
        } catch (error) {
          signal.throwIfAborted();
          // the disk is full or read-only: intents stay as they are until it takes writes again
          this.#log.warn("Cannot keep the decision on an intent", { error: errorChain(error) });
          await waitAtMost(wakeup, clock, RETRY_MS, signal);
        }
      }
    } finally {
      for (const unsubscribe of unsubscribes) unsubscribe();
    }
  }

  /** Keeps every decision that can be seen now. */
  async settle(): Promise<void> {
    const { outbox } = this.#options;
    let settled = false;
    for (const { intent, carriedOut, isLocal, decision } of [...this.#rows.values()]) {
      if (decision || (isLocal && !this.#options.staticPods?.())) continue;
      const made = decideIntent(intent, {
        held: this.#held(intent, isLocal),
        carriedOut,
        reported: !outbox.holds(outboxKey(intent)),
      });
      if (!made) continue;
      await this.#change(intent.id, (row) => ({ ...row, decision: made }));
      this.#log.info("Intent decided", { id: intent.id, decision: made.kind });
      settled = true;
    }
    if (settled) {
      await this.#prune();
      this.changes.notify();
    }
  }

  async #record(request: IntentRequest): Promise<IntentRow<PodIntent>> {
    const pod = this.#find(request);
    const isLocal = this.#isStatic(pod);
    if (isLocal && request.verb === "remove") {
      const words = `pods "${request.name}" is a static pod: it ends when its file is removed`;
      throw new AppError("forbidden", words);
    }
    const open = this.#open();
    const same = open.filter(isOfPod).find((row) => isSame(row, request, pod.metadata.uid));
    if (same) return same;
    requireRoom(open.length);
    const row = { ...this.#newRow(request, pod), ...(isLocal ? { isLocal } : {}) };
    // A restart is told once it is carried out; a removal is a request and goes at once.
    if (request.verb === "remove") await this.#commitReported(row);
    else await this.#options.store.commit([putRow(row)]);
    this.#rows.set(row.intent.id, row);
    return row;
  }

  #open(): IntentRow[] {
    return [...this.#rows.values()].filter((row) => !row.decision);
  }

  async #setTwin(key: string, request: SetTwinRequest): Promise<IntentRow> {
    const { namespace, name, property, value, version } = request;
    const { ledger, outbox, twins } = this.#options;
    const device = ledger.get<Device>(heldKey({ verb: "set_twin", device: { namespace, name } }));
    const engine = twins?.();
    if (!device || !engine) throw new AppError("not_found", `devices "${name}" not found`);
    const open = this.#open();
    const before = open.find(({ intent }) =>
      intent.verb === "set_twin" && intent.property === property &&
      intent.device.uid === device.metadata.uid
    );
    if (!before) requireRoom(open.length);
    const twin = engine.twin({ namespace, name }, property);
    const row = this.#newTwinRow(request, device, {
      base: twin?.overruled === undefined ? twin?.desired?.value ?? null : twin.overruled,
      before: before?.intent.verb === "set_twin" ? before.intent : undefined,
    });
    const { id } = row.intent;
    const replaced: IntentRow | undefined = before && { ...before, decision: REPLACED };
    const desire = { property, value, intent: id, ...(version === undefined ? {} : { version }) };
    await engine.desireAtSite({ namespace, name }, desire, {
      ops: [putRow(row), ...(replaced ? [putRow(replaced)] : [])],
      stage: () => outbox.stage("control", key, { kind: "intent", intent: row.intent }),
    });
    if (replaced) this.#rows.set(replaced.intent.id, replaced);
    this.#rows.set(id, row);
    return row;
  }

  #newTwinRow(
    { namespace, name, property, value, by }: SetTwinRequest,
    device: Device,
    { base, before }: { base: string | null; before: TwinIntent | undefined },
  ): IntentRow {
    const { clock, random } = this.#options;
    const intent: TwinIntent = {
      id: random.uuid(),
      verb: "set_twin",
      device: { namespace, name, uid: device.metadata.uid ?? "" },
      property,
      value,
      // the cloud may have followed the edit before this one, or not yet
      base: before ? before.base : base,
      ...(before ? { earlier: [...before.earlier ?? [], before.value].slice(-EARLIER_MAX) } : {}),
      at: toTime(clock.nowMs()),
      by,
    };
    return { intent, order: ++this.#order, carriedOut: true };
  }

  #find({ namespace, name, uid, container }: IntentRequest): Pod {
    const pod = this.#options.ledger.get<Pod>(podKey({ namespace, name })) ??
      this.#staticPod({ namespace, name });
    if (!pod) throw new AppError("not_found", `pods "${name}" not found`);
    if (uid !== undefined && uid !== pod.metadata.uid) {
      throw new AppError("conflict", `pods "${name}": the uid is ${pod.metadata.uid}, not ${uid}`);
    }
    if (pod.metadata.deletionTimestamp) {
      throw new AppError("conflict", `pods "${name}" is being deleted by the cloud`);
    }
    if (container !== undefined && !restartable(pod).includes(container)) {
      throw new AppError(
        "invalid",
        `container ${container} is not valid for pod ${name}: must be one of ${
          restartable(pod).join(", ")
        }`,
      );
    }
    return pod;
  }

  #staticPod({ namespace, name }: { namespace: string; name: string }): Pod | undefined {
    return this.#options.staticPods?.()?.find(({ metadata }) =>
      metadata.namespace === namespace && metadata.name === name
    );
  }

  #isStatic({ metadata: { namespace = "", name = "", uid } }: Pod): boolean {
    return this.#staticPod({ namespace, name })?.metadata.uid === uid;
  }

  /** What is here now of what an intent is about. */
  #held(intent: SiteIntent, isLocal = false): KubeObject | undefined {
    if (isLocal && intent.verb !== "set_twin") return this.#staticPod(intent.pod);
    return this.#options.ledger.get<KubeObject>(heldKey(intent));
  }

  #newRow(
    { verb, container, graceSeconds, by }: IntentRequest,
    pod: Pod,
  ): IntentRow<PodIntent> {
    const { clock, random } = this.#options;
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    return {
      intent: {
        id: random.uuid(),
        verb,
        pod: { namespace, name, uid },
        ...(container === undefined ? {} : { container }),
        specDigest: specDigest(pod),
        at: toTime(clock.nowMs()),
        by,
      },
      order: ++this.#order,
      ...(graceSeconds === undefined ? {} : { graceSeconds }),
      carriedOut: false,
    };
  }

  async #change(id: string, change: (row: IntentRow) => IntentRow): Promise<void> {
    await this.#mutex.run(id, async () => {
      const before = this.#rows.get(id);
      if (!before) return; // decided long ago and forgotten
      const row = decidedHere(change(before));
      const isNews = row.intent.verb === "restart" && row.carriedOut && !before.carriedOut &&
        !row.isLocal;
      if (isNews) await this.#commitReported(row);
      else await this.#options.store.commit([putRow(row)]);
      this.#rows.set(id, row);
    });
  }

  async #commitReported(row: IntentRow): Promise<void> {
    const { intent } = row;
    const report = { kind: "intent", intent } as const;
    await this.#options.outbox.putWith("control", outboxKey(intent), report, [putRow(row)]);
  }

  /**
   * The oldest decided ones go. The last of a pod that is still here stays: it says which of the
   * pod's ended runs do not count.
   */
  async #prune(): Promise<void> {
    const rows = [...this.#rows.values()];
    const decided = rows.filter((row) => row.decision);
    const surplus = decided.slice(0, Math.max(0, decided.length - DECIDED_INTENTS_MAX));
    const victims = surplus.filter(({ intent, order, isLocal }) => {
      if (intent.verb === "set_twin") return true;
      const { uid } = intent.pod;
      const held = this.#held(intent, isLocal);
      if (held?.metadata.uid !== uid) return true;
      return rows.filter(isOfPod).some((row) => row.intent.pod.uid === uid && row.order > order);
    });
    if (victims.length === 0) return;
    await this.#options.store.commit(victims.map(({ intent }): StoreOp => ({
      op: "delete",
      bucket: INTENTS_BUCKET,
      key: intent.id,
    })));
    for (const { intent } of victims) this.#rows.delete(intent.id);
  }
}

/** Containers that can be restarted alone: init steps belong to the start of the pod. */
function restartable(pod: Pod): string[] {
  const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always");
  return [...pod.spec.containers, ...sidecars].map((c) => c.name);
}

/** What is no business of the cloud's is over when it is done. */
function decidedHere(row: IntentRow): IntentRow {
  if (!row.isLocal || !row.carriedOut || row.decision) return row;
  return { ...row, decision: { kind: "merged", reason: "a static pod is this machine's own" } };
}

const REPLACED: Decision = { kind: "merged", reason: "a later edit at the site took its place" };

function requireRoom(open: number): void {
  if (open < OPEN_INTENTS_MAX) return;
  throw new AppError(
    "exhausted",
    `Cannot take the request: open intents must be <= ${OPEN_INTENTS_MAX}`,
  );
}

function isOfPod(row: IntentRow): row is IntentRow<PodIntent> {
  return row.intent.verb !== "set_twin";
}

function isSame(
  row: IntentRow<PodIntent>,
  request: IntentRequest,
  uid: string | undefined,
): boolean {
  const { intent, carriedOut } = row;
  if (intent.pod.uid !== uid || intent.verb !== request.verb) return false;
  if (intent.verb === "remove") return true;
  return !carriedOut && intent.container === request.container;
}

function podKey(pod: { namespace: string; name: string }): string {
  return objectKey({ group: "", resource: "pods" }, pod.namespace, pod.name);
}

/** Key of the object an intent is about. */
function heldKey(
  intent: PodIntent | { verb: "set_twin"; device: { namespace: string; name: string } },
): string {
  if (intent.verb !== "set_twin") return podKey(intent.pod);
  return objectKey(GVR.devices, intent.device.namespace, intent.device.name);
}

function outboxKey(intent: SiteIntent): string {
  if (intent.verb !== "set_twin") return `intent/${intent.id}`;
  return twinOutboxKey(intent.device, intent.property);
}

/** One per property: of edits that were not sent yet only the last one goes. */
function twinOutboxKey(device: { namespace: string; name: string }, property: string): string {
  return `intent/twin/${device.namespace}/${device.name}/${property}`;
}

function putRow(row: IntentRow): StoreOp {
  return { op: "put", bucket: INTENTS_BUCKET, key: row.intent.id, value: row };
}

function toIntent(row: IntentRow): Intent {
  return { ...row.intent, ...progressOf(row) };
}

function progressOf({ carriedOut, decision }: IntentRow): IntentProgress {
  const state = decision?.kind ?? (carriedOut ? "applied" : "pending");
  return { state, ...(decision ? { reason: decision.reason } : {}) };
}

function toAct(
  { intent, graceSeconds, victims, carriedOut, decision }: IntentRow<PodIntent>,
): SiteAct {
  const { id, verb, container, by } = intent;
  return {
    id,
    verb,
    by,
    carriedOut,
    holds: verb === "remove" && decision?.kind !== "conflict",
    ...(container === undefined ? {} : { container }),
    ...(graceSeconds === undefined ? {} : { graceSeconds }),
    ...(victims === undefined ? {} : { victims }),
  };
}
