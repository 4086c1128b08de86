/** CRC-32C (Castagnoli), the checksum of the journal. Pure; tables of four bytes at a time. */
const POLYNOMIAL = 0x82f63b78;
const TABLES = makeTables();

export function crc32c(bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  const [t0, t1, t2, t3] = TABLES;
  let crc = 0xffffffff;
  let i = start;
  for (const last = end - 3; i < last; i += 4) {
    crc ^= bytes[i]! | bytes[i + 1]! << 8 | bytes[i + 2]! << 16 | bytes[i + 3]! << 24;
    crc = t3![crc & 255]! ^ t2![crc >>> 8 & 255]! ^ t1![crc >>> 16 & 255]! ^ t0![crc >>> 24]!;
  }
  for (; i < end; i++) crc = t0![(crc ^ bytes[i]!) & 255]! ^ crc >>> 8;
  return (crc ^ 0xffffffff) >>> 0;
}

function makeTables(): Uint32Array[] {
  const tables = [0, 1, 2, 3].map(() => new Uint32Array(256));
  for (let n = 0; n < 256; n++) {
    let crc = n;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ POLYNOMIAL : crc >>> 1;
    tables[0]![n] = crc;
  }
  for (let k = 1; k < 4; k++) {
    for (let n = 0; n < 256; n++) {
      const before = tables[k - 1]![n]!;
      tables[k]![n] = before >>> 8 ^ tables[0]![before & 255]!;
    }
  }
  return tables;
}
