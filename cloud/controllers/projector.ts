/**
 * Keeps every node's projection: what it must hold, under a generation that rises with each change
 * of content and survives restarts of the cloud (the same content keeps its generation).
 *
 *     loading -> serving     a half-loaded world would look like deletions, so nothing is served
 *                            before all caches hold their first list
 *     change -> dirty -> (digest differs) -> store.commit -> visible -> listeners
 *
 * A generation and its digest are on disk before anyone sees them: a node can never hold a
 * generation that a restarted cloud gives to other content. Records of nodes that are gone stay (a
 * few dozen bytes each): a node that comes back under its name must not meet lower generations.
 */
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, invariant, isAbort } from "../../shared/errors.ts";
import { type GroupVersionResource, GVR } from "../../shared/k8s/gvr.ts";
import type { ImagePrePullJob } from "../../shared/k8s/prepull.ts";
import type { ConfigMap, KubeObject, Node, Pod, Secret } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Random } from "../../shared/random.ts";
import type { Store, StoreOp } from "../../shared/store/port.ts";
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Device, DeviceModel } from "../../shared/k8s/devices.ts";
import {
  type DesiredItem,
  inventoryDigest,
  type InventoryEntry,
} from "../../shared/wire/desired.ts";
import { objectKey, parseObjectKey, qualifiedResource } from "../../shared/wire/keys.ts";
import type { DesiredSource, Projection } from "../hub/port.ts";
import type { LossGuard } from "./loss_guard.ts";
import { DeviceIndex, deviceKey } from "./device_index.ts";
import { NodeIndex } from "./node_index.ts";
import { accountKey, ProjectedTokens } from "./pod_tokens.ts";
import type { ObjectCache, PodTokenIssuer } from "./port.ts";
import { PrePullIndex, prePullKey } from "./prepull_index.ts";
import { nodeKey, podKey, projectNode } from "./project_node.ts";
import { TravelItems } from "./travel_items.ts";

/** Node -> {generation, digest}. */
export const PROJECTIONS_BUCKET = "projections";
/** Node -> acknowledged generation; apart from the above, so that the two never overwrite. */
export const ACKNOWLEDGED_BUCKET = "projection_acks";
/** Node -> generation every later one must be above: what a node was found to hold already. */
export const FLOORS_BUCKET = "projection_floors";
/** "cloudId" -> UUID made with the store. */
export const IDENTITY_BUCKET = "cloud_identity";

/** Wait after a refused commit (disk full), then the same work is tried again. */
const RETRY_MS = 1_000;
/** Far below where integers lose precision: no honest node gets here; a liar stops only itself. */
const GENERATION_MAX = Number.MAX_SAFE_INTEGER / 2;
/** Records in one commit; a commit is one journal record and must stay far below its bound. */
const OPS_MAX = 1_000;

interface StoredProjection {
  generation: number;
  digest: string;
}

interface ObjectRef {
  namespace?: string;
  name?: string;
}

export interface ProjectorCaches {
  nodes: ObjectCache<Node>;
  pods: ObjectCache<Pod>;
  configmaps: ObjectCache<ConfigMap>;
  secrets: ObjectCache<Secret>;
  /** With `volumes`. */
  claims?: ObjectCache<KubeObject>;
  volumes?: ObjectCache<KubeObject>;
  accounts?: ObjectCache<KubeObject>;
  runtimeClasses?: ObjectCache<KubeObject>;
  /** With `models`; a cluster may lack both kinds, and then nodes hold no devices. */
  devices?: ObjectCache<Device>;
  models?: ObjectCache<DeviceModel>;
  prePullJobs?: ObjectCache<ImagePrePullJob>;
}

export interface ProjectorOptions {
  caches: ProjectorCaches;
  store: Store;
  random: Random;
  clock: Clock;
  /** Without it nothing can have been lost. */
  lossGuard?: LossGuard;
  /** With `accounts`; without it nodes hold no tokens. */
  tokenIssuer?: PodTokenIssuer;
}

/** The longest sleep of a projector with nothing to renew. */
const IDLE_MS = 3_600_000;

/** Planning a node with 20 pods takes less than a millisecond, and waits for nothing. */
const REST_FROM_MS = 4;
const REST_TIMES = 8;
const REST_MS_MAX = 1_000;
const MODELS = qualifiedResource(GVR.deviceModels);
const EMPTY: Projection = { generation: 0, digest: inventoryDigest([]), items: new Map() };

export class Projector implements DesiredSource {
  readonly #options: ProjectorOptions;
  readonly #log = roomLogger("cloud", "controllers", "projector");
  readonly #index = new NodeIndex();
  readonly #devices = new DeviceIndex();
  readonly #prePulls = new PrePullIndex();
  readonly #items = new TravelItems();
  readonly #tokens: ProjectedTokens | undefined;
  /** When each node's next token is to be renewed. */
  readonly #renewAtMs = new Map<string, number>();
  readonly #visible = new Map<string, Projection>();
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #wakeup = new Wakeup();
  readonly #serving = Promise.withResolvers<void>();
  readonly #floors = new Map<string, number>();
  #dirty = new Set<string>();
  #isServing = false;
  /** How long the last planning took. */
  #plannedMs = 0;

  constructor(options: ProjectorOptions) {
    this.#options = options;
    const { nodes, pods, configmaps, secrets } = options.caches;
    this.#tokens = options.tokenIssuer && new ProjectedTokens(options.tokenIssuer);
    nodes.subscribe((change) => this.#onNode((change.after ?? change.before)!, !change.after));
    pods.subscribe((change) => {
      const pod = (change.after ?? change.before)!; // a change has at least one side
      if (!change.after) {
        this.#items.forget(podKey(pod));
        this.#tokens?.forget(pod);
      }
      this.#markDirty(this.#index.apply(change));
    });
    configmaps.subscribe((change) =>
      this.#onNeeded(GVR.configmaps, (change.after ?? change.before)!, !change.after)
    );
    secrets.subscribe((change) =>
      this.#onNeeded(GVR.secrets, (change.after ?? change.before)!, !change.after)
    );
    this.#followStorage(options.caches);
    this.#followPrePulls(options.caches);
    options.caches.accounts?.subscribe(({ before, after }) => {
      // What a node is given of an account is its tokens: they know it by its uid.
      if (before?.metadata.uid === after?.metadata.uid) return;
      const { namespace, name = "" } = (after ?? before)!.metadata;
      this.#markDirty(this.#index.usersOf(objectKey(GVR.serviceAccounts, namespace, name)));
    });
    options.caches.devices?.subscribe((change) => {
      const device = (change.after ?? change.before)!;
      if (!change.after) this.#items.forget(deviceKey(device));
      this.#markDirty(this.#devices.apply(change));
    });
    options.caches.models?.subscribe((change) => {
      this.#onNeeded(GVR.deviceModels, (change.after ?? change.before)!, !change.after);
    });
  }

  #followPrePulls({ prePullJobs }: ProjectorCaches): void {
    prePullJobs?.subscribe((change) => {
      if (!change.after) this.#items.forget(prePullKey(change.before!)); // it had been there
      this.#markDirty(this.#prePulls.apply(change));
    });
  }

  #followStorage({ claims, volumes, runtimeClasses }: ProjectorCaches): void {
    claims?.subscribe(({ before, after }) =>
      this.#onNeeded(GVR.claims, (after ?? before)!, !after)
    );
    runtimeClasses?.subscribe(({ before, after }) =>
      this.#onNeeded(GVR.runtimeClasses, (after ?? before)!, !after)
    );
    volumes?.subscribe(({ before, after }) => {
      const volume = (after ?? before)!;
      if (!after) this.#items.forget(objectKey(GVR.volumes, undefined, volume.metadata.name ?? ""));
      const { claimRef } = Object(volume.spec) as { claimRef?: ObjectRef }; // core/v1
      if (!claimRef?.name) return;
      const key = objectKey(GVR.claims, claimRef.namespace, claimRef.name);
      this.#markDirty(this.#index.usersOf(key));
    });
  }

  /** Digests made so far: the cost of projecting. */
  get digests(): number {
    return this.#items.digests;
  }

  get cloudId(): string {
    const id = this.#options.store.get<string>(IDENTITY_BUCKET, "cloudId");
    invariant(id, "the cloud's identity is made before anyone asks for it: await ready() first");
    return id;
  }

  projection(node: string): Projection {
    if (!this.#isServing) {
      throw new AppError("unavailable", `Cannot project node ${node}: caches are still loading`);
    }
    return this.#visible.get(node) ?? EMPTY;
  }

  subscribe(node: string, listener: () => void): () => void {
    let listeners = this.#listeners.get(node);
    if (!listeners) this.#listeners.set(node, listeners = new Set());
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(node) === listeners) {
        this.#listeners.delete(node);
      }
    };
  }

  /** Keeps the highest acknowledged generation; resolves when that is on disk. */
  async acknowledged(node: string, generation: number): Promise<void> {
    const current = this.projection(node).generation;
    if (!Number.isSafeInteger(generation) || generation < 0 || generation > current) {
      throw new AppError(
        "invalid",
        `Cannot keep acknowledgement: generation must be <= ${current}, got ${generation}`,
        { node },
      );
    }
    if (generation <= this.acknowledgedGeneration(node)) return;
    await this.#options.store.commit([
      { op: "put", bucket: ACKNOWLEDGED_BUCKET, key: node, value: generation },
    ]);
  }

  acknowledgedGeneration(node: string): number {
    return this.#options.store.get<number>(ACKNOWLEDGED_BUCKET, node) ?? 0;
  }

  /** Gives the node's content a generation above `generation`, which it holds from elsewhere. */
  async advance(node: string, generation: number): Promise<void> {
    if (generation < this.projection(node).generation) return;
    if (!Number.isSafeInteger(generation) || generation > GENERATION_MAX) {
      throw new AppError("invalid", `Cannot advance: ${generation} is no generation`, { node });
    }
    await this.#options.store.commit([
      { op: "put", bucket: FLOORS_BUCKET, key: node, value: generation },
    ]);
    this.#floors.set(node, generation);
    this.#markDirty([node]);
  }

  mayHaveLost(held: InventoryEntry): boolean {
    return this.#options.lossGuard?.mayHaveLost(held) ?? false;
  }

  mayBeOutlived(object: KubeObject): boolean {
    return this.#options.lossGuard?.mayBeOutlived(object) ?? false;
  }

  mayBeOlder(held: InventoryEntry, item: DesiredItem): boolean {
    return this.#options.lossGuard?.mayBeOlder(held, item) ?? false;
  }

  keptByNode(node: string, keys: readonly string[]): void {
    this.#options.lossGuard?.keptByNode(node, keys);
  }

  /** Resolves when projections are served. */
  ready(signal: AbortSignal): Promise<void> {
    if (this.#isServing) return Promise.resolve();
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      void this.#serving.promise.then(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { caches, store } = this.#options;
    await Promise.all(
      Object.values(caches).map((cache: ObjectCache<never>) => cache.ready(signal)),
    );
    await this.#keepTrying(() => this.#ensureIdentity(), signal);
    for (const { key, value } of store.list<number>(FLOORS_BUCKET)) this.#floors.set(key, value);
    // Also nodes that only the store knows: they may have lost everything while the cloud was down.
    this.#markDirty(store.list(PROJECTIONS_BUCKET).map((record) => record.key));
    await this.#keepTrying(() => this.#pass(), signal);
    this.#isServing = true;
    this.#serving.resolve();
    while (true) {
      await waitAtMost(this.#wakeup, this.#options.clock, this.#nextRenewalMs(), signal);
      this.#markRenewals();
      await this.#keepTrying(() => this.#pass(), signal);
      await this.#rest(signal);
    }
  }

  /** Until the first token of any node is to be renewed. */
  #nextRenewalMs(): number {
    const nowMs = this.#options.clock.nowMs();
    let delayMs = IDLE_MS;
    for (const atMs of this.#renewAtMs.values()) delayMs = Math.min(delayMs, atMs - nowMs);
    return Math.max(0, delayMs);
  }

  #markRenewals(): void {
    const nowMs = this.#options.clock.nowMs();
    for (const [node, atMs] of this.#renewAtMs) if (atMs <= nowMs) this.#dirty.add(node);
  }

  #onNode(node: Node, isGone: boolean): void {
    const name = node.metadata.name ?? "";
    if (isGone) this.#items.forget(nodeKey(name));
    this.#markDirty([name]);
  }

  #onNeeded(gvr: GroupVersionResource, object: KubeObject, isGone: boolean): void {
    const key = objectKey(gvr, object.metadata.namespace, object.metadata.name ?? "");
    if (isGone) this.#items.forget(key);
    this.#markDirty(this.#index.usersOf(key));
    this.#markDirty(this.#devices.usersOf(key));
    this.#markDirty(this.#prePulls.usersOf(key));
  }

  #markDirty(nodes: Iterable<string>): void {
    let isAny = false;
    for (const node of nodes) {
      this.#dirty.add(node);
      isAny = true;
    }
    if (isAny) this.#wakeup.wake();
  }

  async #ensureIdentity(): Promise<void> {
    const { store, random } = this.#options;
    if (store.get(IDENTITY_BUCKET, "cloudId")) return;
    await store.commit([
      { op: "put", bucket: IDENTITY_BUCKET, key: "cloudId", value: random.uuid() },
    ]);
  }

  /**
   * Planning walks all a node holds. Where that is thousands of devices, changes gather for a few
   * times as long as the walk took, so that a burst costs a share of the time, not its square.
   */
  async #rest(signal: AbortSignal): Promise<void> {
    if (this.#plannedMs < REST_FROM_MS) return;
    const restMs = Math.min(this.#plannedMs * REST_TIMES, REST_MS_MAX);
    await this.#options.clock.sleep(restMs, signal);
  }

  /** Brings every dirty node up to date. On failure they are dirty again. */
  async #pass(): Promise<void> {
    const dirty = this.#dirty;
    this.#dirty = new Set();
    try {
      const startedMs = this.#options.clock.monotonicMs();
      const changed = [...dirty].map((node) => this.#plan(node)).filter((plan) => !!plan);
      this.#plannedMs = this.#options.clock.monotonicMs() - startedMs;
      for (let start = 0; start < changed.length; start += OPS_MAX) {
        const step = changed.slice(start, start + OPS_MAX);
        await this.#persist(step);
        for (const { node, next } of step) this.#publish(node, next);
      }
    } catch (error) {
      for (const node of dirty) this.#dirty.add(node);
      throw error;
    }
  }

  /** The node's next projection, or undefined when nothing that counts has changed. */
  #plan(node: string): { node: string; next: Projection } | undefined {
    const items = this.#project(node);
    this.#options.lossGuard?.note(items.values());
    const current = this.#visible.get(node);
    const floor = this.#floors.get(node) ?? -1;
    if (current && current.generation > floor && sameVersions(current.items, items)) {
      // Content outside the versions (the status of an ended pod) is still served fresh.
      this.#visible.set(node, { ...current, items });
      return undefined;
    }
    const digest = inventoryDigest(items.values());
    const held = current ??
      this.#options.store.get<StoredProjection>(PROJECTIONS_BUCKET, node) ?? EMPTY;
    if (held.digest === digest && held.generation > floor) {
      this.#visible.set(node, { generation: held.generation, digest, items });
      return undefined;
    }
    return { node, next: { generation: Math.max(held.generation, floor) + 1, digest, items } };
  }

  #project(node: string): Map<string, DesiredItem> {
    const { caches } = this.#options;
    this.#renewAtMs.delete(node);
    return projectNode({
      node: caches.nodes.get(undefined, node),
      pods: this.#index.podsOf(node),
      devices: this.#devices.devicesOf(node),
      prePulls: this.#prePulls.jobsOf(node),
      find: (key) => {
        const { resource, namespace, name } = parseObjectKey(key);
        if (resource === MODELS) return caches.models?.get(namespace, name);
        return this.#cacheOf(resource)?.get(namespace || undefined, name);
      },
      tokens: (pod) => this.#tokensOf(node, pod),
      item: (key, object) => this.#items.of(key, object),
    });
  }

  #cacheOf(resource: string): ObjectCache<KubeObject> | undefined {
    const { configmaps, secrets, claims, volumes, runtimeClasses } = this.#options.caches;
    const caches: Record<string, ObjectCache<KubeObject> | undefined> = {
      [GVR.configmaps.resource]: configmaps,
      [GVR.secrets.resource]: secrets,
      [GVR.claims.resource]: claims,
      [GVR.volumes.resource]: volumes,
      [qualifiedResource(GVR.runtimeClasses)]: runtimeClasses,
    };
    return caches[resource];
  }

  #tokensOf(node: string, pod: Pod): DesiredItem | undefined {
    const { caches, clock } = this.#options;
    const key = this.#tokens && accountKey(pod);
    if (!this.#tokens || key === undefined) return undefined;
    const { namespace, name } = parseObjectKey(key);
    const account = caches.accounts?.get(namespace, name);
    if (!account) return undefined;
    const item = this.#tokens.of(pod, account, clock.nowMs());
    const atMs = Math.min(
      this.#renewAtMs.get(node) ?? Infinity,
      this.#tokens.renewAtMs(pod) ?? Infinity,
    );
    if (atMs !== Infinity) this.#renewAtMs.set(node, atMs);
    return item;
  }

  async #persist(changed: readonly { node: string; next: Projection }[]): Promise<void> {
    await this.#options.store.commit(changed.map(({ node, next }): StoreOp => ({
      op: "put",
      bucket: PROJECTIONS_BUCKET,
      key: node,
      value: { generation: next.generation, digest: next.digest } satisfies StoredProjection,
    })));
  }

  #publish(node: string, next: Projection): void {
    this.#visible.set(node, next);
    for (const listener of [...this.#listeners.get(node) ?? []]) listener();
  }

  async #keepTrying(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    while (true) {
      try {
        return await work();
      } catch (error) {
        if (signal.aborted || isAbort(error, signal)) throw error;
        if (!(error instanceof AppError)) throw error;
        this.#log.warn("Cannot keep projections; trying again", { error: errorChain(error) });
        await this.#options.clock.sleep(RETRY_MS, signal);
      }
    }
  }
}

function sameVersions(
  a: ReadonlyMap<string, DesiredItem>,
  b: ReadonlyMap<string, DesiredItem>,
): boolean {
  if (a.size !== b.size) return false;
  for (const [key, item] of b) {
    const other = a.get(key);
    if (other?.resourceVersion !== item.resourceVersion || other.uid !== item.uid) return false;
  }
  return true;
}
