/**
 * One device of a protocol that is spoken here: connects, reads what is due, writes what is
 * desired, reads it back, reports, and connects again. One call of the driver at a time, each with
 * a deadline; whatever fails stays with this device.
 */
import { fullJitterMs } from "../../shared/async/backoff.ts";
import type { Pacer } from "../../shared/async/pacer.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, InvariantError } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { DeviceDefinition, Twins } from "../twins/port.ts";
import type { Connections } from "./connections.ts";
import { type CycleGroup, groupCycles, nextAfter, phaseMs, pointsOf } from "./cycles.ts";
import { within } from "./deadline.ts";
import { DeviceEvents, type Told } from "./device_events.ts";
import { DesiredWrites } from "./desired_writes.ts";
import type { Connection, DeviceEventLog, Driver, MappedStatus, Point, Reading } from "./port.ts";
import { Reporter } from "./reporter.ts";
import type { Job, Scheduler } from "./scheduler.ts";
import { wholeSetting } from "./settings.ts";

export interface DeviceParts {
  definition: DeviceDefinition;
  driver: () => Promise<Driver>;
  twins: Twins;
  scheduler: Scheduler;
  connections: Connections;
  clock: Clock;
  random: Random;
  /** Absent where nobody is told. */
  events?: DeviceEventLog;
  nodeBudget: Pacer;
  /** What was told of it before it was begun anew. */
  told?: ReadonlyMap<string, Told> | undefined;
}

// idle -> (open) live -> (failure) backoff -> idle
type Link =
  | { kind: "idle" }
  | { kind: "live"; connection: Connection }
  | { kind: "backoff"; untilMs: number };

interface Due {
  collect: Point[];
  report: Point[];
}

const OPEN_MS = 10_000;
const CLOSE_MS = 2_000;
const CALL_MS_DEFAULT = 3_000;
const BACKOFF = { initialMs: 1_000, maxMs: 60_000 };
/** Even the luckiest jitter waits so long. */
const BACKOFF_MS_MIN = 250;

const log = roomLogger("mappers");

export class MappedDevice implements Job {
  readonly #parts: DeviceParts;
  readonly #points: ReadonlyMap<string, Point>;
  readonly #groups: CycleGroup[];
  readonly #reporter: Reporter;
  readonly #writes: DesiredWrites;
  readonly #events: DeviceEvents | undefined;
  readonly #stop = new AbortController();
  readonly #callMs: number;
  #link: Link = { kind: "idle" };
  #failures = 0;
  /** A round has ended well since it was last lost. */
  #reached = false;
  /** Why it is away, until a round ends well. */
  #reason: string | undefined;
  #working: Promise<void> | undefined;
  /** It spoke by itself since the last round. */
  #spoke = false;

  constructor(parts: DeviceParts) {
    this.#parts = parts;
    const { definition, clock, twins } = parts;
    const points = pointsOf(definition.properties);
    this.#points = new Map(points.map((point) => [point.name, point]));
    this.#groups = groupCycles(definition.properties, points, 0);
    const shortestMs = Math.min(...this.#groups.map(({ collectMs }) => collectMs), 60_000);
    const key = `${definition.namespace}/${definition.name}`;
    const beginMs = clock.monotonicMs() + phaseMs(key, shortestMs);
    for (const group of this.#groups) group.nextCollectMs = group.nextReportMs = beginMs;
    const { timeoutMs, collectTimeout } = definition.protocol.configData;
    this.#callMs = wholeSetting(timeoutMs ?? collectTimeout, [50, 60_000]) ?? CALL_MS_DEFAULT;
    this.#reporter = new Reporter({ device: definition, twins, clock });
    this.#writes = new DesiredWrites({
      points: this.#points,
      desired: (property) => twins.twin(definition, property)?.desired?.value,
      call: (work) => this.#call("answer", work),
      reporter: this.#reporter,
      clock,
    });
    const { events, nodeBudget, told } = parts;
    if (events) {
      this.#events = new DeviceEvents({ device: definition, events, clock, nodeBudget, told });
    }
    this.#schedule(beginMs);
  }

  get status(): MappedStatus {
    const { namespace, name, protocol } = this.#parts.definition;
    const { problems } = this.#reporter;
    const first = Object.entries(problems)[0];
    const told = { namespace, name, protocol: protocol.name, problems };
    if (this.#reason !== undefined) return { ...told, state: "offline", reason: this.#reason };
    if (!this.#reached) return { ...told, state: "connecting", reason: "" };
    if (!first) return { ...told, state: "online", reason: "" };
    return { ...told, state: "unhealthy", reason: `${first[0]}: ${first[1]}` };
  }

  get told(): ReadonlyMap<string, Told> | undefined {
    return this.#events?.told;
  }

  /** What is desired of a property has changed. */
  desire(property: string): void {
    const point = this.#points.get(property);
    if (!point || point.readOnly) return;
    this.#writes.add(property, { sure: true });
    if (this.#link.kind === "live") this.#schedule(this.#parts.clock.monotonicMs());
  }

  run(): void {
    if (this.#stop.signal.aborted) return;
    const nowMs = this.#parts.clock.monotonicMs();
    const due = this.#takeDue(nowMs);
    if (this.#working) {
      if (due.collect.length > 0) this.#parts.connections.skipped++;
      this.#schedule(this.#nextCycleMs());
    } else if (this.#link.kind === "backoff" && nowMs < this.#link.untilMs) {
      this.#schedule(this.#link.untilMs);
    } else {
      this.#working = this.#work(due);
      // cycles that fall into this one are to be seen; its end says when the next one is
      this.#schedule(this.#nextCycleMs());
    }
  }

  async close(): Promise<void> {
    this.#parts.scheduler.cancel(this);
    this.#stop.abort(new AppError("canceled", "The device is no longer mapped here"));
    await this.#working;
    await this.#disconnect();
  }

  async #work(due: Due): Promise<void> {
    try {
      if (this.#link.kind === "live") {
        await this.#round(this.#link.connection, due);
      } else {
        const connection = await this.#connect();
        const all = [...this.#points.values()];
        await this.#round(connection, { collect: all, report: all });
      }
      this.#failures = 0;
      this.#reached = true;
      this.#reason = undefined;
      await this.#events?.tell(this.#reporter.troubles());
    } catch (error) {
      if (error instanceof InvariantError) throw error;
      if (!this.#stop.signal.aborted) await this.#fail(error);
    } finally {
      this.#working = undefined;
      if (!this.#stop.signal.aborted) this.#schedule(this.#nextMs());
    }
  }

  async #connect(): Promise<Connection> {
    const { definition, driver, connections, clock } = this.#parts;
    this.#link = { kind: "idle" };
    connections.take();
    try {
      const opened = await within(
        { clock, ms: OPEN_MS, what: "connection" },
        this.#stop.signal,
        async (signal) => {
          const { namespace, name, protocol } = definition;
          const { configData: config } = protocol;
          const points = [...this.#points.values()];
          const device = { namespace, name, protocol: protocol.name, config, points };
          const connection = await (await driver()).open(device, signal);
          // nobody waits for it any more: it would stay open for good
          if (signal.aborted) await this.#closeQuietly(connection);
          return connection;
        },
      );
      this.#adopt(opened);
      return opened;
    } catch (error) {
      connections.release();
      throw error;
    }
  }

  #adopt(connection: Connection): void {
    const isMine = () => this.#link.kind === "live" && this.#link.connection === connection;
    this.#link = { kind: "live", connection };
    const wake = () => {
      if (!this.#working) this.#schedule(this.#parts.clock.monotonicMs());
    };
    connection.lost?.addEventListener("abort", wake, { once: true });
    connection.listen?.((property, reading) => {
      if (!isMine() || !this.#points.has(property)) return;
      this.#reporter.take(property, reading);
      this.#reporter.due(property);
      this.#spoke = true;
      wake();
    });
    // the device may have been changed, or replaced, while it was away
    for (const { name, readOnly } of this.#points.values()) {
      if (!readOnly) this.#writes.add(name, { sure: connection.read === undefined });
    }
  }

  async #round(connection: Connection, due: Due): Promise<void> {
    connection.lost?.throwIfAborted();
    // a device that speaks by itself is not there because a cycle has passed
    const isNews = this.#spoke || !this.#reached || connection.read !== undefined;
    this.#spoke = false;
    const reports = this.#reporter;
    const collect = connection.read ? due.collect : [];
    if (collect.length > 0) {
      const readings = await this.#read(connection, collect);
      for (const [property, reading] of readings) reports.take(property, reading);
    }
    this.#parts.connections.writes += await this.#writes.flush(connection);
    if (connection.read) { for (const { name } of due.report) reports.due(name); }
    await reports.send(this.#stop.signal);
    if (!isNews) return;
    await reports.state(Object.keys(reports.problems).length === 0 ? "online" : "unhealthy");
  }

  async #read(
    connection: Connection,
    points: readonly Point[],
  ): Promise<ReadonlyMap<string, Reading>> {
    this.#parts.connections.reads++;
    return await this.#call("answer", async (signal) => {
      return await connection.read?.(points, signal) ?? new Map<string, Reading>();
    });
  }

  async #call<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { clock } = this.#parts;
    return await within({ clock, ms: this.#callMs, what }, this.#stop.signal, work);
  }

  async #fail(error: unknown): Promise<void> {
    const { definition, connections, clock, random } = this.#parts;
    connections.failures++;
    await this.#disconnect();
    const jitterMs = fullJitterMs(BACKOFF, this.#failures, random);
    const waitMs = Math.max(BACKOFF_MS_MIN, jitterMs);
    const reason = errorChain(error);
    if (this.#failures++ === 0) {
      const { namespace, name, protocol } = definition;
      log.warn("Device is not reached", {
        device: `${namespace}/${name}`,
        protocol: protocol.name,
        error: reason,
      });
    }
    this.#link = { kind: "backoff", untilMs: clock.monotonicMs() + waitMs };
    this.#reached = false;
    this.#reason = reason;
    this.#reporter.forget();
    await this.#reporter.state("offline");
    await this.#events?.tell([{ of: "device", property: "", text: reason }]);
  }

  async #disconnect(): Promise<void> {
    if (this.#link.kind !== "live") return;
    const { connection } = this.#link;
    this.#link = { kind: "idle" };
    this.#parts.connections.release();
    await this.#closeQuietly(connection);
  }

  async #closeQuietly(connection: Connection): Promise<void> {
    const { clock } = this.#parts;
    // its own deadline: the device's signal may be what ended it
    const signal = new AbortController().signal;
    await within({ clock, ms: CLOSE_MS, what: "end" }, signal, () => connection.close())
      .catch((error) => log.debug("Connection did not close", { error: errorChain(error) }));
  }

  #takeDue(nowMs: number): Due {
    const due: Due = { collect: [], report: [] };
    for (const group of this.#groups) {
      if (group.nextCollectMs <= nowMs) {
        due.collect.push(...group.points);
        group.nextCollectMs = nextAfter(group.nextCollectMs, group.collectMs, nowMs);
      }
      if (group.nextReportMs <= nowMs) {
        due.report.push(...group.points);
        group.nextReportMs = nextAfter(group.nextReportMs, group.reportMs, nowMs);
      }
    }
    return due;
  }

  #nextCycleMs(): number {
    return Math.min(
      ...this.#groups.map(({ nextCollectMs, nextReportMs }) =>
        Math.min(nextCollectMs, nextReportMs)
      ),
    );
  }

  #nextMs(): number {
    const link = this.#link;
    if (link.kind === "backoff") return link.untilMs;
    const nowMs = this.#parts.clock.monotonicMs();
    if (this.#spoke || (link.kind === "live" && link.connection.lost?.aborted)) return nowMs;
    const isMute = link.kind !== "live" || link.connection.read !== undefined;
    return Math.min(isMute ? this.#nextCycleMs() : Infinity, this.#writes.nextMs());
  }

  /** A device without properties and without news has nothing to be called for. */
  #schedule(atMs: number): void {
    if (Number.isFinite(atMs)) this.#parts.scheduler.schedule(this, atMs);
  }
}
