/**
 * Structured logs for both programs, by LogTape. A room takes its logger by category
 * (`roomLogger("edge", "pods")`); `configureLogs` is called once, by main. Before that, and in unit
 * tests, logging goes nowhere. Messages are plain sentences; facts travel as properties.
 */
import {
  configure,
  getLogger,
  getTextFormatter,
  type Logger,
  type LogLevel,
} from "@logtape/logtape";

export type { Logger, LogLevel };

export interface LogOptions {
  level: LogLevel;
  /** `text`: a line for people; `json`: one object a line. */
  format: "text" | "json";
}

export function roomLogger(...category: string[]): Logger {
  return getLogger(["skerry", ...category]);
}

/** Sends records of `level` and above to stderr, one line each. */
export async function configureLogs(options: LogOptions): Promise<void> {
  const text = getTextFormatter({ timestamp: "rfc3339", level: "full", category: "." });
  const encoder = new TextEncoder();
  await configure({
    reset: true,
    sinks: {
      stderr: (record) => {
        const facts = Object.keys(record.properties).length
          ? " " + Object.entries(record.properties)
            .map(([k, v]) =>
              `${k}=${typeof v === "string" ? JSON.stringify(v) : JSON.stringify(v)}`
            )
            .join(" ")
          : "";
        const line = options.format === "json"
          ? JSON.stringify({
            time: new Date(record.timestamp).toISOString(),
            level: record.level,
            room: record.category.slice(1).join("."),
            message: record.message.join(""),
            ...record.properties,
          }) + "\n"
          : text(record).trimEnd() + facts + "\n";
        try {
          Deno.stderr.writeSync(encoder.encode(line));
        } catch {
          // A closed or full stderr must not end the program; there is nowhere left to say so.
        }
      },
    },
    loggers: [
      { category: ["skerry"], lowestLevel: options.level, sinks: ["stderr"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["stderr"] },
    ],
  });
}
