/**
 * What is kept of mappers, so that a restart of the edge asks nothing of them: who registered, and
 * the digest of what each was last told of every device and model. Layouts are short arrays; a
 * changed one is a new name.
 */
import type { Store, StoreOp } from "../../shared/store/port.ts";
import type { MapperRecord } from "./reports.ts";

/** Protocol -> MapperRow. */
export const MAPPERS_BUCKET = "dmi_mappers/v1";
/** `<protocol>/<key>` -> digest; keys are those of device_world.ts. */
export const TOLD_BUCKET = "dmi_told/v1";

/** `[name, version, apiVersion, address]` */
export type MapperRow = [string, string, string, string];

export function readMappers(store: Store): MapperRecord[] {
  return store.list<MapperRow>(MAPPERS_BUCKET).map(({ key, value }) => {
    const [name, version, apiVersion, address] = value;
    return { protocol: decodeURIComponent(key), name, version, apiVersion, address };
  });
}

/** What one mapper was last told, in memory and on disk. */
export class Told {
  readonly #store: Store;
  readonly #protocol: string;
  readonly #digests = new Map<string, string>();
  #devices = 0;

  constructor(store: Store, protocol: string) {
    this.#store = store;
    this.#protocol = encodeURIComponent(protocol);
    const prefix = `${this.#protocol}/`;
    for (const { key, value } of store.list<string>(TOLD_BUCKET, { prefix })) {
      this.#put(key.slice(prefix.length), value);
    }
  }

  get(key: string): string | undefined {
    return this.#digests.get(key);
  }

  keys(): Iterable<string> {
    return this.#digests.keys();
  }

  get devices(): number {
    return this.#devices;
  }

  /** Undefined: it was told that it is gone. */
  async set(key: string, digest: string | undefined): Promise<void> {
    await this.#store.commit([this.#op(key, digest)]);
    this.#put(key, digest);
  }

  /** A mapper that has registered knows what it was given then, and nothing else. */
  async replace(record: MapperRecord, digests: ReadonlyMap<string, string>): Promise<void> {
    const { name, version, apiVersion, address } = record;
    const value: MapperRow = [name, version, apiVersion, address];
    const ops: StoreOp[] = [{ op: "put", bucket: MAPPERS_BUCKET, key: this.#protocol, value }];
    const gone = [...this.#digests.keys()].filter((key) => !digests.has(key));
    for (const key of gone) ops.push(this.#op(key, undefined));
    for (const [key, digest] of digests) {
      if (this.#digests.get(key) !== digest) ops.push(this.#op(key, digest));
    }
    await this.#store.commit(ops);
    for (const key of gone) this.#put(key, undefined);
    for (const [key, digest] of digests) this.#put(key, digest);
  }

  #op(key: string, digest: string | undefined): StoreOp {
    const row = { bucket: TOLD_BUCKET, key: `${this.#protocol}/${key}` };
    return digest === undefined ? { op: "delete", ...row } : { op: "put", ...row, value: digest };
  }

  #put(key: string, digest: string | undefined): void {
    const before = this.#digests.size;
    if (digest === undefined) this.#digests.delete(key);
    else this.#digests.set(key, digest);
    if (key.startsWith("d/")) this.#devices += this.#digests.size - before;
  }
}
