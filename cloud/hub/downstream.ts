/**
 * Desired state on its way to one node. Nothing is queued: a step is the difference between what
 * the node is believed to hold (all that was sent included) and its projection now, taken when
 * there is room in flight, so a newer version of an object replaces one that was not sent yet by
 * itself.
 *
 *     inventory --(last part)--> planning --(reject)--> rejected --(delay, request)--> inventory
 *
 * A session begins in `planning` when the node's digest is one we know, else in `inventory`. Every
 * ten minutes without anything on its way the inventory is asked for again: what a node holds is
 * then compared with what it must hold, whatever either side believes.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import {
  type DesiredAck,
  type DesiredReject,
  DesiredRejectReason,
  type Hello,
  type Inventory,
  type SessionResponse,
  SessionResponseSchema,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import { entryOf, inventoryDigest, type InventoryEntry } from "../../shared/wire/desired.ts";
import type { Outgoing } from "../../shared/wire/outgoing.ts";
import { inParts, isKept, planStep, type Spared, toInventory } from "./plan_step.ts";
import type { DesiredSource, Projection } from "./port.ts";

/** A part of a step; well below a message, so that other messages get between. */
const PART_BYTES = 512 * 1024;
/** Steps on their way that the node has not acknowledged; one is always allowed, however large. */
const IN_FLIGHT_MAX = 8;
const IN_FLIGHT_BYTES_MAX = 8 * 1024 * 1024;
/** 900 times the pods a node may run by default, and all they name. */
const INVENTORY_ENTRIES_MAX = 100_000;
const KEY_CHARS_MAX = 1024;
/** Keys a node is told that it keeps, for its log. */
const KEPT_KEYS_MAX = 100;
/** At 20 pods an inventory costs about 3 kB: 5 B/s on the link. */
export const RECONCILE_MS = 10 * 60_000;
const REPLAN_INITIAL_MS = 500;
const REPLAN_MAX_MS = 60_000;

const log = roomLogger("cloud", "hub");
const EMPTY_DIGEST = inventoryDigest([]);

type State =
  | { kind: "inventory"; entries: InventoryEntry[] }
  | { kind: "planning"; held: Map<string, InventoryEntry>; generation: number; digest: string }
  | { kind: "rejected"; delayMs: number };

export interface DownstreamOptions {
  node: string;
  hello: Hello;
  source: DesiredSource;
  outgoing: Outgoing<SessionResponse>;
  clock: Clock;
  random: Random;
}

export class Downstream {
  readonly #options: DownstreamOptions;
  readonly #wake = new Wakeup();
  #state: State;
  #inFlight: { generation: number; bytes: number }[] = [];
  #acked: number;
  #unsaved: number | undefined;
  #rejections = 0;
  #bytesSent = 0;
  #reconcileAtMs: number;

  constructor(options: DownstreamOptions) {
    this.#options = options;
    const { hello, source, node } = options;
    const sameStore = hello.cloudId === source.cloudId;
    const generation = sameStore ? Number(hello.generation) : 0;
    const { digest } = hello;
    const now = source.projection(node);
    if (sameStore && generation === now.generation && digest === now.digest) {
      const held = toInventory(now.items.values());
      this.#state = { kind: "planning", held, generation, digest };
    } else if (digest === EMPTY_DIGEST) {
      this.#state = { kind: "planning", held: new Map(), generation, digest };
    } else {
      this.#state = { kind: "inventory", entries: [] };
    }
    this.#acked = generation;
    this.#unsaved = sameStore ? generation : undefined;
    this.#reconcileAtMs = this.#nextReconcileMs();
  }

  get needsInventory(): boolean {
    return this.#state.kind === "inventory";
  }

  get ackedGeneration(): number {
    return this.#acked;
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { source, node } = this.#options;
    const unsubscribe = source.subscribe(node, () => this.#wake.wake());
    try {
      for (;;) {
        await this.#askAgain(signal);
        await this.#saveAcknowledged();
        await this.#sendSteps();
        await this.#wake.wait(signal);
      }
    } finally {
      unsubscribe();
    }
  }

  /** Throws AppError "invalid" for what was never sent. */
  acknowledge(ack: DesiredAck): void {
    const generation = Number(ack.generation);
    // acknowledgements of what was sent before a rejection; the inventory will tell
    if (this.#state.kind !== "planning") return;
    const sent = this.#state.generation;
    if (generation > sent) {
      const message = `Cannot take acknowledgement of generation ${generation}: sent is ${sent}`;
      throw new AppError("invalid", message);
    }
    this.#inFlight = this.#inFlight.filter((batch) => batch.generation > generation);
    this.#rejections = 0;
    this.#acked = generation;
    this.#unsaved = generation;
    this.#wake.wake();
  }

  reject(reject: DesiredReject): void {
    // the batches behind the refused one are refused as well, and mean nothing new
    if (this.#state.kind !== "planning") return;
    const notStored = reject.reason === DesiredRejectReason.NOT_STORED;
    const tries = notStored ? this.#rejections + 4 : this.#rejections;
    // the first conflict is planned anew at once: it is how two sides that drifted apart meet
    const delayMs = tries === 0 ? 0 : Math.min(REPLAN_MAX_MS, REPLAN_INITIAL_MS * 2 ** (tries - 1));
    this.#rejections = Math.min(this.#rejections + 1, 10);
    log.warn("Node refused desired state", {
      node: this.#options.node,
      generation: Number(reject.generation),
      reason: DesiredRejectReason[reject.reason] ?? "?",
      detail: reject.message,
    });
    this.#inFlight = [];
    this.#state = { kind: "rejected", delayMs };
    this.#wake.wake();
  }

  /** Called with every heartbeat, which spares each node a timer of its own. */
  reconcileIfDue(): void {
    if (this.#options.clock.monotonicMs() < this.#reconcileAtMs) return;
    this.#reconcileAtMs = this.#nextReconcileMs();
    // what is on its way would look like a difference; the next round comes
    if (this.#state.kind !== "planning" || this.#inFlight.length > 0) return;
    this.#state = { kind: "inventory", entries: [] };
    this.#send({ case: "inventoryRequest", value: {} });
  }

  /** One part of the node's inventory; AppError "invalid" when it is out of bounds. */
  inventory(part: Inventory): void {
    if (this.#state.kind !== "inventory") return;
    const { entries } = this.#state;
    if (entries.length + part.entries.length > INVENTORY_ENTRIES_MAX) {
      const message = `Cannot read inventory: must have <= ${INVENTORY_ENTRIES_MAX} entries`;
      throw new AppError("invalid", message);
    }
    for (const { key, uid, resourceVersion, objectRevision } of part.entries) {
      if (key.length + uid.length + resourceVersion.length > KEY_CHARS_MAX) {
        throw new AppError(
          "invalid",
          `Cannot read inventory: key ${key.slice(0, 100)} is too long`,
        );
      }
      const revision = objectRevision === 0n ? {} : { revision: Number(objectRevision) };
      entries.push({ key, uid, resourceVersion, ...revision });
    }
    if (part.more) return;
    const sameStore = part.cloudId === this.#options.source.cloudId;
    this.#state = {
      kind: "planning",
      held: toInventory(entries),
      generation: sameStore ? Number(part.generation) : 0,
      digest: this.#digestBelieved(entries),
    };
    this.#wake.wake();
  }

  async #askAgain(signal: AbortSignal): Promise<void> {
    if (this.#state.kind !== "rejected") return;
    await this.#options.clock.sleep(this.#state.delayMs, signal);
    this.#state = { kind: "inventory", entries: [] };
    this.#send({ case: "inventoryRequest", value: {} });
  }

  /** Between 75 and 125 % of the period: a fleet that came at once must not be asked at once. */
  #nextReconcileMs(): number {
    const { clock, random } = this.#options;
    return clock.monotonicMs() + RECONCILE_MS * (0.75 + 0.5 * random.float());
  }

  /** Tries again at the next wake-up when it fails, and at the latest with the next session. */
  async #saveAcknowledged(): Promise<void> {
    const generation = this.#unsaved;
    if (generation === undefined) return;
    this.#unsaved = undefined;
    const { source, node } = this.#options;
    try {
      await source.acknowledged(node, generation);
    } catch (error) {
      this.#unsaved ??= generation;
      log.error("Cannot keep acknowledged generation", {
        node,
        generation,
        error: errorChain(error),
      });
    }
  }

  async #sendSteps(): Promise<void> {
    const { source, node } = this.#options;
    while (this.#state.kind === "planning" && this.#hasRoom()) {
      const projection = source.projection(node);
      const { generation, digest } = this.#state;
      if (projection.generation === generation && projection.digest === digest) return;
      if (projection.generation <= generation) {
        // one call per wake-up: its notification brings us back here
        return await this.#advance(generation);
      }
      await this.#sendStep(this.#state, projection);
    }
  }

  async #sendStep(state: State & { kind: "planning" }, projection: Projection): Promise<void> {
    const { source, outgoing } = this.#options;
    const { generation, digest } = projection;
    const base = state.generation;
    const step = planStep(state.held, projection.items, this.#spared);
    for (const key of step.deletes) state.held.delete(key);
    for (const item of step.upserts) state.held.set(item.key, entryOf(item));
    this.#tellKept(step.kept);
    state.generation = generation;
    state.digest = digest;
    const flight = { generation, bytes: 0 };
    this.#inFlight.push(flight);
    const head = {
      cloudId: source.cloudId,
      base: BigInt(base),
      generation: BigInt(generation),
      // of what the node will hold
      digest: step.spares ? inventoryDigest(state.held.values()) : digest,
    };
    for (const { upserts, deletes, more, bytes } of inParts(step, PART_BYTES)) {
      flight.bytes += bytes;
      this.#bytesSent += bytes;
      const kept = more ? [] : step.kept.slice(0, KEPT_KEYS_MAX);
      await outgoing.sendBulk(create(SessionResponseSchema, {
        message: { case: "desiredBatch", value: { ...head, upserts, deletes, more, kept } },
      }));
    }
  }

  /** What damage to this cloud's store may have done to the projection is left to the node. */
  readonly #spared: Spared = {
    absent: (held) => this.#options.source.mayHaveLost?.(held) ?? false,
    replaced: ({ object }) => this.#options.source.mayBeOutlived?.(object) ?? false,
    older: (held, item) => this.#options.source.mayBeOlder?.(held, item) ?? false,
  };

  /** Of what the node would hold if it had for each thing it keeps what we have of it. */
  #digestBelieved(entries: readonly InventoryEntry[]): string {
    const { items } = this.#options.source.projection(this.#options.node);
    const kept: string[] = [];
    const believed = entries.flatMap((held) => {
      const item = items.get(held.key);
      if (!item) return this.#spared.absent(held) ? [] : [held];
      if (!isKept(held, item, this.#spared)) return [held];
      kept.push(held.key);
      return [item];
    });
    this.#tellKept(kept);
    return inventoryDigest(believed);
  }

  #tellKept(keys: readonly string[]): void {
    this.#options.source.keptByNode?.(this.#options.node, keys);
  }

  #hasRoom(): boolean {
    if (this.#inFlight.length === 0) return true;
    const bytes = this.#inFlight.reduce((sum, batch) => sum + batch.bytes, 0);
    return this.#inFlight.length < IN_FLIGHT_MAX && bytes < IN_FLIGHT_BYTES_MAX;
  }

  async #advance(generation: number): Promise<void> {
    const { source, node } = this.#options;
    log.warn("Node holds a generation this cloud does not know", { node, generation });
    try {
      await source.advance?.(node, generation);
    } catch (error) {
      log.error("Cannot raise the node's generation", { node, error: errorChain(error) });
    }
  }

  #send(message: NonNullable<MessageInitShape<typeof SessionResponseSchema>["message"]>): void {
    this.#options.outgoing.send(create(SessionResponseSchema, { message }));
  }
}
