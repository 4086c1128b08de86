/** Brings what waits in the buffer into a transaction and into the counts that go with it. */
import { AppError } from "../errors.ts";
import { type BulkHead, type BulkTransaction, rowBytes } from "./bulk_file.ts";
import type { BulkBuffer } from "./bulk_buffer.ts";
import { countDrop, streamOf } from "./bulk_head.ts";

export function applyToFile(tx: BulkTransaction, head: BulkHead, buffer: BulkBuffer): void {
  for (const [name, waiting] of buffer.streams) {
    const { rows, removed, dropped, passed } = waiting;
    const stream = streamOf(head, name);
    for (const id of removed) {
      const bytes = tx.remove(stream.number, id);
      if (bytes !== undefined) {
        stream.rows--;
        stream.bytes -= bytes;
        stream.removed++;
      }
    }
    // they went with an earlier file, on their way to whoever now says that they arrived
    const late = Math.min(waiting.late.size, stream.dropped.lost ?? 0);
    if (late > 0) countDrop(stream, "lost", -late);
    stream.removed += late;
    for (const [id, reason] of dropped) {
      const bytes = tx.remove(stream.number, id);
      if (bytes === undefined) {
        throw new AppError("internal", `Cannot drop record ${id}: it is not where it should be`);
      }
      stream.bytes -= bytes;
      stream.rows--;
      countDrop(stream, reason);
    }
    for (const row of rows.values()) {
      tx.insert(stream.number, row);
      stream.rows++;
      stream.bytes += rowBytes(row);
    }
    stream.appended += rows.size + passed;
    stream.removed += passed;
  }
}
