/**
 * One node's reports on their way to the sink. Reports of one key are applied one after another,
 * different keys side by side within a bound. A report that waits is replaced by a newer one of its
 * key, which stands for both. Acknowledged means: durable, or never applicable.
 */
import { create } from "@bufbuild/protobuf";
import { fullJitterMs } from "../../shared/async/backoff.ts";
import { KeyedMutex } from "../../shared/async/keyed_mutex.ts";
import { untilAborted } from "../../shared/async/task_scope.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import {
  type ReportItem,
  ReportLane,
  type SessionResponse,
  SessionResponseSchema,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { OBJECT_BYTES_MAX } from "../../shared/limits.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import { encodeAckRanges } from "../../shared/wire/ack_ranges.ts";
import { decodeBody } from "../../shared/wire/codec.ts";
import type { Outgoing } from "../../shared/wire/outgoing.ts";
import { parseReport, type Report } from "../../shared/wire/report.ts";
import type { ReportSink } from "./port.ts";

/** What a node may have unacknowledged; told to it in Welcome. */
export const REPORT_ITEMS_MAX = 4_096;
export const REPORT_BYTES_MAX = 8 * 1024 * 1024;
const KEY_CHARS_MAX = 1024;
/** Enough to fill the store's group commit, few enough to leave other nodes their turn. */
const CONCURRENCY = 16;
/** Acknowledgements gather this long: one message instead of one per report. */
const ACK_DELAY_MS = 10;
/** So many go at once: a node that sends all it may must not wait for the delay. */
const ACK_BATCH = 256;
const RETRY = { initialMs: 200, maxMs: 10_000 };
/** A failure nobody foresaw is tried this often before the report is given up. */
const INTERNAL_TRIES = 5;

const log = roomLogger("cloud", "hub");

/** Most urgent first; a node that does not say sends statuses, as far as one knows. */
const LANES = [
  ReportLane.CONTROL,
  ReportLane.STATUS,
  ReportLane.EVENT,
  ReportLane.TELEMETRY,
] as const;

interface Mailbox {
  running: bigint;
  next: ReportItem | undefined;
}

export interface UpstreamOptions {
  node: string;
  sink: ReportSink;
  /**
   * One for all sessions: what a session that is over had begun comes to its end before a newer
   * session applies a report of that key.
   */
  order?: KeyedMutex;
  /** The node reads acknowledgements as ranges. */
  ackRanges?: boolean;
  outgoing: Outgoing<SessionResponse>;
  clock: Clock;
  random: Random;
}

export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #order = new KeyedMutex();
  readonly #mailboxes = new Map<string, Mailbox>();
  readonly #workers = new Set<Promise<void>>();
  readonly #ackWake = new Wakeup();
  /** Keys with a report that waits and no worker, by lane. */
  readonly #ready = LANES.map((): string[] => []);
  #acks: bigint[] = [];
  #items = 0;
  #bytes = 0;
  #signal: AbortSignal | undefined;

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  /** Works until `signal` aborts, and then until every started report has come back. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#startWorkers(signal);
    try {
      for (;;) {
        await this.#ackWake.wait(signal);
        await this.#options.clock.sleep(ACK_DELAY_MS, signal);
        this.#sendAcks();
      }
    } finally {
      await untilAborted(signal);
      await Promise.allSettled([...this.#workers]);
    }
  }

  /** Takes a batch; AppError "exhausted" or "invalid" when the node keeps to no bounds. */
  offer(items: readonly ReportItem[]): void {
    for (const item of items) {
      if (item.key.length > KEY_CHARS_MAX || item.body.byteLength > OBJECT_BYTES_MAX) {
        throw new AppError("invalid", "Cannot accept report: key or body is too large");
      }
      this.#items++;
      this.#bytes += item.body.byteLength;
      if (this.#items > REPORT_ITEMS_MAX || this.#bytes > REPORT_BYTES_MAX + OBJECT_BYTES_MAX) {
        throw new AppError("exhausted", "Cannot accept reports: more than the window allows");
      }
      this.#enqueue(item);
    }
    if (this.#signal) this.#startWorkers(this.#signal);
  }

  #enqueue(item: ReportItem): void {
    const mailbox = this.#mailboxes.get(item.key);
    if (!mailbox) {
      this.#mailboxes.set(item.key, { running: 0n, next: item });
      const lane = LANES.findIndex((each) => each === item.lane);
      this.#ready[lane < 0 ? 1 : lane]!.push(item.key); // there is one per lane
      return;
    }
    const known = mailbox.next?.sequence ?? mailbox.running;
    // sent twice: the acknowledgement of the one we have answers both
    if (item.sequence === known) return this.#forget(item);
    // overtaken: the newer one, which the node keeps until it is durable here, stands for both
    if (item.sequence < known) return this.#done(item);
    if (mailbox.next) this.#done(mailbox.next);
    mailbox.next = item;
  }

  #startWorkers(signal: AbortSignal): void {
    while (this.#workers.size < CONCURRENCY && !signal.aborted) {
      const key = this.#ready.find((keys) => keys.length > 0)?.shift();
      if (key === undefined) return;
      const worker = this.#work(key, signal);
      this.#workers.add(worker);
      void worker.then(() => { // #work never rejects
        this.#workers.delete(worker);
        this.#startWorkers(signal);
      });
    }
  }

  async #work(key: string, signal: AbortSignal): Promise<void> {
    const mailbox = this.#mailboxes.get(key)!;
    for (let item = mailbox.next; item !== undefined; item = mailbox.next) {
      mailbox.next = undefined;
      mailbox.running = item.sequence;
      if (!await this.#apply(item, mailbox, signal)) return; // the session ended
      this.#done(item);
    }
    this.#mailboxes.delete(key);
  }

  /** True when the report is durable, superseded or hopeless; false when the session ended. */
  async #apply(item: ReportItem, mailbox: Mailbox, signal: AbortSignal): Promise<boolean> {
    const { node, sink, clock, random, order = this.#order } = this.#options;
    const report = this.#parse(item);
    if (!report) return true;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const outcome = await order.run(`${node} ${item.key}`, async () => {
          signal.throwIfAborted(); // a newer session has its turn now
          return await sink.apply(node, report, signal);
        });
        if (outcome.kind === "dropped") {
          log.info("Report dropped", { node, key: item.key, reason: outcome.reason });
        }
        return true;
      } catch (error) {
        if (signal.aborted || isAbort(error, signal)) return false;
        const facts = { node, key: item.key, attempt, error: errorChain(error) };
        if (!isAppError(error, "unavailable", "exhausted") && attempt + 1 >= INTERNAL_TRIES) {
          log.error("Report given up", facts);
          return true;
        }
        log.warn("Report failed and will be tried again", facts);
        if (mailbox.next) return true;
      }
      // aborted: the loop's condition sees it
      await clock.sleep(fullJitterMs(RETRY, attempt, random), signal).catch(() => {});
      if (mailbox.next) return true;
    }
    return false;
  }

  #parse(item: ReportItem): Report | undefined {
    try {
      return parseReport(decodeBody(item.body, "report"));
    } catch (error) {
      const { node } = this.#options;
      log.warn("Report dropped", { node, key: item.key, reason: errorChain(error) });
      return undefined;
    }
  }

  #forget(item: ReportItem): void {
    this.#items--;
    this.#bytes -= item.body.byteLength;
  }

  #done(item: ReportItem): void {
    this.#forget(item);
    this.#acks.push(item.sequence);
    if (this.#acks.length >= ACK_BATCH) this.#sendAcks();
    else this.#ackWake.wake();
  }

  #sendAcks(): void {
    const sequences = this.#acks.splice(0);
    if (sequences.length === 0) return;
    const { ackRanges, outgoing } = this.#options;
    const value = ackRanges ? { ranges: encodeAckRanges(sequences) } : { sequences };
    outgoing.send(create(SessionResponseSchema, { message: { case: "reportAck", value } }));
  }
}
