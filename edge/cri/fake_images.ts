/**
 * The image store of the fake runtime, and the registry it pulls from. An image is found by its id
 * and by any of its references, with Docker's short names written out ("busybox" is
 * "docker.io/library/busybox:latest"). What a pull of a reference does is scripted with `setPull`.
 */
import { create } from "@bufbuild/protobuf";
import { AppError, type ErrorCode } from "../../shared/errors.ts";
import type { Clock } from "../../shared/clock.ts";
import { untilAborted } from "../../shared/async/task_scope.ts";
import { type Image, ImageSchema } from "../../shared/gen/runtime/v1/api_pb.ts";
import type { ImageFilter, ImageSpec } from "./port.ts";

export interface FakeImage {
  /** How people name it: "127.0.0.1:5000/app:1". */
  name: string;
  sizeBytes?: number;
  /** Numeric user of the image's config; undefined: root. */
  uid?: number;
  username?: string;
  pinned?: boolean;
}

export type FakePull =
  | { kind: "ok"; afterMs?: number; image?: Omit<FakeImage, "name"> }
  | { kind: "fail"; code: ErrorCode; message: string; afterMs?: number }
  | { kind: "stall" };

export class FakeImages {
  readonly #clock: Clock;
  readonly #images = new Map<string, Image>();
  readonly #pulls = new Map<string, FakePull>();
  /** How many pulls were asked for, by full reference. */
  readonly pullCounts = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Puts an image into the store, as an import would. */
  add(image: FakeImage): Image {
    const reference = fullReference(image.name);
    const id = `sha256:${fakeDigest(`config ${reference}`)}`;
    const repository = reference.replace(/[:@][^/]*$/, "");
    const made = create(ImageSchema, {
      id,
      repoTags: [reference],
      repoDigests: [`${repository}@sha256:${fakeDigest(`manifest ${reference}`)}`],
      size: BigInt(image.sizeBytes ?? 1_048_576),
      username: image.username ?? "",
      pinned: image.pinned ?? false,
      ...(image.uid === undefined ? {} : { uid: { value: BigInt(image.uid) } }),
    });
    this.#images.set(id, made);
    return made;
  }

  /** What the next pulls of `name` do. Without a script a pull fails as for an unknown image. */
  setPull(name: string, pull: FakePull): void {
    this.#pulls.set(fullReference(name), pull);
  }

  find(name: string): Image | undefined {
    const byId = this.#images.get(name) ?? this.#images.get(`sha256:${name}`);
    if (byId || name === "") return byId;
    const reference = fullReference(name);
    return [...this.#images.values()].find((image) =>
      image.repoTags.includes(reference) || image.repoDigests.includes(reference)
    );
  }

  list(filter: ImageFilter): Image[] {
    const name = filter.image?.image;
    if (!name) return [...this.#images.values()];
    const image = this.find(name);
    return image ? [image] : [];
  }

  remove(spec: ImageSpec): void {
    const image = this.find(spec.image ?? "");
    if (image) this.#images.delete(image.id);
  }

  /** Bytes of all images. */
  usedBytes(): bigint {
    return [...this.#images.values()].reduce((sum, image) => sum + image.size, 0n);
  }

  async pull(spec: ImageSpec, signal: AbortSignal): Promise<string> {
    const name = spec.image ?? "";
    if (name === "") throw new AppError("invalid", 'failed to parse image reference "": no name');
    const reference = fullReference(name);
    this.pullCounts.set(reference, (this.pullCounts.get(reference) ?? 0) + 1);
    const pull = this.#pulls.get(reference);
    if (!pull) {
      throw new AppError(
        "not_found",
        `failed to pull and unpack image "${reference}": failed to resolve reference ` +
          `"${reference}": ${reference}: not found`,
      );
    }
    if (pull.kind === "stall") {
      await untilAborted(signal);
      throw signal.reason;
    }
    if (pull.afterMs) await this.#clock.sleep(pull.afterMs, signal);
    if (pull.kind === "fail") throw new AppError(pull.code, pull.message);
    return this.add({ ...pull.image, name }).id;
  }
}

/** `name` with registry, library folder and tag written out, as runtimes list it. */
export function fullReference(name: string): string {
  const [first = "", ...rest] = name.split("/");
  const hasRegistry = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const path = hasRegistry ? name : `docker.io/${rest.length > 0 ? name : `library/${name}`}`;
  const last = path.slice(path.lastIndexOf("/"));
  return /[:@]/.test(last) ? path : `${path}:latest`;
}

/** 64 hex digits that depend on `text` only: eight rounds of 32-bit FNV-1a. No security meant. */
export function fakeDigest(text: string): string {
  let out = "";
  for (let round = 0; round < 8; round++) {
    let hash = 0x811c9dc5 ^ round;
    for (let i = 0; i < text.length; i++) {
      hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    }
    out += (hash >>> 0).toString(16).padStart(8, "0");
  }
  return out;
}
