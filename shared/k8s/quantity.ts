/**
 * Kubernetes quantities ("100m", "1.5Gi", "2e3"), exactly: a whole number of billionths (nano) and
 * the family of suffixes it was written in. Parsing rounds away from zero below one nano and caps
 * at 2^63-1, as the Kubernetes API does; adding and comparing never round.
 */
import { AppError } from "../errors.ts";

export type QuantityFormat = "binarySI" | "decimalSI" | "decimalExponent";

export interface Quantity {
  readonly nanos: bigint;
  readonly format: QuantityFormat;
}

/** What the API server says of a string that is no quantity. */
export const QUANTITY_PROBLEM = "quantities must match the regular expression " +
  "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

const NANO = 1_000_000_000n;
const VALUE_MAX = (2n ** 63n - 1n) * NANO;
/** Longest text read: a number of this length is already far beyond the cap. */
const TEXT_MAX = 64;

const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/** Decimal suffix to power of ten. */
const DECIMAL: readonly [suffix: string, power: number][] = [
  ["n", -9],
  ["u", -6],
  ["m", -3],
  ["", 0],
  ["k", 3],
  ["M", 6],
  ["G", 9],
  ["T", 12],
  ["P", 15],
  ["E", 18],
];

const SHAPE = /^([+-]?)([0-9]*)(?:\.([0-9]*))?(.*)$/;

/** Throws AppError "invalid" for what is no quantity. */
export function parseQuantity(text: string): Quantity {
  const quantity = tryParseQuantity(text);
  if (!quantity) {
    throw new AppError("invalid", QUANTITY_PROBLEM, { value: text.slice(0, TEXT_MAX) });
  }
  return quantity;
}

/** As parseQuantity(); undefined for what is no quantity. */
export function tryParseQuantity(text: string): Quantity | undefined {
  const match = text.length <= TEXT_MAX ? SHAPE.exec(text) : null;
  if (!match) return undefined;
  const [, sign, whole = "", fraction = "", suffix = ""] = match;
  if (whole === "" && fraction === "") return undefined;
  const scale = readSuffix(suffix);
  if (!scale) return undefined;
  // digits × 10^-fraction.length × scale, in nanos: one exact division at the end
  const numerator = BigInt(whole + fraction) * scale.factor * NANO *
    (scale.power > 0 ? 10n ** BigInt(scale.power) : 1n);
  const denominator = 10n ** BigInt(fraction.length + (scale.power < 0 ? -scale.power : 0));
  const magnitude = (numerator + denominator - 1n) / denominator;
  const capped = magnitude > VALUE_MAX ? VALUE_MAX : magnitude;
  return { nanos: sign === "-" ? -capped : capped, format: scale.format };
}

function readSuffix(
  suffix: string,
): { factor: bigint; power: number; format: QuantityFormat } | undefined {
  const binary = BINARY.indexOf(suffix);
  if (binary > 0) return { factor: 1024n ** BigInt(binary), power: 0, format: "binarySI" };
  const decimal = DECIMAL.find(([name]) => name === suffix);
  if (decimal) return { factor: 1n, power: decimal[1], format: "decimalSI" };
  const exponent = /^[eE]([+-]?[0-9]{1,4})$/.exec(suffix);
  if (!exponent) return undefined;
  // 64: beyond this the value is capped (or one nano) anyway
  const power = Math.max(-64, Math.min(64, Number(exponent[1])));
  return { factor: 1n, power, format: "decimalExponent" };
}

/** The canonical text: no fraction, the largest suffix that keeps it whole. */
export function formatQuantity(quantity: Quantity): string {
  const { nanos, format } = quantity;
  if (nanos === 0n) return "0";
  const sign = nanos < 0n ? "-" : "";
  const magnitude = nanos < 0n ? -nanos : nanos;
  // Below 1024, and for what is not whole, the binary family has no suffixes of its own
  const binary = format === "binarySI" && magnitude >= 1024n * NANO && magnitude % NANO === 0n;
  return sign + (binary ? formatBinary(magnitude / NANO) : formatDecimal(magnitude, format));
}

function formatBinary(value: bigint): string {
  let exponent = 0;
  while (exponent < BINARY.length - 1 && value % 1024n === 0n) {
    value /= 1024n;
    exponent++;
  }
  return `${value}${BINARY[exponent]}`;
}

function formatDecimal(magnitude: bigint, format: QuantityFormat): string {
  let power = -9;
  while (power < 18 && magnitude % 1000n === 0n) {
    magnitude /= 1000n;
    power += 3;
  }
  if (format === "decimalExponent") return power === 0 ? `${magnitude}` : `${magnitude}e${power}`;
  return `${magnitude}${DECIMAL.find(([, p]) => p === power)?.[0] ?? ""}`;
}

/** The canonical form of `text`; throws as parseQuantity(). */
export function canonicalQuantity(text: string): string {
  return formatQuantity(parseQuantity(text));
}

/** -1, 0 or 1. */
export function compareQuantity(a: Quantity, b: Quantity): -1 | 0 | 1 {
  return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
}

/** The sum, in the format of `a` (of `b` where `a` is zero). */
export function addQuantity(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos + b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

/** a - b, in the format of `a` (of `b` where `a` is zero). */
export function subtractQuantity(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos - b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

/** In thousandths, rounded up: the unit of cpu. */
export function milliValue(quantity: Quantity): number {
  return Number(roundUp(quantity.nanos, 1_000_000n));
}

/** In whole units, rounded up: bytes, pods. */
export function wholeValue(quantity: Quantity): number {
  return Number(roundUp(quantity.nanos, NANO));
}

function roundUp(nanos: bigint, unit: bigint): bigint {
  const quotient = nanos / unit;
  return nanos > 0n && nanos % unit !== 0n ? quotient + 1n : quotient;
}
