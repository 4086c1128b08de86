/** Where in a log file its last lines begin. */

/** Read backwards in blocks of this size: a few lines a block, whole pages. */
const BLOCK_BYTES = 16 * 1024;
const NEWLINE = 0x0a;

/** Byte offset at which the last `lines` lines of `file` (of `size` bytes) begin. */
export async function tailOffset(file: Deno.FsFile, size: number, lines: number): Promise<number> {
  if (lines <= 0 || size === 0) return size;
  const block = new Uint8Array(BLOCK_BYTES);
  await readAt(file, size - 1, block.subarray(0, 1));
  // a newline at the very end closes the last line, it does not begin another
  let end = block[0] === NEWLINE ? size - 1 : size;
  let wanted = lines;
  while (end > 0) {
    const start = Math.max(0, end - BLOCK_BYTES);
    const length = await readAt(file, start, block.subarray(0, end - start));
    for (let i = length - 1; i >= 0; i--) {
      if (block[i] === NEWLINE && --wanted === 0) return start + i + 1;
    }
    end = start;
  }
  return 0;
}

/** Fills `into` from `offset`; returns how many bytes there were. */
export async function readAt(
  file: Deno.FsFile,
  offset: number,
  into: Uint8Array,
): Promise<number> {
  await file.seek(offset, Deno.SeekMode.Start);
  let filled = 0;
  while (filled < into.length) {
    const count = await file.read(into.subarray(filled));
    if (count === null) break;
    filled += count;
  }
  return filled;
}
