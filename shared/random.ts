/** Randomness, injected. The only file that may touch Math.random and crypto's generators. */
export interface Random {
  /** Uniform in [0, 1). */
  float(): number;
  /** A version 4 UUID. */
  uuid(): string;
  /** `length` random bytes; from SystemRandom fit for secrets. */
  bytes(length: number): Uint8Array<ArrayBuffer>;
}

export class SystemRandom implements Random {
  float(): number {
    return Math.random();
  }

  uuid(): string {
    return crypto.randomUUID();
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return crypto.getRandomValues(new Uint8Array(length));
  }
}

/** Reproducible randomness for simulation and tests (mulberry32). Never for secrets. */
export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  float(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  uuid(): string {
    const b = this.bytes(16);
    b[6] = (b[6]! & 0x0f) | 0x40;
    b[8] = (b[8]! & 0x3f) | 0x80;
    const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${
      hex.slice(20)
    }`;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = Math.floor(this.float() * 256);
    return out;
  }
}

const NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** Kubernetes' suffix for generated names: `length` characters without vowels or look-alikes. */
export function nameSuffix(random: Random, length = 5): string {
  let out = "";
  for (let i = 0; i < length; i++) {
    out += NAME_ALPHABET[Math.floor(random.float() * NAME_ALPHABET.length)];
  }
  return out;
}
