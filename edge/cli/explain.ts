/** `diff` and `why pod`: what the local API says, for people or as JSON. */
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { UsageError } from "../../shared/cli/command.ts";
import { writeOut } from "../../shared/cli/run_program.ts";
import type { Diff } from "../api/site/diff.ts";
import type { Why } from "../api/site/why.ts";
import { findPod, NAMESPACE_FLAG } from "./find_pod.ts";
import { LocalApiClient, SERVER_FLAGS } from "./local_api.ts";

const OUTPUT_FLAG = { name: "output", short: "o", value: "FORMAT", help: "json, or text" };

export const EXPLAIN_COMMANDS: CommandSpec[] = [
  {
    name: "diff",
    summary: "What a reconnect to the cloud would change",
    flags: [OUTPUT_FLAG, ...SERVER_FLAGS],
    run: showDiff,
  },
  {
    name: "why pod",
    summary: "Why a pod does not run, in sentences",
    operands: "NAME",
    operandsMin: 1,
    operandsMax: 1,
    flags: [NAMESPACE_FLAG, OUTPUT_FLAG, ...SERVER_FLAGS],
    run: showWhy,
  },
];

async function showDiff(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const asJson = wantsJson(invocation);
  const client = await LocalApiClient.find(invocation);
  const diff: Diff = await (await client.get("/v1/diff", signal)).json();
  writeOut(asJson ? JSON.stringify(diff, null, 2) + "\n" : renderDiff(diff));
  return 0;
}

export function renderDiff(diff: Diff): string {
  const { link, generation, reports, items, intents, conflicts } = diff;
  const lines = [`Link: ${link.state} since ${link.since}`];
  const heard = generation.heard === undefined
    ? "none was offered since this program started"
    : `the cloud offered ${generation.heard}${generation.behind ? ", which is not held yet" : ""}`;
  lines.push(`Desired state: generation ${generation.held} is held; ${heard}`);
  if (intents.length > 0) lines.push("", "Asked at the site, not decided by the cloud:");
  for (const intent of intents) {
    const { state, by, at } = intent;
    lines.push(`  ${intentText(intent)}: ${state}, by ${by} at ${at}`);
  }
  if (conflicts.length > 0) {
    lines.push("", "Asked at the site, and decided otherwise by the cloud:");
  }
  for (const intent of conflicts) {
    lines.push(`  ${intentText(intent)}, by ${intent.by} at ${intent.at}: ${intent.reason ?? ""}`);
  }
  if (reports.total === 0) lines.push("", "Nothing waits to be reported.");
  else {
    const kinds = Object.entries(reports.byKind).map(([kind, count]) => `${count} ${kind}`);
    const since = reports.oldestAt === undefined ? "" : `, the oldest since ${reports.oldestAt}`;
    lines.push("", `Would be reported: ${reports.total} (${kinds.join(", ")})${since}`);
  }
  for (const { about, change } of items) lines.push(`  ${about}: ${change}`);
  if (items.length < reports.total) lines.push(`  … and ${reports.total - items.length} more`);
  return lines.join("\n") + "\n";
}

function intentText(intent: Diff["intents"][number]): string {
  if (intent.verb === "set_twin") {
    const { device, property, value } = intent;
    return `set twin ${device.namespace}/${device.name} ${property} to ${JSON.stringify(value)}`;
  }
  const { verb, pod, container } = intent;
  const what = container === undefined ? "" : ` (container ${container})`;
  return `${verb} pod ${pod.namespace}/${pod.name}${what}`;
}

async function showWhy(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const asJson = wantsJson(invocation);
  const [name = ""] = invocation.operands;
  const client = await LocalApiClient.find(invocation);
  const { metadata } = await findPod(client, name, invocation, signal);
  const path = `/v1/why/pod/${encodeURIComponent(metadata.namespace ?? "")}/${
    encodeURIComponent(metadata.name ?? "")
  }`;
  const why: Why = await (await client.get(path, signal)).json();
  writeOut(asJson ? JSON.stringify(why, null, 2) + "\n" : renderWhy(why));
  return 0;
}

export function renderWhy({ summary, reasons }: Pick<Why, "summary" | "reasons">): string {
  // the first reason is in the summary
  return [summary, ...reasons.slice(1).map(({ message }) => `- ${message}`)].join("\n") + "\n";
}

export function wantsJson(invocation: Invocation): boolean {
  const output = invocation.flag("output") ?? "text";
  if (output !== "json" && output !== "text") {
    throw new UsageError(`unknown output "${output}"; known: json, text`);
  }
  return output === "json";
}
