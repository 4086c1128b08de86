/**
 * Rows of a store as a fixture has them: buckets by key, streams in order, bytes as
 * `{"$bytes": base64}`.
 */
import type { Store, StoreOp } from "../../shared/store/port.ts";

export type FixtureRows = Record<
  string,
  Record<string, unknown> | { key: string; value: unknown; atMs: number }[]
>;

export function parseRows<T>(text: string): T {
  return JSON.parse(
    text,
    (_, value) => typeof value?.$bytes === "string" ? Uint8Array.fromBase64(value.$bytes) : value,
  );
}

/** Streams must have been declared where the store asks for it. */
export async function fillStore(store: Store, rows: FixtureRows): Promise<void> {
  const ops = Object.entries(rows).flatMap(([name, held]): StoreOp[] =>
    Array.isArray(held)
      ? held.map((row) => ({ op: "append", stream: name, ...row }))
      : Object.entries(held).map(([key, value]) => ({ op: "put", bucket: name, key, value }))
  );
  await store.commit(ops);
}
