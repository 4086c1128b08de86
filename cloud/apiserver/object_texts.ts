/**
 * JSON of what was written last, made once: for its size, the reply and every watch that sends it.
 * Bounded by characters; older texts go first, and are made again by whoever still asks.
 */
import type { KubeObject } from "../../shared/k8s/types.ts";

/** 2 MiB: what a burst of writes has in flight to its watches. */
const CHARS_MAX = 2 * 1024 * 1024;

export class ObjectTexts {
  readonly #charsMax: number;
  readonly #texts = new Map<KubeObject, string>();
  #chars = 0;

  constructor(charsMax: number = CHARS_MAX) {
    this.#charsMax = charsMax;
  }

  get chars(): number {
    return this.#chars;
  }

  remember(object: KubeObject, text: string): void {
    this.#forget(object);
    this.#texts.set(object, text);
    this.#chars += text.length;
    while (this.#chars > this.#charsMax) {
      const oldest = this.#texts.keys().next();
      if (oldest.done) return;
      this.#forget(oldest.value);
    }
  }

  of(object: KubeObject): string {
    return this.#texts.get(object) ?? JSON.stringify(object);
  }

  #forget(object: KubeObject): void {
    this.#chars -= this.#texts.get(object)?.length ?? 0;
    this.#texts.delete(object);
  }
}
