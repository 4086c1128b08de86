/**
 * The images of the Node's status: the largest first, and no more than fit (kubelet lists 50 with
 * five names each). The list is pure; asking the runtime is not done more than once a minute.
 */
import type { Clock } from "../../shared/clock.ts";
import { errorChain } from "../../shared/errors.ts";
import type { Image } from "../../shared/gen/runtime/v1/api_pb.ts";
import { roomLogger } from "../../shared/log.ts";
import type { ContainerRuntime } from "../cri/port.ts";
import type { NodeImage } from "./port.ts";

const NAMES_MAX = 5;
const ASK_MS = 60_000;
/** Longer than any healthy runtime takes. */
const CALL_MS = 10_000;

export function listImages(images: readonly Image[], imagesMax: number): NodeImage[] {
  return images
    .map(({ repoDigests, repoTags, size }) => ({
      names: [...repoDigests, ...repoTags].filter((name) => !name.includes("<none>"))
        .slice(0, NAMES_MAX),
      sizeBytes: Number(size),
    }))
    .filter(({ names }) => names.length > 0)
    .sort((a, b) => b.sizeBytes - a.sizeBytes || a.names[0]!.localeCompare(b.names[0]!))
    .slice(0, imagesMax);
}

export class NodeImages {
  readonly #runtime: Pick<ContainerRuntime, "listImages">;
  readonly #imagesMax: number;
  readonly #clock: Clock;
  #known: NodeImage[] | undefined;
  #askedAtMs = -Infinity;

  constructor(runtime: Pick<ContainerRuntime, "listImages">, imagesMax: number, clock: Clock) {
    this.#runtime = runtime;
    this.#imagesMax = imagesMax;
    this.#clock = clock;
  }

  /** As last told; a runtime that is away keeps what it said. */
  async read(): Promise<NodeImage[] | undefined> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#imagesMax === 0 || nowMs - this.#askedAtMs < ASK_MS) return this.#known;
    try {
      const images = await this.#runtime.listImages({}, AbortSignal.timeout(CALL_MS));
      this.#askedAtMs = nowMs;
      this.#known = listImages(images, this.#imagesMax);
    } catch (error) {
      roomLogger("edge", "node").debug("Cannot list images", { error: errorChain(error) });
    }
    return this.#known;
  }
}
