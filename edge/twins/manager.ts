/**
 * The twin engine: commands in, one durable commit for what they changed, then the answer and the
 * publication. It decides nothing itself (decide.ts) and keeps no twin in memory (registry.ts).
 *
 *     command -> mailbox of its device -> decide -> commit -> publish -> answer
 */
import { Changes } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, type ErrorCode, invariant } from "../../shared/errors.ts";
import type { TwinStatus } from "../../shared/k8s/devices.ts";
import type { Store } from "../../shared/store/port.ts";
import type { Report } from "../../shared/wire/report.ts";
import type { Ledger } from "../meta/port.ts";
import { Batch } from "./batch.ts";
import { decide, isPending } from "./decide.ts";
import { deviceReport, type KnownTwin, twinStatus } from "./device_report.ts";
import { Feeds } from "./feed.ts";
import { TwinHistory } from "./history.ts";
import type { HistoryLimits } from "./history_index.ts";
import { Mailboxes } from "./mailboxes.ts";
import { type DeviceName, EMPTY_TWIN, type Rejection, type TwinCommand } from "./model.ts";
import type {
  Beside,
  DeviceDefinition,
  DeviceReport,
  DeviceSummary,
  FeedOptions,
  HistoryAnswer,
  HistoryAt,
  HistoryQuestion,
  RejectionRule,
  SiteDesire,
  TwinCounts,
  TwinFeed,
  TwinOutbox,
  TwinOutcome,
  Twins,
  TwinView,
} from "./port.ts";
import { type DeviceEntry, Registry } from "./registry.ts";
import { type DeviceRecord, twinKey, TWINS_BUCKET } from "./rows.ts";

const LIST_MAX = 10_000;
/**
 * How long a device's own "offline" stands against values of it: mappers say states every few
 * seconds and may go on with what they read last. After that values mean it is back.
 */
const OFFLINE_STANDS_MS = 15_000;

export interface TwinManagerOptions {
  store: Store;
  ledger: Pick<Ledger, "get" | "inventory" | "changes" | "head">;
  outbox: TwinOutbox;
  clock: Clock;
  /** True while the disk is to be spared: changes are kept, their history is not. */
  sparing?: () => boolean;
  /** Of the history of all devices together. */
  historyLimits?: HistoryLimits;
}

/** Work for one device, carried out inside its batch. */
export type DeviceWork = (batch: Batch) => void;

export class TwinManager implements Twins {
  readonly changes = new Changes();
  readonly registry: Registry;
  readonly pastOf: TwinHistory;
  readonly #options: TwinManagerOptions;
  readonly #feeds = new Feeds();
  readonly #mailboxes: Mailboxes<DeviceWork>;
  readonly #changes: TwinCounts["changes"] = { desired: 0, reported: 0, state: 0 };
  readonly #rejections: TwinCounts["rejections"] = {};

  constructor(options: TwinManagerOptions) {
    this.#options = options;
    const { store, ledger, clock, sparing } = options;
    this.registry = new Registry({ store, ledger, monotonicMs: clock.monotonicMs() });
    const limits = options.historyLimits;
    this.pastOf = new TwinHistory({
      store,
      clock,
      ...(sparing ? { sparing } : {}),
      ...(limits ? { limits } : {}),
    });
    this.#mailboxes = new Mailboxes((key, works) => this.#perform(key, works));
  }

  async report(device: DeviceName, report: DeviceReport): Promise<TwinOutcome> {
    return await this.#execute(device, { kind: "report", ...report });
  }

  async reportState(device: DeviceName, state: string): Promise<TwinOutcome> {
    return await this.#execute(device, { kind: "state", state });
  }

  async desireAtSite(
    device: DeviceName,
    desire: SiteDesire,
    beside: Beside,
  ): Promise<TwinOutcome> {
    return await this.#execute(device, { kind: "site_desire", ...desire }, beside);
  }

  /** Work of the engine's own; resolves when what it changed is on disk. */
  async post(key: string, work: DeviceWork): Promise<void> {
    await this.#mailboxes.post(key, work, true);
  }

  get(device: DeviceName): DeviceSummary | undefined {
    const entry = this.registry.find(device);
    return entry && this.#summary(entry);
  }

  list(range: { after?: string; limit?: number; namespace?: string } = {}): DeviceSummary[] {
    const { after = "", limit = LIST_MAX, namespace } = range;
    const found: DeviceSummary[] = [];
    for (const key of this.registry.keys()) {
      if (found.length >= limit) break;
      if (key <= after) continue;
      if (namespace !== undefined && !key.startsWith(`${namespace}/`)) continue;
      const entry = this.registry.byKey(key);
      const summary = entry && this.#summary(entry);
      if (summary) found.push(summary);
    }
    return found;
  }

  definition(device: DeviceName): DeviceDefinition | undefined {
    return this.registry.find(device)?.record && this.registry.define(device);
  }

  twins(device: DeviceName): TwinView[] {
    const entry = this.registry.find(device);
    const definition = this.definition(device);
    if (!entry || !definition) return [];
    const known = this.registry.twins(entry);
    return definition.properties.map(({ name, type, readOnly }) => {
      const twin = known.get(name) ?? EMPTY_TWIN;
      const pending = isPending({ twin: () => twin, rules: () => ({ type, readOnly }) }, name);
      return { property: name, type, readOnly, pending, ...twin };
    });
  }

  status(device: DeviceName): TwinStatus[] {
    const entry = this.registry.find(device);
    return entry?.record ? this.#known(entry, entry.record).map(twinStatus) : [];
  }

  twin(device: DeviceName, property: string): TwinView | undefined {
    const entry = this.registry.find(device);
    const rules = entry?.record && this.registry.rules(entry, entry.record, property);
    if (!entry || !rules) return undefined;
    const twin = this.registry.twin(entry, property);
    const pending = isPending({ twin: () => twin, rules: () => rules }, property);
    return { property, type: rules.type, readOnly: rules.readOnly, pending, ...twin };
  }

  subscribe(options?: FeedOptions): TwinFeed {
    return this.#feeds.subscribe(options);
  }

  async history(device: DeviceName, question: HistoryQuestion): Promise<HistoryAnswer> {
    return await this.pastOf.ask(this.#require(device).key, question);
  }

  async at(device: DeviceName, timeMs: number): Promise<HistoryAt[]> {
    const { key } = this.#require(device);
    return await this.pastOf.at(key, this.twins(device), timeMs);
  }

  counts(): TwinCounts {
    return {
      devices: this.registry.size,
      changes: { ...this.#changes },
      rejections: { ...this.#rejections },
      waiting: this.#mailboxes.waiting,
    };
  }

  /** For the outbox: the whole latest of a device, as it is on disk. */
  makeReport(device: string): Report | undefined {
    const entry = this.registry.byKey(device);
    if (!entry?.record) return undefined;
    const { namespace, name } = entry;
    return deviceReport(entry.record, { namespace, name }, this.#known(entry, entry.record));
  }

  /** Twins of which something is known, without a look at the definition: often asked for. */
  #known(entry: DeviceEntry, record: DeviceRecord): KnownTwin[] {
    return [...this.registry.twins(entry)].flatMap(([property, twin]): KnownTwin[] => {
      const rules = this.registry.rules(entry, record, property);
      return rules && (twin.reported ?? twin.desired) ? [{ ...twin, property, ...rules }] : [];
    });
  }

  #summary(entry: DeviceEntry): DeviceSummary | undefined {
    const { namespace, name, record, heard } = entry;
    if (!record) return undefined;
    const { clock } = this.#options;
    const agoMs = clock.monotonicMs() - entry.seenMonotonicMs;
    return {
      namespace,
      name,
      uid: record.uid,
      model: record.model,
      life: record.life,
      ...(heard ? { lastSeenMs: Math.round(clock.nowMs() - agoMs) } : {}),
    };
  }

  #require(device: DeviceName): DeviceEntry {
    const entry = this.registry.find(device);
    if (entry?.record) return entry;
    const { namespace, name } = device;
    throw new AppError("not_found", `devices "${namespace}/${name}" not found`);
  }

  async #execute(
    device: DeviceName,
    command: TwinCommand,
    beside?: Beside,
  ): Promise<TwinOutcome> {
    const entry = this.registry.find(device);
    if (!entry) {
      const reason = `devices "${device.namespace}/${device.name}" not found`;
      throw this.#refusal({ rule: "unknown_device", reason });
    }
    let outcome: TwinOutcome | undefined;
    const work: DeviceWork = (batch) => {
      outcome = this.#decide(batch, command, beside);
    };
    try {
      await this.#mailboxes.post(entry.key, work);
    } catch (error) {
      if (error instanceof AppError && error.facts.rule === "busy") this.#countRejection("busy");
      throw error;
    }
    invariant(outcome, "work that was done has an outcome");
    const [first] = outcome.rejections;
    const isPartial = command.kind === "report" && command.partial;
    if (first && !isPartial) throw this.#refusal(first);
    for (const { rule } of outcome.rejections) this.#countRejection(rule);
    return outcome;
  }

  #decide(batch: Batch, command: TwinCommand, beside: Beside | undefined): TwinOutcome {
    const { entry } = batch;
    if (batch.removed || !(batch.record ?? entry.record)) {
      const reason = `devices "${entry.key}" not found`;
      return { events: [], rejections: [{ rule: "unknown_device", reason }] };
    }
    const known = command.kind === "report" && this.#saidOffline(entry)
      ? { ...command, saidOffline: true }
      : command;
    const { events, rejections } = decide(batch.facts, known, this.#options.clock.nowMs());
    const refused = rejections.length > 0 && events.length === 0;
    if (!refused) this.#hear(entry, command);
    batch.apply(events);
    if (beside && !refused) batch.add(beside.ops, beside.stage?.());
    return { events, rejections };
  }

  #hear(entry: DeviceEntry, command: TwinCommand): void {
    if (command.kind !== "report" && command.kind !== "state") return;
    entry.seenMonotonicMs = this.#options.clock.monotonicMs();
    entry.heard = true;
    if (command.kind === "report") return;
    const isOffline = command.state.toLowerCase() === "offline";
    entry.offlineSaidMonotonicMs = isOffline ? entry.seenMonotonicMs : undefined;
  }

  #saidOffline({ offlineSaidMonotonicMs }: DeviceEntry): boolean {
    if (offlineSaidMonotonicMs === undefined) return false;
    return this.#options.clock.monotonicMs() - offlineSaidMonotonicMs < OFFLINE_STANDS_MS;
  }

  async #perform(key: string, works: readonly DeviceWork[]): Promise<void> {
    const entry = this.registry.byKey(key);
    if (!entry) throw new AppError("not_found", `devices "${key}" not found`);
    const { store, outbox, clock } = this.#options;
    const batch = new Batch(entry, this.registry, clock.nowMs());
    let ok = false;
    try {
      for (const work of works) work(batch);
      const withHistory = this.pastOf.accepts();
      const ops = batch.seal(outbox, withHistory);
      if (ops.length > 0) await store.commit(ops);
      if (withHistory && batch.hasHistory) this.pastOf.added(key);
      ok = true;
    } finally {
      batch.done(ok);
    }
    this.#publish(batch);
  }

  /** The commit is on disk: from here on it is so. */
  #publish(batch: Batch): void {
    const { entry } = batch;
    if (batch.removed) this.registry.remove(entry);
    else entry.record = batch.newRecord() ?? entry.record;
    for (const { kind } of batch.events) this.#changes[kind]++;
    const changes = batch.published();
    if (changes.length === 0) return;
    this.#feeds.publish(changes);
    // values come too often for those who look at whole devices
    if (changes.some(({ kind }) => kind !== "reported")) this.changes.notify();
  }

  #refusal({ rule, property, reason }: Rejection): AppError {
    this.#countRejection(rule);
    const facts = { rule, ...(property === undefined ? {} : { property }) };
    return new AppError(CODE_OF[rule], reason, facts);
  }

  #countRejection(rule: RejectionRule): void {
    this.#rejections[rule] = (this.#rejections[rule] ?? 0) + 1;
  }
}

const CODE_OF: Record<RejectionRule, ErrorCode> = {
  unknown_device: "not_found",
  unknown_property: "not_found",
  type: "invalid",
  range: "invalid",
  read_only: "invalid",
  too_big: "invalid",
  stale: "stale",
  timestamp: "invalid",
  state: "invalid",
  busy: "exhausted",
};

/** The rows of properties a device no longer has. */
export function staleTwins(
  registry: Registry,
  entry: DeviceEntry,
  keep: (property: string) => boolean,
): { bucket: string; key: string }[] {
  return [...registry.twins(entry).keys()].filter((property) => !keep(property))
    .map((property) => ({ bucket: TWINS_BUCKET, key: twinKey(entry.key, property) }));
}
