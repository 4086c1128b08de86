/**
 * Which requests read the properties that are due: neighbours of one kind in one request, small
 * gaps included, because a request costs more than some registers that nobody asked for. Pure.
 */
import { type Address, isBits, type Register } from "./address.ts";

export interface ReadRequest {
  register: Register;
  offset: number;
  count: number;
  addresses: Address[];
}

/** What one answer can carry. */
const REGISTERS_MAX = 125;
const BITS_MAX = 2_000;
/** A gap that is worth reading. */
const GAP_REGISTERS = 8;
const GAP_BITS = 64;

/** Those in `apart` are read alone: the device does not give them together with others. */
export function planReads(
  addresses: readonly Address[],
  apart: ReadonlySet<string> = new Set(),
): ReadRequest[] {
  const sorted = [...addresses].sort((a, b) =>
    a.register === b.register ? a.offset - b.offset : a.register < b.register ? -1 : 1
  );
  const requests: ReadRequest[] = [];
  let open: ReadRequest | undefined;
  for (const address of sorted) {
    const alone = apart.has(address.point.name);
    if (open && !alone && joins(open, address)) {
      const end = Math.max(open.offset + open.count, address.offset + address.count);
      open.count = end - open.offset;
      open.addresses.push(address);
      continue;
    }
    const { register, offset, count } = address;
    const request = { register, offset, count, addresses: [address] };
    requests.push(request);
    if (!alone) open = request;
  }
  return requests;
}

function joins({ register, offset, count }: ReadRequest, next: Address): boolean {
  if (register !== next.register) return false;
  const [most, gap] = isBits(register) ? [BITS_MAX, GAP_BITS] : [REGISTERS_MAX, GAP_REGISTERS];
  const end = offset + count;
  return next.offset <= end + gap && Math.max(end, next.offset + next.count) - offset <= most;
}

/** The bytes of one address in the answer to a request; bits are moved to the lowest place. */
export function slice(request: ReadRequest, bytes: Uint8Array, address: Address): Uint8Array {
  const from = address.offset - request.offset;
  if (!isBits(request.register)) return bytes.subarray(from * 2, (from + address.count) * 2);
  const out = new Uint8Array(Math.ceil(address.count / 8));
  for (let at = 0; at < address.count; at++) {
    const bit = (bytes[(from + at) >> 3]! >> ((from + at) & 7)) & 1; // its length was checked
    out[at >> 3]! |= bit << (at & 7); // out holds count bits
  }
  return out;
}

export function answerBytes({ register, count }: ReadRequest): number {
  return isBits(register) ? Math.ceil(count / 8) : count * 2;
}
