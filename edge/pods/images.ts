/**
 * Makes the image of a container present, by its pull policy, with kubelet's events, reasons and
 * back-off per (pod, image). Pulls go through a gate of their own width: a slow registry holds back
 * other pulls, never pods whose images are there.
 */
import type { Clock } from "../../shared/clock.ts";
import { errorChain, isAbort } from "../../shared/errors.ts";
import type { Image, PodSandboxConfig } from "../../shared/gen/runtime/v1/api_pb.ts";
import type { Container, Secret } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { PodRef } from "../../shared/wire/report.ts";
import type { ContainerRuntime } from "../cri/port.ts";
import { type BackoffTable, backoffUntil, nextBackoff } from "./backoff_table.ts";
import { Gate } from "./gate.ts";
import { type AuthConfig, type ImageName, parseImageName, pullCredentials } from "./image_name.ts";
import type { ContainerRole } from "./pod_containers.ts";
import type { PodEvents } from "./pod_events.ts";
import type { ImageUser } from "./security.ts";

/** Why a container waits for its image; `reason` is kubelet's word. */
export class ImageError extends Error {
  override readonly name = "ImageError";
  readonly reason: string;
  /** Monotonic; when to try again. Undefined: nothing but a change of the pod helps. */
  readonly retryAtMs: number | undefined;

  constructor(reason: string, message: string, retryAtMs?: number) {
    super(message);
    this.reason = reason;
    this.retryAtMs = retryAtMs;
  }
}

export interface ImageRequest {
  ref: PodRef;
  container: Container;
  role: ContainerRole;
  sandboxConfig: PodSandboxConfig;
  pullSecrets: readonly Secret[];
  /** Names of pull secrets that are not here. */
  missingSecrets?: readonly string[];
  /** This pod has run this very container here before, so the image on disk may serve it again. */
  ranBefore: boolean;
}

export interface PresentImage {
  /** What to give the runtime as the container's image. */
  ref: string;
  user: ImageUser;
}

export interface ImagesOptions {
  runtime: ContainerRuntime;
  events: PodEvents;
  clock: Clock;
  /** Pulls at once. */
  pullsMax: number;
}

/** Bound of a pull that is only a refresh: a node without network must not wait long for it. */
const REFRESH_MS_MAX = 15_000;
/** What a runtime's words begin with (CRI-O's do), and how kubelet says it. */
const KNOWN_REASONS = {
  RegistryUnavailable: "the registry is unavailable",
  SignatureValidationFailed: "the signature validation failed",
};
/** So long ErrImagePull is shown before it becomes ImagePullBackOff. */
const SHOW_ERROR_MS = 3_000;
/** A pull is first said to go on after so long, then after twice as long, and so on. */
const PROGRESS_MS = 30_000;
/** A local inspection that failed is asked again soon. */
const INSPECT_RETRY_MS = 5_000;

export class Images {
  readonly #options: ImagesOptions;
  readonly #gate: Gate;
  readonly #log = roomLogger("edge", "pods", "images");
  readonly #backoffs: BackoffTable = new Map();
  readonly #lastErrors = new Map<string, string>();

  constructor(options: ImagesOptions) {
    this.#options = options;
    this.#gate = new Gate(options.pullsMax);
  }

  /** Rejects with ImageError, or with the signal's reason. */
  async ensure(request: ImageRequest, signal: AbortSignal): Promise<PresentImage> {
    const { image = "", imagePullPolicy } = request.container;
    const name = parseImageName(image);
    if (!name) {
      const problem = `Failed to apply default image tag "${image}": couldn't parse image name ` +
        `"${image}": invalid reference format`;
      await this.#emit(request, "Warning", "InspectFailed", problem);
      throw new ImageError("InvalidImageName", problem);
    }
    const policy = imagePullPolicy ?? (name.latest ? "Always" : "IfNotPresent");
    const present = await this.#inspect(request, name.reference, signal);
    if (present && policy !== "Always") {
      const message = `Container image "${image}" already present on machine`;
      await this.#emit(request, "Normal", "Pulled", message);
      return toPresent(present);
    }
    if (policy === "Never") {
      const message = `Container image "${image}" is not present with pull policy of Never`;
      await this.#emit(request, "Warning", "ErrImageNeverPull", message);
      throw new ImageError("ErrImageNeverPull", message);
    }
    return await this.#pull(request, name, present, signal);
  }

  /**
   * Pulls an image no container asks for yet, in the same queue as the others; what is there
   * already costs the registry a question. Rejects with the runtime's word.
   */
  async prePull(name: ImageName, pullSecrets: readonly Secret[], signal: AbortSignal) {
    return await this.#gate.run(
      () => this.#tryCredentials({ pullSecrets }, name, signal),
      signal,
      "last",
    );
  }

  forget(uid: string): void {
    for (const table of [this.#backoffs, this.#lastErrors]) {
      for (const key of table.keys()) if (key.startsWith(`${uid}/`)) table.delete(key);
    }
  }

  async #inspect(
    request: ImageRequest,
    image: string,
    signal: AbortSignal,
  ): Promise<Image | undefined> {
    try {
      return (await this.#options.runtime.imageStatus({ image }, signal)).image;
    } catch (error) {
      if (isAbort(error, signal)) throw error;
      const problem = `Failed to inspect image "${image}": ${errorChain(error)}`;
      await this.#emit(request, "Warning", "InspectFailed", problem);
      const retryAtMs = this.#options.clock.monotonicMs() + INSPECT_RETRY_MS;
      throw new ImageError("ImageInspectError", problem, retryAtMs);
    }
  }

  async #pull(
    request: ImageRequest,
    name: ImageName,
    present: Image | undefined,
    signal: AbortSignal,
  ): Promise<PresentImage> {
    const { clock } = this.#options;
    const image = request.container.image ?? "";
    const key = `${request.ref.uid}/${name.reference}`;
    const spare = request.ranBefore ? present : undefined;
    const entry = this.#backoffs.get(key);
    const untilMs = backoffUntil(entry, entry?.updatedAtMs ?? 0, clock.monotonicMs());
    if (untilMs !== undefined) {
      if (spare) return toPresent(spare);
      const message = `Back-off pulling image "${image}"`;
      await this.#emit(request, "Normal", "BackOff", message);
      const last = this.#lastErrors.get(key);
      throw new ImageError("ImagePullBackOff", last ? `${message}: ${last}` : message, untilMs);
    }
    try {
      const pulled = await this.#gate.run(
        () => this.#pullOnce(request, name, spare !== undefined, signal),
        signal,
      );
      this.#backoffs.delete(key);
      this.#lastErrors.delete(key);
      return pulled;
    } catch (error) {
      if (signal.aborted) throw error;
      const nowMs = clock.monotonicMs();
      const next = nextBackoff(entry, nowMs, nowMs);
      this.#backoffs.set(key, next);
      const cause = errorChain(error);
      const { reason, message } = pullFailure(image, cause);
      this.#lastErrors.set(key, `${reason}: ${message}`);
      await this.#emit(request, "Warning", "Failed", `Failed to pull image "${image}": ${cause}`);
      // Offline, work that ran here before runs again from the image it ran from.
      if (spare) return toPresent(spare);
      throw new ImageError(reason, message, nowMs + SHOW_ERROR_MS);
    }
  }

  async #pullOnce(
    request: ImageRequest,
    name: ImageName,
    refresh: boolean,
    signal: AbortSignal,
  ): Promise<PresentImage> {
    const { runtime, clock } = this.#options;
    const image = request.container.image ?? "";
    await this.#tellMissing(request);
    await this.#emit(request, "Normal", "Pulling", `Pulling image "${image}"`);
    const startedAtMs = clock.monotonicMs();
    const pull = (bounded: AbortSignal) => this.#tryCredentials(request, name, bounded);
    const ref = refresh
      ? await this.#withinRefresh(pull, signal)
      : await this.#telling(request, pull, signal);
    const tookMs = Math.round(clock.monotonicMs() - startedAtMs);
    const { image: pulled } = await runtime.imageStatus({ image: ref }, signal);
    const took = tookMs < 1000 ? `${tookMs}ms` : `${tookMs / 1000}s`;
    await this.#emit(
      request,
      "Normal",
      "Pulled",
      `Successfully pulled image "${image}" in ${took} (${took} including waiting). ` +
        `Image size: ${pulled?.size ?? 0n} bytes.`,
    );
    return pulled ? toPresent(pulled, ref) : { ref, user: {} };
  }

  /** A pull that takes long says so: to the log and on the pod, ever less often. */
  async #telling<T>(
    request: ImageRequest,
    work: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const done = new AbortController();
    const telling = this.#tellProgress(request, AbortSignal.any([signal, done.signal]))
      .catch(() => undefined); // ended by the pull being done or given up: nothing to say
    try {
      return await work(signal);
    } finally {
      done.abort();
      await telling;
    }
  }

  async #tellProgress({ ref, container, ...rest }: ImageRequest, signal: AbortSignal) {
    const { clock } = this.#options;
    const startedAtMs = clock.monotonicMs();
    for (let waitMs = PROGRESS_MS; !signal.aborted; waitMs *= 2) {
      await clock.sleep(waitMs, signal);
      const took = goSeconds(Math.round((clock.monotonicMs() - startedAtMs) / 1_000) * 1_000);
      const image = container.image ?? "";
      this.#log.info("Still pulling an image", { ...ref, image, took });
      const message = `Still pulling image "${image}" after ${took}`;
      await this.#emit({ ref, container, ...rest }, "Normal", "Pulling", message);
    }
  }

  async #tellMissing(request: ImageRequest): Promise<void> {
    const names = (request.missingSecrets ?? []).join(", ");
    if (names === "") return;
    const message = `Unable to retrieve some image pull secrets (${names}); attempting to pull ` +
      "the image may not succeed.";
    await this.#emit(request, "Warning", "FailedToRetrieveImagePullSecret", message);
  }

  async #withinRefresh<T>(
    work: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const bound = new AbortController();
    const pulling = work(AbortSignal.any([signal, bound.signal]));
    const late = this.#options.clock.sleep(REFRESH_MS_MAX, AbortSignal.any([signal, bound.signal]))
      .then(() => bound.abort(new Error(`no answer within ${goSeconds(REFRESH_MS_MAX)}`)))
      .catch(() => undefined); // ended by the pull being done or given up: nothing to say
    try {
      return await pulling;
    } finally {
      bound.abort();
      await late;
    }
  }

  async #tryCredentials(
    { pullSecrets, sandboxConfig }: Pick<ImageRequest, "pullSecrets"> & Partial<ImageRequest>,
    name: ImageName,
    signal: AbortSignal,
  ): Promise<string> {
    const credentials: (AuthConfig | undefined)[] = pullCredentials(name, pullSecrets);
    const image = { image: name.reference };
    let failure: unknown;
    for (const auth of credentials.length > 0 ? credentials : [undefined]) {
      try {
        return await this.#options.runtime.pullImage({
          image,
          ...(sandboxConfig ? { sandboxConfig } : {}),
          ...(auth ? { auth } : {}),
        }, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  #emit(
    request: ImageRequest,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
  ): Promise<void> {
    const container = { name: request.container.name, role: request.role };
    return this.#options.events.emit(request.ref, { type, reason, message, container });
  }
}

function goSeconds(ms: number): string {
  return `${ms / 1000}s`;
}

function toPresent(image: Image, ref = image.id): PresentImage {
  return {
    ref,
    user: {
      ...(image.uid ? { uid: image.uid.value } : {}),
      ...(image.username ? { username: image.username } : {}),
    },
  };
}

/** The reason for the status of a container whose image could not be pulled, and its message. */
export function pullFailure(image: string, cause: string): { reason: string; message: string } {
  for (const [reason, words] of Object.entries(KNOWN_REASONS)) {
    if (!cause.startsWith(reason)) continue;
    const rest = cause.slice(reason.length);
    return { reason, message: `image pull failed for ${image} because ${words}${rest}` };
  }
  return { reason: "ErrImagePull", message: cause };
}
