/**
 * What a cloud may say after its store was damaged. Objects whose records are lost look like
 * deleted ones; a node must not stop work for that. From the damage until an operator accepts the
 * loss, an object counts as deleted only if it was seen here since; every other may have been lost.
 * And an object from before the loss takes no other's place at a node: it may be the older one; nor
 * does it replace a newer version of itself.
 *
 *     whole -> (damage) -> guarded -> (accepted) -> whole
 *
 * The guard is durable, what was seen is not: after a restart fewer keys count as deleted, never
 * more.
 */
import type { Clock } from "../../shared/clock.ts";
import { toTime } from "../../shared/clock.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Store, StoreOp } from "../../shared/store/port.ts";
import { type DesiredItem, type InventoryEntry, revisionOf } from "../../shared/wire/desired.ts";

const BUCKET = "cloud_identity";
const KEY = "loss";

const log = roomLogger("cloud", "controllers", "loss");

export interface Loss {
  /** RFC 3339 */
  since: string;
  /** For people: what was damaged. */
  damage: string[];
}

export interface LossGuardOptions {
  store: Store;
  clock: Clock;
  /** The operator goes on without what is lost. */
  accept: boolean;
  /** Nodes are enrolled: an empty store beside them has been lost. */
  hasNodes?: boolean;
  /** What else becomes true with a loss, in the commit behind which the loss is not told again. */
  onLoss?: readonly StoreOp[];
}

/** Nodes whose kept objects are remembered. */
const KEEPERS_MAX = 10_000;

/** Of two objects of one name each may be lost; without a uid any of that name counts. */
type Named = Pick<InventoryEntry, "key"> & Partial<Pick<InventoryEntry, "uid">>;

function idOf({ key, uid }: Named): string {
  return uid === undefined ? key : `${key} ${uid}`;
}

export class LossGuard {
  #loss: Loss | undefined;
  readonly #seen = new Set<string>();
  /** Node -> keys of what is newer there. */
  readonly #kept = new Map<string, readonly string[]>();

  private constructor(loss: Loss | undefined) {
    this.#loss = loss;
  }

  /** Reads the guard, raises it when the store has just lost commits, drops it when accepted. */
  static async open(options: LossGuardOptions): Promise<LossGuard> {
    const { store, clock, accept, onLoss = [] } = options;
    const isGone = store.lastSequence === 0 && (options.hasNodes ?? false);
    const isLoss = store.recovery.lostCommits === true || isGone;
    const known = store.get<Loss>(BUCKET, KEY);
    const ops = isLoss ? [...onLoss] : [];
    if (accept) {
      if (known) ops.push({ op: "delete", bucket: BUCKET, key: KEY });
      if (ops.length > 0) await store.commit(ops);
      return new LossGuard(undefined);
    }
    if (!isLoss) return new LossGuard(known);
    const damage = store.recovery.damage.map(({ what, file, setAsideAs }) =>
      `${what} in ${file}${setAsideAs === undefined ? "" : `, set aside as ${setAsideAs}`}`
    );
    if (isGone) damage.push("the store is empty although nodes are enrolled");
    const loss: Loss = { since: known?.since ?? toTime(clock.nowMs()), damage };
    await store.commit([...ops, { op: "put", bucket: BUCKET, key: KEY, value: loss }]);
    log.error("The store lost records; nodes keep what is unknown here", { damage });
    return new LossGuard(loss);
  }

  /** Undefined while nothing is lost, or the loss was accepted. */
  get loss(): Loss | undefined {
    return this.#loss;
  }

  /** Notes that these objects exist here now: should they go, they were deleted. */
  note(objects: Iterable<Named>): void {
    if (!this.#loss) return;
    for (const object of objects) this.#seen.add(object.key).add(idOf(object));
  }

  mayHaveLost(object: Named): boolean {
    return this.#loss !== undefined && !this.#seen.has(idOf(object));
  }

  /**
   * True when the node holds a later version of this very object than the one that is left here.
   * Revisions are not used again after a loss, so that whatever is written since counts as later.
   */
  mayBeOlder(held: InventoryEntry, { object }: DesiredItem): boolean {
    if (!this.#loss || held.revision === undefined) return false;
    return (revisionOf(object) ?? 0) < held.revision;
  }

  /** Takes note of all that `node` keeps although this store has something else of it. */
  keptByNode(node: string, keys: readonly string[]): void {
    if (!this.#loss) return;
    const before = this.#kept.get(node) ?? [];
    if (keys.length === 0) this.#kept.delete(node);
    else if (before.length > 0 || this.#kept.size < KEEPERS_MAX) this.#kept.set(node, keys);
    if (keys.some((key) => !before.includes(key))) {
      const some = keys.slice(0, 10);
      log.warn("Node keeps what is newer there", { node, objects: keys.length, some });
    }
  }

  /** What nodes keep of which this store has something older, for people. */
  get kept(): { node: string; keys: readonly string[] }[] {
    return [...this.#kept].map(([node, keys]) => ({ node, keys }));
  }

  /**
   * True for an object from before the loss: that it was deleted, and another made under its name,
   * may be among what was lost.
   */
  mayBeOutlived({ metadata: { creationTimestamp } }: KubeObject): boolean {
    if (!this.#loss || !creationTimestamp) return false;
    return creationTimestamp <= this.#loss.since; // RFC 3339 in UTC, both by this cloud's clock
  }
}
