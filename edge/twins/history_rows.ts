/**
 * How changes lie in the history: one record per command, under the device's key, in one of a fixed
 * number of streams, so that reading one device's past looks at a small part of all. A record is a
 * list of short arrays. Pure.
 */
import { hashOf } from "./index_rows.ts";
import type { DesiredSource, TwinEvent } from "./model.ts";

/** A multiple of it makes looking faster and the head of the bulk file longer. */
export const HISTORY_STREAMS = 16;

type Metadata = Record<string, string>;

export type HistoryRow =
  /** Reported: value, version. */
  | [0, string, string, number, Metadata?]
  /** Desired: value or none, version, source. */
  | [1, string, string | null, number, 0 | 1]
  /** State of the device. */
  | [2, string]
  /** The device came to this node, with its uid; or it went. */
  | [3, string]
  | [4];

export function streamOf(device: string): string {
  return `twin_history/v1/${hashOf(device) % HISTORY_STREAMS}`;
}

export function historyStreams(): string[] {
  return Array.from({ length: HISTORY_STREAMS }, (_, i) => `twin_history/v1/${i}`);
}

export function toHistoryRow(event: TwinEvent): HistoryRow | undefined {
  if (event.kind === "state") return [2, event.after.state];
  if (event.kind === "reported") {
    const { value, version, metadata } = event.after.reported!; // an event of it has it
    return metadata
      ? [0, event.property, value, version, metadata]
      : [0, event.property, value, version];
  }
  const { desired, desiredVersion } = event.after;
  // an edit that became the cloud's own changed nothing for the device
  if (event.before.desiredVersion === desiredVersion) return undefined;
  const source: Record<DesiredSource, 0 | 1> = { cloud: 0, site: 1 };
  return [
    1,
    event.property,
    desired?.value ?? null,
    desiredVersion,
    source[desired?.source ?? "cloud"],
  ];
}
