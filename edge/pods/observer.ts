/**
 * Looks at the runtime. `scan` is the cheap look at everything (one or two list calls) and says
 * which pods look different from when they were last observed; `observe` is the full look at one
 * pod. Statuses are cached by (id, state): what has not changed state is not asked for again.
 * Sandboxes and containers that do not carry this node's mark do not exist for the agent.
 */
import type { Clock } from "../../shared/clock.ts";
import { AppError, isAppError } from "../../shared/errors.ts";
import {
  type Container,
  ContainerState,
  type ContainerStatus,
  NamespaceMode,
  type PodSandbox,
  PodSandboxState,
} from "../../shared/gen/runtime/v1/api_pb.ts";
import type { LifecycleHandler } from "../../shared/k8s/types.ts";
import { BACKOFF_MAX_MS } from "../../shared/limits.ts";
import type { PodRef } from "../../shared/wire/report.ts";
import type { ContainerRuntime } from "../cri/port.ts";
import type { LinkedLog } from "./housekeeping/log_links.ts";
import { ANNOTATION, LABEL, NODE_MARK } from "./marks.ts";
import type { ObservedContainer, ObservedPod, ObservedSandbox, ObservedState } from "./observed.ts";
import { readTerminationMessage } from "./pod_files.ts";

const STATES: Record<ContainerState, ObservedState> = {
  [ContainerState.CONTAINER_CREATED]: "created",
  [ContainerState.CONTAINER_RUNNING]: "running",
  [ContainerState.CONTAINER_EXITED]: "exited",
  [ContainerState.CONTAINER_UNKNOWN]: "unknown",
};

/** Once because it may have just been removed, once more because things come in pairs. */
const OBSERVE_TRIES = 3;

interface Seen {
  ref: PodRef;
  sandboxes: Map<string, ObservedSandbox>;
  containers: Map<string, ObservedContainer>;
  /** States by id, as the scans saw them last. */
  sandboxPrint: string;
  containerPrint: string;
}

/** What the runtime lists of one pod. */
export interface Listing {
  sandboxes: readonly PodSandbox[];
  containers: readonly Container[];
}

export interface Scan {
  /** Pods of this node that look different. */
  changed: PodRef[];
  /** By uid; there when everything was listed. */
  listed?: ReadonlyMap<string, Listing>;
}

export class RuntimeObserver {
  readonly #runtime: ContainerRuntime;
  readonly #nodeName: string;
  readonly #clock: Clock;
  readonly #seen = new Map<string, Seen>();

  constructor(runtime: ContainerRuntime, nodeName: string, clock: Clock) {
    this.#runtime = runtime;
    this.#nodeName = nodeName;
    this.#clock = clock;
  }

  /**
   * `ended` asks for ended containers alone, which costs next to nothing while all is well; `all`
   * for everything.
   */
  async scan(what: "ended" | "all", signal: AbortSignal): Promise<Scan> {
    const changed = new Map<string, PodRef>();
    if (what === "ended") {
      const state = { state: ContainerState.CONTAINER_EXITED };
      for (const container of await this.#runtime.listContainers({ state }, signal)) {
        if (!this.#isOurs(container)) continue;
        const seen = this.#seenOf(refOf(container.labels));
        if (!seen.containerPrint.includes(printOf([container]))) {
          changed.set(seen.ref.uid, seen.ref);
        }
      }
      return { changed: [...changed.values()] };
    }
    const [sandboxes, containers] = await Promise.all([
      this.#runtime.listPodSandbox({}, signal),
      this.#runtime.listContainers({}, signal),
    ]);
    const containersOf = this.#byPod(containers);
    const sandboxesOf = this.#byPod(sandboxes);
    this.#compare(containersOf, "containerPrint", changed);
    this.#compare(sandboxesOf, "sandboxPrint", changed);
    const uids = [...sandboxesOf.keys(), ...containersOf.keys()];
    const listed = new Map(uids.map((uid) => [uid, {
      sandboxes: sandboxesOf.get(uid) ?? [],
      containers: containersOf.get(uid) ?? [],
    }]));
    return { changed: [...changed.values()], listed };
  }

  #byPod<T extends Container | PodSandbox>(items: readonly T[]): Map<string, T[]> {
    return Map.groupBy(items.filter((i) => this.#isOurs(i)), (i) => i.labels[LABEL.podUid]!);
  }

  #compare(
    byPod: ReadonlyMap<string, (Container | PodSandbox)[]>,
    which: "containerPrint" | "sandboxPrint",
    changed: Map<string, PodRef>,
  ): void {
    for (const [uid, mine] of byPod) {
      const seen = this.#seenOf(refOf(mine[0]!.labels));
      const print = printOf(mine);
      if (print === seen[which]) continue;
      seen[which] = print;
      changed.set(uid, seen.ref);
    }
    for (const [uid, seen] of this.#seen) {
      if (byPod.has(uid) || seen[which] === "") continue;
      seen[which] = "";
      changed.set(uid, seen.ref);
    }
  }

  #isOurs(item: { annotations: Record<string, string>; labels: Record<string, string> }): boolean {
    return item.annotations[NODE_MARK] === this.#nodeName && Boolean(item.labels[LABEL.podUid]);
  }

  #seenOf(ref: PodRef): Seen {
    const seen = this.#seen.get(ref.uid) ?? {
      ref,
      sandboxes: new Map(),
      containers: new Map(),
      sandboxPrint: "",
      containerPrint: "",
    };
    this.#seen.set(ref.uid, seen);
    return seen;
  }

  /** `listed` in place of a first list: by whoever knows that nothing was done since. */
  async observe(ref: PodRef, signal: AbortSignal, listed?: Listing): Promise<ObservedPod> {
    for (let tries = 0; tries < OBSERVE_TRIES; tries++) {
      const listing = tries === 0 && listed ? listed : await this.#list(ref, signal);
      const observed = await this.#observeOnce(ref, listing, signal);
      if (observed) return observed;
    }
    // To take it as absent would be to run it twice.
    throw new AppError("internal", "Cannot observe pod: runtime lists what it says is not there", {
      ...ref,
    });
  }

  async #list(ref: PodRef, signal: AbortSignal): Promise<Listing> {
    const labelSelector = { [LABEL.podUid]: ref.uid };
    const [sandboxes, containers] = await Promise.all([
      this.#runtime.listPodSandbox({ labelSelector }, signal),
      this.#runtime.listContainers({ labelSelector }, signal),
    ]);
    return { sandboxes, containers };
  }

  /** Undefined when something went away between the list and the question about it. */
  async #observeOnce(
    ref: PodRef,
    listing: Listing,
    signal: AbortSignal,
  ): Promise<ObservedPod | undefined> {
    // A runtime may have answered with more than it was asked for.
    const mine = (item: { labels: Record<string, string>; annotations: Record<string, string> }) =>
      this.#isOurs(item) && item.labels[LABEL.podUid] === ref.uid;
    const listedSandboxes = listing.sandboxes.filter(mine);
    const listed = listing.containers.filter(mine);
    const seen = this.#seenOf(ref);
    const [sandboxes, containers] = await Promise.all([
      Promise.all(listedSandboxes.map((s) => this.#sandbox(s, seen, signal))),
      Promise.all(listed.map((c) => this.#container(c, seen, signal))),
    ]);
    const observed: ObservedPod = {
      ...ref,
      sandboxes: sandboxes.filter((s) => s !== undefined),
      containers: containers.filter((c) => c !== undefined),
    };
    seen.sandboxes = new Map(observed.sandboxes.map((s) => [s.id, s]));
    seen.containers = new Map(observed.containers.map((c) => [c.id, c]));
    const isWhole = observed.sandboxes.length === listedSandboxes.length &&
      observed.containers.length === listed.length;
    if (!isWhole) return undefined;
    seen.sandboxPrint = printOf(listedSandboxes);
    seen.containerPrint = printOf(listed);
    return observed;
  }

  /** Logs of the containers that ran when they were last observed. */
  runningLogs(): LinkedLog[] {
    return [...this.#seen.values()].flatMap(({ ref, containers }) =>
      [...containers.values()].filter((c) => c.state === "running" && c.logPath !== "")
        .map((c) => ({
          podName: ref.name,
          namespace: ref.namespace,
          container: c.name,
          containerId: c.id,
          path: c.logPath,
        }))
    );
  }

  forget(uid: string): void {
    const seen = this.#seen.get(uid);
    if (seen && seen.sandboxPrint === "" && seen.containerPrint === "") this.#seen.delete(uid);
  }

  async #sandbox(
    listed: PodSandbox,
    seen: Seen,
    signal: AbortSignal,
  ): Promise<ObservedSandbox | undefined> {
    const ready = listed.state === PodSandboxState.SANDBOX_READY;
    const known = seen.sandboxes.get(listed.id);
    if (known && known.ready === ready && (known.hostNetwork || known.ips.length > 0 || !ready)) {
      return known;
    }
    try {
      const { status } = await this.#runtime.podSandboxStatus({ podSandboxId: listed.id }, signal);
      const options = status?.linux?.namespaces?.options;
      const network = status?.network;
      const ips = [network?.ip ?? "", ...(network?.additionalIps ?? []).map((p) => p.ip)];
      return {
        id: listed.id,
        attempt: listed.metadata?.attempt ?? 0,
        ready: ready && (status?.state ?? listed.state) === PodSandboxState.SANDBOX_READY,
        createdAtMs: toMs(listed.createdAt),
        hostNetwork: options?.network === NamespaceMode.NODE,
        ips: ips.filter((ip) => ip !== ""),
      };
    } catch (error) {
      // Removed between the list and the question, or a lie: observe() asks again.
      if (isAppError(error, "not_found")) return undefined;
      throw error;
    }
  }

  async #container(
    listed: Container,
    seen: Seen,
    signal: AbortSignal,
  ): Promise<ObservedContainer | undefined> {
    const state = STATES[listed.state] ?? "unknown";
    const known = seen.containers.get(listed.id);
    if (known && known.state === state && state !== "unknown") return known;
    try {
      const { status } = await this.#runtime.containerStatus({ containerId: listed.id }, signal);
      if (!status) return undefined;
      return await this.#describe(listed, status, known);
    } catch (error) {
      if (isAppError(error, "not_found")) return undefined;
      throw error;
    }
  }

  async #describe(
    listed: Container,
    status: ContainerStatus,
    known: ObservedContainer | undefined,
  ): Promise<ObservedContainer> {
    const state = STATES[status.state] ?? "unknown";
    const attempt = status.metadata?.attempt ?? listed.metadata?.attempt ?? 0;
    const restarts = Number(listed.annotations[ANNOTATION.restartCount]);
    const grace = Number(listed.annotations[ANNOTATION.podGrace] ?? NaN);
    const exited = state === "exited";
    const preStop = hookOf(listed.annotations[ANNOTATION.preStop]);
    return {
      id: listed.id,
      sandboxId: listed.podSandboxId,
      name: listed.labels[LABEL.containerName] ?? listed.metadata?.name ?? "",
      attempt,
      restartCount: Number.isInteger(restarts) ? restarts : attempt,
      hash: listed.annotations[ANNOTATION.hash] ?? "",
      state,
      createdAtMs: toMs(status.createdAt),
      startedAtMs: toMs(status.startedAt),
      finishedAtMs: toMs(status.finishedAt),
      endedAtMs: exited ? this.#endedAtMs(status) : 0,
      exitCode: status.exitCode,
      reason: status.reason,
      message: exited ? await endMessage(listed, status) : "",
      image: status.image?.image ?? known?.image ?? "",
      imageRef: status.imageRef || (known?.imageRef ?? ""),
      logPath: status.logPath,
      graceSeconds: Number.isFinite(grace) ? grace : undefined,
      ...(preStop ? { preStop } : {}),
    };
  }

  /** The end on the monotonic clock: its age by the wall clock now, kept within reason. */
  #endedAtMs(status: ContainerStatus): number {
    const ageMs = this.#clock.nowMs() - toMs(status.finishedAt);
    return this.#clock.monotonicMs() - Math.min(BACKOFF_MAX_MS, Math.max(0, ageMs));
  }
}

/** The hook as it was written down; what cannot be read is none. */
function hookOf(annotation: string | undefined): LifecycleHandler | undefined {
  if (!annotation) return undefined;
  try {
    const hook: unknown = JSON.parse(annotation);
    return typeof hook === "object" && hook !== null ? hook : undefined;
  } catch {
    return undefined;
  }
}

async function endMessage(listed: Container, status: ContainerStatus): Promise<string> {
  const path = listed.annotations[ANNOTATION.messagePath];
  const said = await readTerminationMessage({
    file: status.mounts.find((m) => m.containerPath === path)?.hostPath ?? "",
    logPath: status.logPath,
    fallbackToLogs: listed.annotations[ANNOTATION.messagePolicy] === "FallbackToLogsOnError",
    exitCode: status.exitCode,
  });
  return [status.message, said].filter((text) => text !== "").join(": ");
}

function refOf(labels: Record<string, string>): PodRef {
  return {
    namespace: labels[LABEL.podNamespace] ?? "",
    name: labels[LABEL.podName] ?? "",
    uid: labels[LABEL.podUid] ?? "",
  };
}

function printOf(items: readonly { id: string; state: number }[]): string {
  return items.map((i) => `${i.id}=${i.state}`).sort().join(",");
}

/** Nanoseconds to milliseconds; rounded up, so that a set time never becomes 0. */
function toMs(nanos: bigint): number {
  return nanos <= 0n ? 0 : Number((nanos + 999_999n) / 1_000_000n);
}
