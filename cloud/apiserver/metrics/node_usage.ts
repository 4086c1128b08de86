/**
 * How much nodes and containers use now, for whoever asks: two readings of a node's counters, by
 * way of its tunnel. Nothing is read while nobody asks. The last reading serves for some seconds;
 * the first question after a silence takes two readings, a moment apart.
 */
import type { Clock } from "../../../shared/clock.ts";
import { AppError, errorChain, isAbort } from "../../../shared/errors.ts";
import { roomLogger } from "../../../shared/log.ts";
import type { NodeProxy } from "../port.ts";
import { parseScrape, type Scrape, type UsagePoint } from "./scrape.ts";

export interface Usage {
  atMs: number;
  windowMs: number;
  /** Cores in use, times a thousand million. */
  nanoCores: number;
  memoryBytes: number;
}

export interface NodeUsageReport {
  node: Usage | undefined;
  /** By "namespace/pod", then by container. */
  pods: Map<string, Map<string, Usage>>;
}

interface Reading {
  /** Monotonic. */
  atMs: number;
  scrape: Scrape;
}

interface Known {
  latest: Reading;
  report: NodeUsageReport;
}

/** metrics-server's resolution is 15 s; a person who asks twice wants to see a change. */
const FRESH_MS = 10_000;
/** A base older than this says nothing about now. */
const BASE_MS_MAX = 120_000;
const BASE_MS_MIN = 1_000;
/** Between the two readings of a first question. */
const PAUSE_MS = 1_500;
const SCRAPE_MS = 8_000;
/** 8 MiB: 20 times what a node of 1 000 containers tells. */
const SCRAPE_BYTES_MAX = 8 * 1024 * 1024;
const SCRAPES_AT_ONCE = 32;
/** What nobody has asked for since then is forgotten at the next question. */
const KEPT_MS = 600_000;

export class NodeUsage {
  readonly #proxy: NodeProxy;
  readonly #clock: Clock;
  readonly #log = roomLogger("cloud", "apiserver", "metrics");
  readonly #known = new Map<string, Known>();
  readonly #asked = new Map<string, Promise<NodeUsageReport | undefined>>();

  constructor(proxy: NodeProxy, clock: Clock) {
    this.#proxy = proxy;
    this.#clock = clock;
  }

  /** Of the nodes that answer; the others are left out. */
  async of(nodes: readonly string[], signal: AbortSignal): Promise<Map<string, NodeUsageReport>> {
    this.#forgetOld();
    const reports = new Map<string, NodeUsageReport>();
    const waiting = [...new Set(nodes)];
    const worker = async () => {
      for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
        signal.throwIfAborted();
        const report = await this.#one(node);
        if (report) reports.set(node, report);
      }
    };
    await Promise.all(Array.from({ length: SCRAPES_AT_ONCE }, worker));
    return reports;
  }

  /** Who asks for a node that is being read gets the same answer. */
  #one(node: string): Promise<NodeUsageReport | undefined> {
    const asked = this.#asked.get(node) ??
      this.#look(node).finally(() => this.#asked.delete(node));
    this.#asked.set(node, asked);
    return asked;
  }

  async #look(node: string): Promise<NodeUsageReport | undefined> {
    const known = this.#known.get(node);
    const age = known ? this.#clock.monotonicMs() - known.latest.atMs : Infinity;
    if (known && age < FRESH_MS && known.report.node) return known.report;
    const signal = AbortSignal.timeout(SCRAPE_MS);
    try {
      const isBase = known && age >= BASE_MS_MIN && age <= BASE_MS_MAX;
      const base = isBase ? known.latest : await this.#read(node, signal);
      if (!isBase) await this.#clock.sleep(PAUSE_MS, signal);
      const latest = await this.#read(node, signal);
      const report = compare(base.scrape, latest.scrape);
      this.#known.set(node, { latest, report });
      return report;
    } catch (error) {
      if (!(error instanceof AppError) && !isAbort(error, signal)) throw error;
      this.#log.debug("Cannot read usage of node", { node, error: errorChain(error) });
      return undefined;
    }
  }

  async #read(node: string, signal: AbortSignal): Promise<Reading> {
    const request = new Request("http://node/metrics/resource", { signal });
    const askedAtMs = this.#clock.nowMs();
    const answer = await this.#proxy.fetch(node, request);
    const text = await boundedText(answer, signal);
    if (!answer.ok) {
      const facts = { node, status: answer.status };
      throw new AppError("unavailable", "Cannot read usage: node refused", facts);
    }
    return { atMs: this.#clock.monotonicMs(), scrape: parseScrape(text, askedAtMs) };
  }

  #forgetOld(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [node, { latest }] of this.#known) {
      if (nowMs - latest.atMs > KEPT_MS) this.#known.delete(node);
    }
  }
}

async function boundedText(answer: Response, signal: AbortSignal): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of answer.body ?? []) {
    signal.throwIfAborted();
    bytes += chunk.length;
    if (bytes > SCRAPE_BYTES_MAX) {
      throw new AppError("exhausted", `Cannot read usage: must be <= ${SCRAPE_BYTES_MAX} bytes`);
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

/** Rates between two readings; a container that was restarted between has none, as its pod. */
export function compare(before: Scrape, after: Scrape): NodeUsageReport {
  const pods = new Map<string, Map<string, Usage>>();
  for (const [pod, containers] of after.pods) {
    const usages = new Map<string, Usage>();
    for (const [name, point] of containers) {
      const base = before.pods.get(pod)?.get(name);
      const usage = base?.startSeconds === point.startSeconds ? rate(base, point) : undefined;
      const known = usage ?? sinceStart(point);
      if (known) usages.set(name, known);
    }
    if (usages.size === containers.size) pods.set(pod, usages);
  }
  return { node: after.node && rate(before.node, after.node), pods };
}

function rate(before: UsagePoint | undefined, after: UsagePoint): Usage | undefined {
  if (!before) return undefined;
  const windowMs = after.atMs - before.atMs;
  const seconds = after.cpuSeconds - before.cpuSeconds;
  if (windowMs <= 0 || seconds < 0) return undefined;
  const nanoCores = Math.round(seconds / (windowMs / 1_000) * 1e9);
  return { atMs: after.atMs, windowMs, nanoCores, memoryBytes: after.memoryBytes };
}

/** A container that has just begun: all it used, it used since its start. */
function sinceStart(point: UsagePoint & { startSeconds?: number }): Usage | undefined {
  if (point.startSeconds === undefined) return undefined;
  const start = { atMs: point.startSeconds * 1_000, cpuSeconds: 0, memoryBytes: 0 };
  const isYoung = point.atMs - start.atMs < BASE_MS_MAX;
  return isYoung ? rate(start, point) : undefined;
}
