/**
 * Acknowledged sequences as ranges, the way ReportAck carries them: pairs of how far a range begins
 * behind the end of the one before, and how many more than one it has. A backlog that is drained in
 * order then costs a few bytes per acknowledgement instead of nine per report. Pure.
 */
import { AppError } from "../errors.ts";

/** More than a window of reports can fall into. */
const RANGES_MAX = 8_192;

export function encodeAckRanges(sequences: readonly bigint[]): bigint[] {
  const ranges: bigint[] = [];
  let end = 0n;
  for (const sequence of [...sequences].sort((a, b) => a < b ? -1 : a > b ? 1 : 0)) {
    if (ranges.length > 0 && sequence === end) continue; // twice
    if (ranges.length > 0 && sequence === end + 1n) ranges[ranges.length - 1]!++;
    else ranges.push(sequence - end, 0n);
    end = sequence;
  }
  return ranges;
}

/** First and last of each range, rising; AppError "invalid" for what cannot be ranges. */
export function decodeAckRanges(ranges: readonly bigint[]): { from: number; to: number }[] {
  if (ranges.length % 2 !== 0 || ranges.length > 2 * RANGES_MAX) {
    throw new AppError(
      "invalid",
      `Cannot read acknowledgement: ranges must be at most ${RANGES_MAX} pairs`,
    );
  }
  const decoded: { from: number; to: number }[] = [];
  let end = 0;
  for (let i = 0; i < ranges.length; i += 2) {
    const from = end + Number(ranges[i]);
    end = from + Number(ranges[i + 1]);
    if (!Number.isSafeInteger(end)) {
      throw new AppError("invalid", "Cannot read acknowledgement: sequences must be < 2^53");
    }
    decoded.push({ from, to: end });
  }
  return decoded;
}
