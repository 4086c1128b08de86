/** `get history [SUBJECT]`: what happened on this node, oldest first, as a table or whole. */
import { stringify } from "yaml";
import { UsageError } from "../../shared/cli/command.ts";
import { writeOut } from "../../shared/cli/run_program.ts";
import type { HistoryAnswer, HistoryItem } from "../api/history/routes.ts";
import type { LocalApiClient } from "./local_api.ts";
import { align } from "./table.ts";

/** Items of one answer. */
const PAGE_ITEMS = 1_000;

export async function getHistory(
  client: LocalApiClient,
  { subject, output }: { subject: string | undefined; output: string },
  signal: AbortSignal,
): Promise<number> {
  if (output === "name") throw new UsageError(`history has no names; known: json, yaml`);
  const items: HistoryItem[] = [];
  const rows: string[][] = [["TIME", "KIND", "SUBJECT", "WHAT", "DETAIL"]];
  for (let after: number | undefined = 0; after !== undefined;) {
    const params = new URLSearchParams({ limit: String(PAGE_ITEMS), after: String(after) });
    if (subject !== undefined) params.set("subject", subject);
    const answer: HistoryAnswer = await (await client.get(`/v1/history?${params}`, signal)).json();
    items.push(...answer.items);
    after = answer.next;
  }
  for (const { time, kind, subject, what, detail = {} } of items) {
    const told = Object.entries(detail).filter(([name]) => name !== "uid")
      .map(([name, value]) =>
        `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`
      );
    rows.push([time.replace(/\.\d+Z$/, "Z"), kind, subject, what, told.join(" ")]);
  }
  if (output === "json") writeOut(JSON.stringify({ items }, null, 2) + "\n");
  else if (output === "yaml") writeOut(stringify({ items }));
  else writeOut(items.length === 0 ? "No history on this node.\n" : align(rows));
  return 0;
}
