/** `GET /v1/history`: what happened on this node, by time, kind and subject, page by page. */
import type { Hono } from "hono";
import { toMicroTime } from "../../../shared/clock.ts";
import type { EdgeFacts, HistoryRow } from "../port.ts";
import { parseHistoryQuery } from "./query.ts";

/** As it is answered. */
export interface HistoryItem {
  id: number;
  /** RFC 3339 */
  time: string;
  /** What the clock said then, where that was wrong. */
  recordedTime?: string;
  kind: string;
  subject: string;
  what: string;
  detail?: Record<string, unknown>;
}

export interface HistoryAnswer {
  items: HistoryItem[];
  /** `after` of the next page; absent on the last one. */
  next?: number;
}

export function addHistory(app: Hono, facts: Pick<EdgeFacts, "history">): void {
  app.get("/v1/history", (c) => {
    const { rows, next } = facts.history(parseHistoryQuery(new URL(c.req.url).searchParams));
    const answer: HistoryAnswer = {
      items: rows.map(toItem),
      ...(next === undefined ? {} : { next }),
    };
    return c.json(answer);
  });
}

function toItem({ id, atMs, recordedAtMs, kind, subject, what, detail }: HistoryRow): HistoryItem {
  return {
    id,
    time: toMicroTime(atMs),
    ...(recordedAtMs === undefined ? {} : { recordedTime: toMicroTime(recordedAtMs) }),
    kind,
    subject,
    what,
    ...(detail === undefined ? {} : { detail }),
  };
}
