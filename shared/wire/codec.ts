/**
 * Bodies on the wire: CBOR of plain JSON values and nothing else. A peer is not trusted, so
 * whatever the decoder could build beyond JSON (dates, maps, cycles, typed arrays) is refused by
 * path, and depth is bounded.
 */
import { Encoder } from "cbor-x";
import { AppError, errorChain } from "../errors.ts";

/** Deeper than any Kubernetes object; a bound on recursion, not a feature. */
const DEPTH_MAX = 64;

const encoder = new Encoder({ useRecords: false, mapsAsObjects: true, tagUint8Array: false });

export function encodeBody(value: unknown): Uint8Array<ArrayBuffer> {
  // copied: the encoder hands out views of a buffer it goes on writing to
  return new Uint8Array(encoder.encode(value));
}

/** AppError "invalid" when `bytes` is not CBOR of a JSON value; `what` names it ("report"). */
export function decodeBody(bytes: Uint8Array, what: string): unknown {
  let value: unknown;
  try {
    value = encoder.decode(bytes);
  } catch (cause) {
    throw new AppError("invalid", `Cannot read ${what}: ${errorChain(cause)}`, {}, { cause });
  }
  checkJson(value, what, 0);
  return value;
}

function checkJson(value: unknown, path: string, depth: number): void {
  if (value === null || typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number" && Number.isFinite(value)) return;
  if (depth > DEPTH_MAX) {
    throw new AppError("invalid", `Cannot read ${path}: depth must be <= ${DEPTH_MAX}`);
  }
  if (Array.isArray(value)) {
    value.forEach((item, i) => checkJson(item, `${path}[${i}]`, depth + 1));
    return;
  }
  if (typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    const record = value as Record<string, unknown>; // a plain object, as just shown
    for (const [name, item] of Object.entries(record)) {
      // what JSON would have left out
      if (item === undefined) delete record[name];
      else checkJson(item, `${path}.${name}`, depth + 1);
    }
    return;
  }
  throw new AppError("invalid", `Cannot read ${path}: must be a JSON value, got ${typeof value}`);
}
