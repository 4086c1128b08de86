/**
 * The ledger as the agent reads it: with this node's static pods among the pods, and with no pod in
 * it whose spec would break the code that reads it. Such a pod is a husk, a pod of no containers,
 * of which `specProblem` knows what is wrong: it is refused, or left as it runs.
 */
import { Changes } from "../../shared/async/wakeup.ts";
import type { KubeObject, ObjectMeta, Pod } from "../../shared/k8s/types.ts";
import type { DesiredBatch, InventoryEntry } from "../../shared/wire/desired.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import type { Ledger, LedgerHead, Verdict } from "../meta/port.ts";
import { huskOf } from "./husk.ts";
import type { StaticFolder } from "./static_pods/static_folder.ts";

const PODS = { group: "", resource: "pods" };

export class AgentLedger implements Ledger {
  readonly changes = new Changes();
  readonly #ledger: Ledger;
  readonly #statics: StaticFolder | undefined;
  /** What each object of the ledger was found to be. */
  readonly #looked = new WeakMap<object, Pod>();
  /** The ledger's pods as they were listed since its last change; workers hold the same objects. */
  #pods: readonly Pod[] | undefined;
  #held = new Map<string, Pod>();

  constructor(ledger: Ledger, statics: StaticFolder | undefined) {
    this.#ledger = ledger;
    this.#statics = statics;
    const notify = () => this.changes.notify();
    ledger.changes.subscribe(() => {
      this.#pods = undefined;
      notify();
    });
    statics?.changes.subscribe(notify);
  }

  get head(): LedgerHead {
    return this.#ledger.head;
  }

  get<T extends KubeObject>(key: string): T | undefined {
    const found = this.#ledger.get<T>(key);
    if (!key.startsWith("pods/")) return found;
    const pod = found ? this.#look(found) : this.#staticPod(key);
    return pod as T | undefined; // "pods/…" are Pods
  }

  list<T extends KubeObject>(resource: string): T[] {
    if (resource !== "pods") return this.#ledger.list<T>(resource);
    this.#pods ??= this.#readPods();
    const pods = [...this.#pods, ...this.#statics?.pods() ?? []];
    return pods as unknown as T[]; // the caller that lists pods takes Pods
  }

  inventory(): InventoryEntry[] {
    return this.#ledger.inventory();
  }

  accept(batch: DesiredBatch): Promise<Verdict> {
    return this.#ledger.accept(batch);
  }

  /** What has not changed stays the object it was, so that it is in memory once. */
  #readPods(): Pod[] {
    const held = this.#held;
    this.#held = new Map();
    return this.#ledger.list("pods").map((object) => {
      const { uid = "", resourceVersion } = object.metadata ?? {};
      const before = held.get(uid);
      const isSame = uid !== "" && resourceVersion !== undefined &&
        before?.metadata.resourceVersion === resourceVersion;
      const pod = isSame ? before : this.#look(object);
      this.#held.set(uid, pod);
      return pod;
    });
  }

  #look(object: KubeObject): Pod {
    const known = this.#looked.get(object);
    if (known) return known;
    const pod = object as Pod; // that it has a Pod's shape is what is looked at
    const made = huskOf(pod) ?? pod;
    this.#looked.set(object, made);
    return made;
  }

  #staticPod(key: string): Pod | undefined {
    const keyOf = ({ namespace, name = "" }: ObjectMeta) => objectKey(PODS, namespace, name);
    return this.#statics?.pods().find(({ metadata }) => keyOf(metadata) === key);
  }
}
