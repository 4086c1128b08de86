/**
 * What must hold in every world. Some of it is looked at as it happens (what the edges acknowledge,
 * what containers start, what the cloud applies), the rest when a machine comes up, now and then,
 * and after healing.
 */
import { createHash } from "node:crypto";
import type { Cloud } from "../../cloud/assemble.ts";
import type { Hub } from "../../cloud/hub/hub.ts";
import type { ReportSink } from "../../cloud/hub/port.ts";
import type { Edge } from "../../edge/assemble.ts";
import { LABEL } from "../../edge/pods/marks.ts";
import type {
  ReportAck,
  SessionRequest,
  SessionResponse,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { errorChain } from "../../shared/errors.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { decodeAckRanges } from "../../shared/wire/ack_ranges.ts";
import { canonicalJson } from "../../shared/json/json.ts";
import { decodeBody } from "../../shared/wire/codec.ts";
import { parseReport, type Report } from "../../shared/wire/report.ts";
import type { Model } from "./model.ts";
import { QUEUE, QUEUES } from "./queues.ts";
import type { SimEdge } from "./sim_edge.ts";
import type { Direction } from "./sim_link.ts";
import type { World } from "./world.ts";

/** Live processes and connections that a machine may have at once; a leak passes them soon. */
const TIMERS_MAX = 400;
const CONNECTIONS_MAX = 8;
const DONE_KEPT = 10_000;
const LOOKS_PER_COSTLY_ONE = 60;
const LOOK_MS = 60_000;

interface NodeBook {
  cloudId: string;
  /** Highest generation the node has acknowledged. */
  acked: number;
  /** Digest by generation, as the cloud announced them. */
  digests: Map<number, string>;
  /** By the digest of a report: its key, and the sequences it was sent under. */
  sent: Map<string, { key: string; sequences: Set<number> }>;
  /** Highest sequence applied, by key. */
  applied: Map<string, number>;
  /** What is under way, by sequence; and the highest sequence sent, by key. */
  underWay: Map<number, { key: string; digest: string }>;
  newest: Map<string, number>;
  /** Digests of reports the cloud is done with: applied, or judged to be hopeless. */
  settled: Set<string>;
  /** Acknowledged of late; what is older is forgotten, or a long run would hold all of it. */
  done: { sequence: number; key: string; digest: string }[];
}

export class Checkers {
  readonly #world: World;
  readonly #model: Model;
  /** Between two looks at everybody's queues. */
  lookMs = LOOK_MS;
  #looks = 0;
  readonly #books = new Map<string, NodeBook>();

  constructor(world: World, model: Model) {
    this.#world = world;
    this.#model = model;
    world.onMessage = (node, direction, message) => this.#onMessage(node, direction, message);
    world.cloud.onServing = (cloud) => this.#onServing(cloud);
    world.cloud.wrapSink = (sink) => this.#watchSink(sink);
    for (const edge of world.edges) {
      edge.onAssembled = (assembled) => this.#onAssembled(edge, assembled);
      edge.onContainer = (uid, name) => this.#onContainer(edge, uid, name);
    }
    this.#look();
  }

  #violate(rule: string, detail: string): void {
    this.#world.trace.violate(rule, detail);
  }

  #book(node: string): NodeBook {
    let book = this.#books.get(node);
    if (!book) {
      book = {
        cloudId: "",
        acked: 0,
        digests: new Map(),
        sent: new Map(),
        applied: new Map(),
        underWay: new Map(),
        newest: new Map(),
        settled: new Set(),
        done: [],
      };
      this.#books.set(node, book);
    }
    return book;
  }

  #onMessage(node: string, direction: Direction, wire: unknown): void {
    const book = this.#book(node);
    if (direction === "down") {
      const { message } = wire as SessionResponse; // a tunnel's frames have no `message`
      if (message?.case === "reportAck") this.#onReportAck(node, message.value);
      if (message?.case !== "desiredBatch") return;
      const generation = Number(message.value.generation);
      const known = book.digests.get(generation);
      book.cloudId = message.value.cloudId;
      book.digests.set(generation, message.value.digest);
      if (known !== undefined && known !== message.value.digest) {
        this.#violate("one content per generation", `${node} generation ${generation}`);
      }
      if (generation < book.acked) {
        const detail = `${node} is sent ${generation} after it acknowledged ${book.acked}`;
        this.#violate("generation never goes back", detail);
      }
      return;
    }
    const { message } = wire as SessionRequest; // as above
    if (message?.case === "desiredAck") {
      book.acked = Math.max(book.acked, Number(message.value.generation));
    } else if (message?.case === "reportBatch") {
      for (const { sequence, key, body } of message.value.items) {
        const digest = digestOf(parseReport(decodeBody(body, "report")));
        const known = book.sent.get(digest) ?? { key, sequences: new Set() };
        known.sequences.add(Number(sequence));
        book.sent.set(digest, known);
        book.underWay.set(Number(sequence), { key, digest });
        book.newest.set(key, Math.max(book.newest.get(key) ?? 0, Number(sequence)));
      }
    }
  }

  /** What is acknowledged was applied, or judged, or a newer one of its key stands for it. */
  #onReportAck(node: string, { sequences, ranges }: ReportAck): void {
    const book = this.#book(node);
    const named = new Set(sequences.map(Number));
    const within = decodeAckRanges(ranges);
    for (const [sequence, report] of [...book.underWay]) {
      const isNamed = named.has(sequence) ||
        within.some(({ from, to }) => sequence >= from && sequence <= to);
      if (!isNamed) continue;
      book.underWay.delete(sequence);
      const isOvertaken = (book.newest.get(report.key) ?? 0) > sequence;
      if (!isOvertaken && !book.settled.has(report.digest)) {
        this.#violate("acknowledged implies applied", `${node} ${report.key}@${sequence}`);
      }
      this.#forget(book, sequence, report);
      this.#world.trace.count("reports acknowledged");
    }
  }

  /** What the cloud has acknowledged does not come again, unless its acknowledgement was lost. */
  #forget(
    book: NodeBook,
    sequence: number,
    { key, digest }: { key: string; digest: string },
  ): void {
    book.done.push({ sequence, key, digest });
    if (book.done.length <= DONE_KEPT) return;
    for (const old of book.done.splice(0, DONE_KEPT / 2)) {
      const sent = book.sent.get(old.digest);
      sent?.sequences.delete(old.sequence);
      if (sent?.sequences.size === 0) {
        book.sent.delete(old.digest);
        book.settled.delete(old.digest);
      }
      if (book.newest.get(old.key) === old.sequence) book.newest.delete(old.key);
    }
  }

  /** Reports of one key must be applied in the order of their sequences. */
  #watchSink(sink: ReportSink): ReportSink {
    return {
      apply: async (node, report, signal) => {
        const outcome = await sink.apply(node, report, signal).catch((error) => {
          this.#world.trace.add("sink", `${node} ${report.kind}: ${errorChain(error)}`);
          throw error;
        });
        this.#world.trace.count(`reports ${outcome.kind}`);
        const digest = digestOf(report);
        this.#book(node).settled.add(digest);
        // an event counts up: applied late it changes nothing
        if (report.kind !== "event" && outcome.kind === "applied") {
          this.#onApplied(node, digest);
        }
        return outcome;
      },
    };
  }

  #onApplied(node: string, digest: string): void {
    const book = this.#book(node);
    const sent = book.sent.get(digest);
    if (!sent) return this.#world.trace.count("reports applied and not recognised");
    const before = book.applied.get(sent.key) ?? 0;
    const newest = Math.max(...sent.sequences);
    if (newest < before) {
      this.#violate("applied in order", `${node} ${sent.key}: ${newest} after ${before}`);
    }
    // one that was sent twice counts as the older, where that fits
    const fits = [...sent.sequences].filter((sequence) => sequence >= before);
    if (fits.length > 0) book.applied.set(sent.key, Math.min(...fits));
  }

  /** An edge that came up holds whatever it had acknowledged. */
  #onAssembled(edge: SimEdge, { memory }: Edge): void {
    const { trace } = this.#world;
    const damage = memory.store.recovery.damage;
    const book = this.#book(edge.name);
    const { generation } = memory.ledger.head;
    if (damage.length > 0 && !edge.isDamaged) {
      const what = damage.map((each) => `${each.what} in ${each.file}`).join("; ");
      this.#violate("a power cut damages nothing", `${edge.name}: ${what}`);
    }
    if (generation < book.acked) {
      if (damage.length === 0) {
        const detail = `${edge.name} came up with ${generation}, had acknowledged ${book.acked}`;
        this.#violate("acknowledged implies durable", detail);
      } else trace.count("generations lost to reported damage");
      book.acked = generation;
    }
    if (edge.isDamaged && !edge.isDamageSeen) {
      trace.count(damage.length > 0 ? "damage reported" : "flipped bits that changed nothing");
      // what was lost with it is reported, and sequences begin anew
      book.sent.clear();
      book.applied.clear();
      book.underWay.clear();
      book.newest.clear();
    }
    edge.isDamageSeen = true; // the damaged file may stay for a while, and is named each time
  }

  #onContainer(edge: SimEdge, uid: string, name: string): void {
    const live = [...edge.world.containers.values()].filter(({ state, config }) =>
      state.kind === "running" && config.labels[LABEL.podUid] === uid &&
      config.labels[LABEL.containerName] === name
    );
    if (live.length > 0) {
      this.#violate("one live container", `${edge.name}: ${name} of ${uid} runs already`);
    }
    this.#world.trace.count("containers started");
  }

  /** A cloud that came up holds whatever its API had acknowledged. */
  #onServing({ api, store }: Cloud<Hub>): void {
    if (this.#world.cloud.isDamaged) return;
    if (store.recovery.damage.length > 0) {
      const what = store.recovery.damage.map((each) => `${each.what} in ${each.file}`).join("; ");
      this.#violate("a power cut damages nothing", `cloud: ${what}`);
    }
    this.compareModel((key) => this.read(api, key));
  }

  read(api: Cloud<Hub>["api"], key: string): KubeObject | undefined {
    const [resource = "", name = ""] = key.split("/");
    const namespace = resource === "nodes" ? undefined : "default";
    return api.storage.get({ group: "", resource }, namespace, name);
  }

  compareModel(read: (key: string) => KubeObject | undefined): void {
    for (const [key, known] of this.#model.certain()) {
      const object = read(key);
      const isSame = object?.metadata.uid === known.uid;
      if (known.isDeleted) {
        if (isSame && !object.metadata.deletionTimestamp) {
          this.#violate("acknowledged implies durable", `${key} is back after its deletion`);
        }
        continue;
      }
      if (!isSame && this.#model.isVanishing(known.uid)) continue;
      if (!isSame) {
        const detail = `${key} of uid ${known.uid} is ${object ? "another" : "gone"}`;
        this.#violate("acknowledged implies durable", detail);
      } else if (Number(object.metadata.resourceVersion) < known.resourceVersion) {
        this.#violate("acknowledged implies durable", `${key} went back in time`);
      }
    }
    this.#model.settle(read);
  }

  #look(): void {
    const { time, edges, network, trace } = this.#world;
    time.schedule("checkers", this.lookMs, () => {
      this.#looks++;
      for (const edge of edges) {
        if (edge.edge) this.#lookAtQueues(edge.name, edge.edge);
        const timers = edge.life?.timers ?? 0;
        if (timers > TIMERS_MAX) {
          this.#violate("no leak", `${edge.name} holds ${timers} timers`);
        }
        const connections = network.connections(edge.name).length;
        trace.max("connections of a node", connections);
        trace.max("timers of a process", timers);
      }
      this.#look();
    });
  }

  #lookAtQueues(node: string, edge: Edge): void {
    for (const { name, bound, depth, isCostly } of QUEUES) {
      if (isCostly && this.#looks % LOOKS_PER_COSTLY_ONE !== 0) continue;
      const now = depth(edge);
      this.#world.trace.max(`${QUEUE}${name}`, now);
      if (now > bound) {
        this.#violate("queues within bounds", `${node}: ${name} ${now}, must be <= ${bound}`);
      }
    }
  }

  /** After a quiet time a node has one connection with its session and its tunnel, and no more. */
  checkQuiet(): void {
    const { edges, network, cloud } = this.#world;
    for (const { name } of edges) {
      const connections = network.connections(name);
      const calls = connections.reduce((sum, each) => sum + each.openCalls, 0);
      if (connections.length > CONNECTIONS_MAX || calls > 2 * CONNECTIONS_MAX) {
        this.#violate("no leak", `${name}: ${connections.length} connections, ${calls} calls`);
      }
    }
    const sessions = cloud.cloud?.hub.sessions.list().length ?? 0;
    if (sessions !== edges.length) this.#violate("no leak", `${sessions} sessions`);
    const timers = cloud.life?.timers ?? 0;
    if (timers > TIMERS_MAX) this.#violate("no leak", `cloud holds ${timers} timers`);
  }
}

/** The same for two reports that say the same, however they were encoded. */
function digestOf(report: Report): string {
  return createHash("sha1").update(canonicalJson(report)).digest("base64");
}
