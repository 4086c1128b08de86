/** Brings what waits in the buffer into a transaction and into the counts that go with it. */
import { AppError } from "../errors.ts";
import { type BulkHead, type BulkTransaction } from "./bulk_file.ts";
import type { BulkBuffer } from "./bulk_buffer.ts";
import { addRow, countDrop, removeRows, streamOf } from "./bulk_head.ts";
import { toRanges } from "./ops.ts";

export function applyToFile(tx: BulkTransaction, head: BulkHead, buffer: BulkBuffer): void {
  for (const [name, waiting] of buffer.streams) {
    const { rows, removed, dropped, passed } = waiting;
    const stream = streamOf(head, name);
    const ranges = toRanges([...removed]);
    for (let i = 0; i < ranges.length; i += 2) {
      stream.removed += removeRows(stream, tx, ranges[i]!, ranges[i + 1]!); // in pairs
    }
    // they went with an earlier file, on their way to whoever now says that they arrived
    const late = Math.min(waiting.late.size, stream.dropped.lost ?? 0);
    if (late > 0) countDrop(stream, "lost", -late);
    stream.removed += late;
    for (const [id, reason] of dropped) {
      if (removeRows(stream, tx, id, id) === 0) {
        throw new AppError("internal", `Cannot drop record ${id}: it is not where it should be`);
      }
      countDrop(stream, reason);
    }
    for (const row of rows.values()) addRow(stream, tx, row);
    stream.appended += rows.size + passed;
    stream.removed += passed;
  }
}
