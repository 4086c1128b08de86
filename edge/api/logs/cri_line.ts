/**
 * One line of a container log as a CRI runtime writes it:
 * `<RFC 3339 time> SP <stdout|stderr> SP <tags> SP <content>`, the first tag P (the logger broke a
 * long line here) or F (its last or only part).
 */
export interface CriLine {
  timestamp: string;
  stream: "stdout" | "stderr";
  partial: boolean;
  content: Uint8Array;
}

const SPACE = 0x20;
const decoder = new TextDecoder();

/**
 * Parses a line without its newline; undefined when it is not in the format (it is then skipped).
 */
export function parseCriLine(line: Uint8Array): CriLine | undefined {
  const first = line.indexOf(SPACE);
  const second = first < 0 ? -1 : line.indexOf(SPACE, first + 1);
  if (second < 0) return undefined;
  const third = line.indexOf(SPACE, second + 1);
  // an empty line may lack the space behind its tags
  const tagsEnd = third < 0 ? line.length : third;
  const stream = decoder.decode(line.subarray(first + 1, second));
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  const tags = decoder.decode(line.subarray(second + 1, tagsEnd));
  return {
    timestamp: decoder.decode(line.subarray(0, first)),
    stream,
    partial: tags.split(":")[0] === "P",
    content: line.subarray(Math.min(tagsEnd + 1, line.length)),
  };
}

/** RFC 3339 with exactly nine digits of fraction, as `kubectl logs --timestamps` shows it. */
export function toNanoTimestamp(timestamp: string): string {
  const match = /^(.*?:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(timestamp);
  if (!match) return timestamp;
  return `${match[1]}.${(match[2] ?? "").padEnd(9, "0").slice(0, 9)}${match[3]}`;
}
