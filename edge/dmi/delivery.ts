/**
 * What one mapper is to be told, until it has been told. Whole state, not messages: a key that is
 * due is looked at when its turn comes, compared by digest with what the mapper was last told, and
 * only a difference becomes a call. So the latest counts, nothing is lost while the mapper is away,
 * and what has not changed is never built anew. One call at a time per device, some side by side;
 * models before devices, devices gone before their models.
 *
 *     known -> (connect) connected <-> away (back-off, at most 15 s, until it is back or registers)
 */
import { Code } from "@connectrpc/connect";
import { fullJitterMs } from "../../shared/async/backoff.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import { type Clock, nextTurn } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import { HOLD, nameOf, type Wanted } from "./device_world.ts";
import type { CallOutcome, MapperCall, MapperClient } from "./mapper_client.ts";
import type { Told } from "./mapper_rows.ts";
import type { MapperConnection, MapperRefusal, MapperStatus } from "./port.ts";
import type { MapperRecord } from "./reports.ts";

/** Calls at once to one mapper: its devices often share a bus. */
const CALLS_MAX = 8;
const AWAY = { initialMs: 200, maxMs: 15_000 };
/** After a call that was refused or not answered. */
const AGAIN = { initialMs: 1_000, maxMs: 300_000 };
/** Calls without an answer, one after the other, after which the mapper as a whole is let be. */
const SILENT_MAX = CALLS_MAX;
/** Removals refused without a reason, after which the mapper is taken at its word: it has none. */
const REMOVALS_MAX = 3;
/** Devices compared before others get a turn: some milliseconds. */
const LOOKS_MAX = 50;
/** Nothing to do: until somebody wakes us. */
const IDLE_MS = 24 * 3_600_000;

const log = roomLogger("edge", "dmi");

export interface DeliveryOptions {
  record: MapperRecord;
  told: Told;
  wanted: (key: string) => Wanted | typeof HOLD | undefined;
  connect: (address: string, onLost: () => void) => MapperClient;
  clock: Clock;
  random: Random;
}

interface Trouble extends MapperRefusal {
  attempt: number;
  untilMs: number;
}

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #wakeup = new Wakeup();
  /** Keys to look at, in this order. */
  readonly #due = new Set<string>();
  readonly #underWay = new Set<string>();
  readonly #troubles = new Map<string, Trouble>();
  /** Digests of what was called as new without an answer: the mapper may have it. */
  readonly #unanswered = new Map<string, string>();
  #record: MapperRecord;
  #client: MapperClient | undefined;
  #connection: MapperConnection = { kind: "known" };
  #awayAttempt = 0;
  #awayUntilMs = 0;
  #silent = 0;
  /** Rises with each registration: what was under way before it says nothing of the new mapper. */
  #epoch = 0;
  /** Registrations under way: nothing is told meanwhile. */
  #paused = 0;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#record = options.record;
  }

  get told(): Told {
    return this.#options.told;
  }

  status(): MapperStatus {
    const { protocol, name, version, address } = this.#record;
    return {
      protocol,
      name,
      version,
      address,
      connection: this.#connection,
      devices: this.#options.told.devices,
      waiting: this.#due.size + this.#underWay.size,
    };
  }

  refusal(key: string): MapperRefusal | undefined {
    const trouble = this.#troubles.get(key);
    return trouble && { call: trouble.call, message: trouble.message };
  }

  /** Looks at these again; what is as the mapper knows it costs no call. */
  look(keys: Iterable<string>): void {
    for (const key of keys) {
      this.#due.add(key);
      this.#troubles.delete(key);
    }
    this.#wakeup.wake();
  }

  /** Everything the mapper knows or is to know. */
  lookAtAll(keys: Iterable<string>): void {
    this.look(this.#options.told.keys());
    this.look(keys);
  }

  /**
   * The mapper has registered: `give` says what it knows from now on. Nothing is told while that is
   * put together, and nothing of before counts.
   */
  async registered(
    record: MapperRecord,
    give: () => Promise<ReadonlyMap<string, string>>,
  ): Promise<void> {
    this.#paused++;
    this.#epoch++;
    const before = this.#client;
    this.#client = undefined;
    try {
      await before?.close();
      const digests = await give();
      await this.#options.told.replace(record, digests);
      this.#record = record;
      this.#troubles.clear();
      this.#unanswered.clear();
      this.#connection = { kind: "known" };
      this.#awayAttempt = 0;
      this.#awayUntilMs = 0;
    } finally {
      this.#paused--;
      this.#wakeup.wake();
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const scope = new TaskScope(signal);
    try {
      while (!scope.signal.aborted) {
        if (this.#paused === 0 && this.#isTime() && await this.#connected(scope.signal)) {
          if (this.#start(scope)) {
            await nextTurn();
            continue;
          }
        }
        await waitAtMost(this.#wakeup, this.#options.clock, this.#waitMs(), scope.signal);
      }
    } finally {
      scope.abort();
      await this.#client?.close();
      await scope.join();
    }
  }

  #isTime(): boolean {
    return this.#options.clock.monotonicMs() >= this.#awayUntilMs;
  }

  async #connected(signal: AbortSignal): Promise<boolean> {
    const epoch = this.#epoch;
    const client = this.#client ??= this.#newClient();
    if (client.isConnected && this.#connection.kind === "connected") return true;
    const problem = await client.connect(signal);
    if (epoch !== this.#epoch) return false;
    if (problem !== undefined) {
      this.#away(problem);
      return false;
    }
    if (this.#connection.kind === "away") log.info("Mapper is back", { ...this.#facts() });
    this.#connection = { kind: "connected", sinceMs: this.#options.clock.nowMs() };
    return true;
  }

  #newClient(): MapperClient {
    const epoch = this.#epoch;
    return this.#options.connect(this.#record.address, () => {
      if (epoch !== this.#epoch || this.#connection.kind !== "connected") return;
      this.#away("The connection was lost");
      this.#wakeup.wake();
    });
  }

  #away(problem: string): void {
    const { clock, random } = this.#options;
    const delayMs = fullJitterMs(AWAY, this.#awayAttempt++, random);
    this.#awayUntilMs = clock.monotonicMs() + Math.max(AWAY.initialMs / 2, delayMs);
    const sinceMs = this.#connection.kind === "away" ? this.#connection.sinceMs : clock.nowMs();
    if (this.#connection.kind !== "away") {
      log.warn("Mapper does not answer", { ...this.#facts(), problem });
    }
    this.#connection = { kind: "away", sinceMs, problem };
  }

  #waitMs(): number {
    if (this.#paused > 0) return IDLE_MS;
    const nowMs = this.#options.clock.monotonicMs();
    if (!this.#isTime()) return this.#awayUntilMs - nowMs;
    if (this.#underWay.size >= CALLS_MAX) return IDLE_MS;
    let waitMs = IDLE_MS;
    for (const key of this.#due) {
      const untilMs = this.#troubles.get(key)?.untilMs;
      if (untilMs !== undefined) waitMs = Math.min(waitMs, Math.max(0, untilMs - nowMs));
    }
    return waitMs;
  }

  /** Starts what may be started now; true when others are to have a turn before the rest. */
  #start(scope: TaskScope): boolean {
    let looks = 0;
    for (const phase of PHASES) {
      let blocked = false;
      for (const key of this.#due) {
        if (this.#underWay.size >= CALLS_MAX) return false;
        if (key.startsWith("d/") !== (phase === "device")) continue;
        if (this.#underWay.has(key) || !this.#isRipe(key)) continue;
        if (++looks > LOOKS_MAX) return true;
        const wanted = this.#options.wanted(key);
        if (!this.#differs(key, wanted)) {
          this.#due.delete(key);
          continue;
        }
        if (phase !== phaseOf(key, wanted)) continue;
        blocked = true;
        this.#due.delete(key);
        this.#underWay.add(key);
        scope.spawn("call of a mapper", (signal) => this.#tell(key, wanted, signal));
      }
      // the next phase builds on what this one tells
      if (blocked || this.#isUnderWay(phase)) return false;
    }
    return false;
  }

  #isUnderWay(phase: Phase): boolean {
    for (const key of this.#underWay) {
      if (key.startsWith("m/") === (phase !== "device")) return true;
    }
    return false;
  }

  #isRipe(key: string): boolean {
    const trouble = this.#troubles.get(key);
    return !trouble || trouble.untilMs <= this.#options.clock.monotonicMs();
  }

  #differs(
    key: string,
    wanted: Wanted | typeof HOLD | undefined,
  ): wanted is Wanted | undefined {
    return wanted !== HOLD && wanted?.digest !== this.#options.told.get(key);
  }

  async #tell(key: string, wanted: Wanted | undefined, signal: AbortSignal): Promise<void> {
    const epoch = this.#epoch;
    const client = this.#client;
    try {
      if (!client) return;
      const isKnown = this.#options.told.get(key) !== undefined;
      const call = callOf(key, wanted, isKnown || this.#mayKnowOther(key, wanted));
      const outcome = await this.#callEitherWay(client, call, signal);
      if (epoch !== this.#epoch) return; // what it knows now was said when it registered
      if (outcome.kind === "silent" || outcome.kind === "away") {
        if (wanted && !isKnown) this.#unanswered.set(key, wanted.digest);
      } else {
        this.#unanswered.delete(key);
      }
      if (outcome.kind !== "done" && !this.#isGone(key, call, outcome)) {
        return this.#failed(key, call, outcome);
      }
      this.#silent = 0;
      this.#awayAttempt = 0;
      this.#troubles.delete(key);
      await this.#options.told.set(key, wanted?.digest);
    } catch (error) {
      if (signal.aborted) return;
      // the disk said no: it will be told again, which a mapper bears
      log.error("Cannot keep what a mapper was told", { key, error: errorChain(error) });
      this.#trouble(key, { call: "keeping", message: errorChain(error) });
    } finally {
      this.#underWay.delete(key);
      this.#wakeup.wake();
    }
  }

  /**
   * KubeEdge's framework answers a second RegisterDevice well and leaves the device as it was: what
   * has changed since a first one that was not answered must be an update.
   */
  #mayKnowOther(key: string, wanted: Wanted | undefined): boolean {
    const digest = this.#unanswered.get(key);
    return digest !== undefined && digest !== wanted?.digest;
  }

  /** KubeEdge's framework has no other word for "no such device" than it has for any trouble. */
  #isGone(key: string, call: MapperCall, outcome: CallOutcome): boolean {
    const isRemoval = call.kind === "remove_device" || call.kind === "remove_model";
    if (!isRemoval || outcome.kind !== "refused" || outcome.code !== Code.Unknown) return false;
    return (this.#troubles.get(key)?.attempt ?? 0) >= REMOVALS_MAX - 1;
  }

  /** A mapper may know more or less than we think: then it is told the other way. */
  async #callEitherWay(
    client: MapperClient,
    call: MapperCall,
    signal: AbortSignal,
  ): Promise<CallOutcome> {
    const outcome = await client.call(call, signal);
    if (outcome.kind !== "refused") return outcome;
    // a call it does not have cannot be made good by repeating it
    if (outcome.code === Code.Unimplemented) return { kind: "done" };
    const other = otherWay(call, outcome.code);
    if (other === "done") return { kind: "done" };
    if (!other) return outcome;
    const second = await client.call(other, signal);
    return second.kind === "refused" ? outcome : second;
  }

  #failed(key: string, call: MapperCall, outcome: Exclude<CallOutcome, { kind: "done" }>): void {
    if (outcome.kind === "away") {
      this.#due.add(key);
      if (this.#isTime()) this.#away(outcome.message);
      return;
    }
    const silent = outcome.kind === "silent";
    const message = silent ? "no answer in time" : outcome.message;
    this.#trouble(key, { call: call.kind, message });
    this.#silent = silent ? this.#silent + 1 : 0;
    if (this.#silent >= SILENT_MAX) this.#away("It takes calls and does not answer them");
  }

  #trouble(key: string, { call, message }: MapperRefusal): void {
    const { clock, random } = this.#options;
    const attempt = (this.#troubles.get(key)?.attempt ?? 0) + 1;
    const delayMs = AGAIN.initialMs / 2 + fullJitterMs(AGAIN, attempt, random);
    // of many, the first speaks for all
    if (this.#troubles.size === 0) {
      log.warn("Mapper refuses", { ...this.#facts(), key, call, message });
    }
    const untilMs = clock.monotonicMs() + delayMs;
    this.#troubles.set(key, { attempt, untilMs, call, message });
    this.#due.add(key);
  }

  #facts(): { protocol: string; mapper: string; address: string } {
    const { protocol, name, address } = this.#record;
    return { protocol, mapper: name, address };
  }
}

const PHASES = ["model", "device", "model_removal"] as const;
type Phase = typeof PHASES[number];

function phaseOf(key: string, wanted: Wanted | undefined): Phase {
  if (key.startsWith("d/")) return "device";
  return wanted ? "model" : "model_removal";
}

function callOf(key: string, wanted: Wanted | undefined, isKnown: boolean): MapperCall {
  if (!wanted) {
    const kind = key.startsWith("d/") ? "remove_device" : "remove_model";
    return { kind, name: nameOf(key) };
  }
  if (wanted.kind === "device") {
    return { kind: isKnown ? "update_device" : "register_device", device: wanted.message };
  }
  return { kind: isKnown ? "update_model" : "create_model", model: wanted.message };
}

/** Go's plain errors have the code Unknown: a mapper that lacks a device says no more than that. */
function otherWay(call: MapperCall, code: Code): MapperCall | "done" | undefined {
  const lacks = code === Code.NotFound || code === Code.Unknown;
  const has = code === Code.AlreadyExists || code === Code.Unknown;
  switch (call.kind) {
    case "register_device":
      return has ? { ...call, kind: "update_device" } : undefined;
    case "update_device":
      return lacks ? { ...call, kind: "register_device" } : undefined;
    case "create_model":
      return has ? { ...call, kind: "update_model" } : undefined;
    case "update_model":
      return lacks ? { ...call, kind: "create_model" } : undefined;
    case "remove_device":
    case "remove_model":
      return code === Code.NotFound ? "done" : undefined;
  }
}
