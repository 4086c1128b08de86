/** Writes ustar archives, as much as an image layer and a docker-archive need. */

export interface TarEntry {
  /** Relative, without leading "/"; folders end in "/". */
  name: string;
  mode?: number;
  /** Content of a file. */
  data?: Uint8Array;
  /** Target of a symbolic link. */
  linkTo?: string;
}

const BLOCK = 512;
const encoder = new TextEncoder();

/** The archive of `entries`, owned by root, dated 1970: the same bytes for the same input. */
export function tar(entries: readonly TarEntry[]): Uint8Array<ArrayBuffer> {
  const blocks: Uint8Array[] = [];
  for (const entry of entries) {
    const data = entry.data ?? new Uint8Array();
    blocks.push(header(entry, data.length), data);
    const rest = data.length % BLOCK;
    if (rest > 0) blocks.push(new Uint8Array(BLOCK - rest));
  }
  blocks.push(new Uint8Array(2 * BLOCK));
  const size = blocks.reduce((sum, block) => sum + block.length, 0);
  const archive = new Uint8Array(size);
  let at = 0;
  for (const block of blocks) {
    archive.set(block, at);
    at += block.length;
  }
  return archive;
}

function header(entry: TarEntry, size: number): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const text = (value: string, at: number, length: number) => {
    const bytes = encoder.encode(value);
    if (bytes.length > length) {
      throw new RangeError(`Cannot archive ${value}: over ${length} bytes`);
    }
    block.set(bytes, at);
  };
  const octal = (value: number, at: number, length: number) =>
    text(value.toString(8).padStart(length - 1, "0"), at, length - 1);
  const folder = entry.name.endsWith("/");
  text(entry.name, 0, 100);
  octal(entry.mode ?? (folder ? 0o755 : 0o644), 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  text(entry.linkTo !== undefined ? "2" : folder ? "5" : "0", 156, 1);
  text(entry.linkTo ?? "", 157, 100);
  text("ustar\0" + "00", 257, 8);
  text("        ", 148, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  text(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8);
  return block;
}
