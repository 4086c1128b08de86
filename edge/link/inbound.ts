/**
 * Desired state on its way into the ledger. Parts become a batch, batches are offered one after
 * another in the order they came, and an answer is sent only after the ledger has spoken: an
 * acknowledgement means it is on disk. Reading the stream goes on meanwhile.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { BoundedQueue } from "../../shared/async/bounded_queue.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import {
  type DesiredBatch as WireBatch,
  type DesiredItem as WireItem,
  DesiredRejectReason,
  type SessionRequest,
  SessionRequestSchema,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { OBJECT_BYTES_MAX } from "../../shared/limits.ts";
import { roomLogger } from "../../shared/log.ts";
import { decodeBody } from "../../shared/wire/codec.ts";
import type { DesiredBatch, DesiredItem } from "../../shared/wire/desired.ts";
import { parseObjectKey } from "../../shared/wire/keys.ts";
import type { Outgoing } from "../../shared/wire/outgoing.ts";
import type { LinkLedger } from "./port.ts";

/** Twice what the cloud has in flight, and inventory requests between. */
const QUEUE_MAX = 32;
/** Largest step, all parts together: far above what one node's pods can name. */
const STEP_BYTES_MAX = 64 * 1024 * 1024;
/** What a part or an item costs beside its texts and its object. */
const OVERHEAD_BYTES = 64;
const GENERATION_MAX = BigInt(Number.MAX_SAFE_INTEGER);
const INVENTORY_PART_ENTRIES = 2_000;
const MESSAGE_CHARS_MAX = 1024;

const log = roomLogger("edge", "link");

type Work = { kind: "batch"; parts: WireBatch[] } | { kind: "inventory" };
type Reply = NonNullable<MessageInitShape<typeof SessionRequestSchema>["message"]>;

export interface InboundOptions {
  ledger: LinkLedger;
  outgoing: Outgoing<SessionRequest>;
}

export class Inbound {
  readonly #options: InboundOptions;
  readonly #queue = new BoundedQueue<Work>({ capacity: QUEUE_MAX, onFull: "reject" });
  #parts: WireBatch[] = [];
  #bytes = 0;

  constructor(options: InboundOptions) {
    this.#options = options;
  }

  /** Takes one part; AppError when the cloud keeps to no bounds, which ends the session. */
  receive(part: WireBatch): void {
    if (this.#parts.length > 0 && this.#parts[0]?.generation !== part.generation) {
      throw new AppError(
        "invalid",
        "Cannot accept desired state: a step ended without its last part",
      );
    }
    if (part.generation > GENERATION_MAX) {
      // taken, it would be one that no later one is above
      const message = `Cannot accept desired state: generation ${part.generation} is none`;
      throw new AppError("invalid", message);
    }
    for (const item of part.upserts) {
      if (item.object.byteLength > OBJECT_BYTES_MAX) {
        throw new AppError("invalid", `Cannot accept desired state: ${item.key} is too large`);
      }
    }
    this.#bytes += costOf(part);
    if (this.#bytes > STEP_BYTES_MAX) {
      throw new AppError(
        "exhausted",
        `Cannot accept desired state: more than ${STEP_BYTES_MAX} bytes`,
      );
    }
    this.#parts.push(part);
    if (part.more) return;
    this.#queue.push({ kind: "batch", parts: this.#parts });
    this.#parts = [];
    this.#bytes = 0;
  }

  /** Sends the inventory once everything received so far has been handled. */
  requestInventory(): void {
    this.#queue.push({ kind: "inventory" });
  }

  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      const work = await this.#queue.take(signal);
      if (!work) return;
      if (work.kind === "inventory") await this.#sendInventory();
      else await this.#offer(work.parts);
    }
  }

  async #offer(parts: readonly WireBatch[]): Promise<void> {
    const { ledger } = this.#options;
    const first = parts[0]!; // a batch has at least its last part
    const generation = Number(first.generation);
    const { head } = ledger;
    if (first.cloudId === head.cloudId && Number(first.base) !== head.generation) {
      const message = `base is ${first.base}, held is ${head.generation}`;
      const held = generation === head.generation && first.digest === head.digest;
      if (!held) return this.#reject(generation, DesiredRejectReason.CONFLICT, message);
    }
    try {
      const verdict = await ledger.accept(toBatch(parts));
      if (verdict.kind === "reject") {
        const reason = verdict.reason === "stale"
          ? DesiredRejectReason.STALE
          : DesiredRejectReason.CONFLICT;
        return this.#reject(generation, reason, `the ledger says ${verdict.reason}`);
      }
      const { kept } = parts.at(-1)!;
      if (kept.length > 0) {
        log.warn("The cloud lost records; what is newer here is kept", { objects: kept });
      }
      this.#send({
        case: "desiredAck",
        value: { generation: BigInt(generation), digest: first.digest },
      });
    } catch (error) {
      this.#reject(generation, DesiredRejectReason.NOT_STORED, errorChain(error));
    }
  }

  #reject(generation: number, reason: DesiredRejectReason, message: string): void {
    log.warn("Desired state refused", {
      generation,
      reason: DesiredRejectReason[reason] ?? "?",
      detail: message,
    });
    this.#send({
      case: "desiredReject",
      value: {
        generation: BigInt(generation),
        reason,
        message: message.slice(0, MESSAGE_CHARS_MAX),
      },
    });
  }

  async #sendInventory(): Promise<void> {
    const { ledger, outgoing } = this.#options;
    const { cloudId, generation, digest } = ledger.head;
    const entries = ledger.inventory();
    let at = 0;
    do {
      const part = entries.slice(at, at + INVENTORY_PART_ENTRIES).map(({ revision, ...entry }) =>
        revision === undefined ? entry : { ...entry, objectRevision: BigInt(revision) }
      );
      at += part.length;
      const more = at < entries.length;
      const head = { cloudId, generation: BigInt(generation), digest };
      await outgoing.sendBulk(create(SessionRequestSchema, {
        message: { case: "inventory", value: { entries: part, more, ...(more ? {} : head) } },
      }));
    } while (at < entries.length);
  }

  #send(message: Reply): void {
    this.#options.outgoing.send(create(SessionRequestSchema, { message }));
  }
}

/** Parts without objects count as well: a step of nothing else would have no end. */
function costOf({ upserts, deletes }: WireBatch): number {
  const keys = deletes.reduce((sum, key) => sum + key.length + OVERHEAD_BYTES, 0);
  return upserts.reduce(
    (sum, { key, uid, resourceVersion, object }) =>
      sum + key.length + uid.length + resourceVersion.length + object.byteLength + OVERHEAD_BYTES,
    keys + OVERHEAD_BYTES,
  );
}

function toBatch(parts: readonly WireBatch[]): DesiredBatch {
  const first = parts[0]!; // see #offer
  return {
    cloudId: first.cloudId,
    generation: Number(first.generation),
    digest: first.digest,
    upserts: parts.flatMap((part) => part.upserts.map(toItem)),
    deletes: parts.flatMap((part) => part.deletes),
  };
}

function toItem({ key, uid, resourceVersion, object }: WireItem): DesiredItem {
  parseObjectKey(key);
  const body = decodeBody(object, key);
  const metadata = (body as Partial<KubeObject> | null)?.metadata; // looked at right here
  if (typeof metadata !== "object" || metadata === null) {
    throw new AppError("invalid", `Cannot read ${key}: it has no metadata`);
  }
  return { key, uid, resourceVersion, object: body as KubeObject }; // any object with metadata is
}
