/**
 * Keeps account of when images were last used, and removes unused ones when their file system fills
 * up. The account is in memory: after a restart of the agent every image is new once more.
 */
import type { Clock } from "../../../shared/clock.ts";
import { errorChain, isAppError } from "../../../shared/errors.ts";
import type { Image } from "../../../shared/gen/runtime/v1/api_pb.ts";
import type { Pod } from "../../../shared/k8s/types.ts";
import { roomLogger } from "../../../shared/log.ts";
import type { ContainerRuntime } from "../../cri/port.ts";
import type { EventLog } from "../../meta/port.ts";
import { canonicalName } from "../image_name.ts";
import {
  type DiskUse,
  type ImageGcThresholds,
  type KnownImage,
  planImageGc,
} from "./plan_image_gc.ts";

export interface ImageGcOptions {
  runtime: ContainerRuntime;
  events: EventLog;
  clock: Clock;
  nodeName: string;
  thresholds: ImageGcThresholds;
  /** Size and space of the file system a path lies on. */
  diskUse: ((path: string) => Promise<DiskUse>) | undefined;
  /** Pods that shall run here: their images stay. */
  desiredPods: () => readonly Pod[];
}

/** Of images of pre-pull jobs; far more than a node holds. */
const NOTED_MAX = 1_000;

interface Seen {
  firstSeenAtMs: number;
  lastUsedAtMs: number;
}

export class ImageGc {
  readonly #options: ImageGcOptions;
  readonly #seen = new Map<string, Seen>();
  /** Canonical name -> when it was pre-pulled; oldest first. */
  readonly #noted = new Map<string, number>();
  readonly #log = roomLogger("edge", "pods", "images");

  constructor(options: ImageGcOptions) {
    this.#options = options;
  }

  /** It was fetched for what is to come: counts as used now, so that it is not the first to go. */
  noteUse(reference: string): void {
    const name = canonicalName(reference);
    this.#noted.delete(name);
    this.#noted.set(name, this.#options.clock.monotonicMs());
    if (this.#noted.size <= NOTED_MAX) return;
    for (const oldest of this.#noted.keys()) {
      this.#noted.delete(oldest);
      break;
    }
  }

  async collect(signal: AbortSignal): Promise<void> {
    try {
      await this.#collect(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isAppError(error, "unavailable")) return;
      this.#log.warn("Image garbage collection failed", { error: errorChain(error) });
      await this.#tell("ImageGCFailed", errorChain(error));
    }
  }

  /** Removes every image that nothing needs: the node is short of disk. */
  async removeUnused(signal: AbortSignal): Promise<void> {
    const { runtime } = this.#options;
    try {
      for (const image of await this.#look(signal)) {
        if (image.inUse || image.pinned) continue;
        await runtime.removeImage({ image: image.id }, signal);
        this.#seen.delete(image.id);
        this.#log.info("Unused image removed", { image: image.id, bytes: image.bytes });
      }
    } catch (error) {
      signal.throwIfAborted();
      this.#log.warn("Cannot remove unused images", { error: errorChain(error) });
    }
  }

  async #collect(signal: AbortSignal): Promise<void> {
    const { runtime, clock, thresholds, diskUse } = this.#options;
    if (!diskUse) return;
    const images = await this.#look(signal);
    const { imageFilesystems } = await runtime.imageFsInfo(signal);
    const mountpoint = imageFilesystems[0]?.fsId?.mountpoint;
    if (!mountpoint) return;
    const disk = await diskUse(mountpoint);
    const plan = planImageGc(images, disk, thresholds, clock.monotonicMs());
    if (plan.bytesToFree === 0) return;
    let freed = 0;
    for (const image of plan.remove) {
      await runtime.removeImage({ image: image.id }, signal);
      this.#seen.delete(image.id);
      freed += image.bytes;
      this.#log.info("Image removed to free space", { image: image.id, bytes: image.bytes });
    }
    if (freed >= plan.bytesToFree) return;
    await this.#tell(
      "FreeDiskSpaceFailed",
      "Failed to garbage collect required amount of images. Attempted to free " +
        `${plan.bytesToFree} bytes, but only found ${freed} bytes eligible to free.`,
    );
  }

  /** All images, with what is known of their use. */
  async #look(signal: AbortSignal): Promise<KnownImage[]> {
    const { runtime, clock, desiredPods } = this.#options;
    const [images, containers, sandboxImage] = await Promise.all([
      runtime.listImages({}, signal),
      runtime.listContainers({}, signal),
      this.#sandboxImage(signal),
    ]);
    const used = new Set(
      containers.flatMap((c) => [c.imageRef, c.imageId, c.image?.image ?? ""]).map(canonicalName),
    );
    for (const pod of desiredPods()) {
      for (const { image = "" } of [...pod.spec.initContainers ?? [], ...pod.spec.containers]) {
        used.add(canonicalName(image));
      }
    }
    if (sandboxImage) used.add(sandboxImage);
    const nowMs = clock.monotonicMs();
    const known = images.map((image): KnownImage => {
      const inUse = namesOf(image).some((name) => used.has(name)) || isPause(image);
      const seen = this.#seen.get(image.id) ?? { firstSeenAtMs: nowMs, lastUsedAtMs: 0 };
      if (inUse) seen.lastUsedAtMs = nowMs;
      for (const name of namesOf(image)) {
        seen.lastUsedAtMs = Math.max(seen.lastUsedAtMs, this.#noted.get(name) ?? 0);
      }
      this.#seen.set(image.id, seen);
      return {
        id: image.id,
        bytes: Number(image.size),
        pinned: image.pinned,
        inUse,
        ...seen,
      };
    });
    const ids = new Set(images.map((image) => image.id));
    for (const id of this.#seen.keys()) if (!ids.has(id)) this.#seen.delete(id);
    return known;
  }

  /** containerd before 1.7 does not pin the image that sandboxes are made of; it names it. */
  async #sandboxImage(signal: AbortSignal): Promise<string | undefined> {
    const { info } = await this.#options.runtime.status({ verbose: true }, signal);
    try {
      const { sandboxImage } = JSON.parse(info.config ?? "{}") as { sandboxImage?: string };
      return sandboxImage === undefined ? undefined : canonicalName(sandboxImage);
    } catch {
      // Not every runtime prints its configuration; `isPause` is left.
      return undefined;
    }
  }

  #tell(reason: string, message: string): Promise<void> {
    const { events, nodeName } = this.#options;
    const involvedObject = { apiVersion: "v1", kind: "Node", name: nodeName, uid: nodeName };
    return events.record({ involvedObject, type: "Warning", reason, message });
  }
}

function namesOf(image: Image): string[] {
  return [image.id, ...image.repoTags, ...image.repoDigests].map(canonicalName);
}

function isPause(image: Image): boolean {
  return image.repoTags.some((tag) => /\/pause[:@]/.test(tag));
}
