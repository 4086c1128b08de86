/** The cloud's loopback listener for operators: is it alive, is it ready, what does it count. */
import { Hono } from "hono";
import type { TrafficTotals } from "../../shared/wire/traffic.ts";
import type { SessionInfo } from "../hub/port.ts";

export interface CloudFacts {
  version: string;
  startedAtMs: number;
  nowMs: number;
  sessions: SessionInfo[];
  /** With all nodes; up is from the node. */
  traffic: TrafficTotals;
  /** Objects in the embedded store by resource. */
  objects: Record<string, number>;
  storeSequence: number;
  damage: string[];
  checks: { name: string; ok: boolean; message?: string }[];
}

export function createAdminApp(
  facts: () => CloudFacts,
): { fetch(request: Request): Promise<Response> } {
  const app = new Hono();
  app.get("/healthz", (c) => c.text("ok"));
  app.get("/livez", (c) => c.text("ok"));
  app.get("/readyz", (c) => {
    const { checks } = facts();
    const ready = checks.every((check) => check.ok);
    if (ready && c.req.query("verbose") === undefined) return c.text("ok");
    const lines = checks.map((check) =>
      `[${check.ok ? "+" : "-"}]${check.name} ${check.ok ? "ok" : `failed: ${check.message ?? ""}`}`
    );
    return c.text(lines.join("\n") + `\nreadyz check ${ready ? "passed" : "failed"}\n`, {
      status: ready ? 200 : 503,
    });
  });
  app.get("/metrics", (c) =>
    c.text(renderMetrics(facts()), 200, {
      "content-type": "text/plain; version=0.0.4; charset=utf-8",
    }));
  app.get("/v1/sessions", (c) => c.json({ items: facts().sessions }));
  app.get("/", (c) => c.html(renderPage(facts())));
  return { fetch: async (request) => await app.fetch(request) };
}

function renderMetrics(facts: CloudFacts): string {
  const memory = Deno.memoryUsage();
  const out: string[] = [];
  const metric = (name: string, type: string, help: string, rows: [string, number][]) => {
    out.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of rows) out.push(`${name}${labels} ${value}`);
  };
  metric("skerry_build_info", "gauge", "Version of this program; always 1.", [
    [`{version="${facts.version}"}`, 1],
  ]);
  metric("skerry_hub_sessions", "gauge", "Nodes with a live session.", [
    ["", facts.sessions.length],
  ]);
  metric(
    "skerry_hub_acked_generation",
    "gauge",
    "Generation each connected node has acknowledged.",
    facts.sessions.map((s) => [`{node="${s.node}"}`, s.ackedGeneration]),
  );
  const traffic = (of: "messages" | "bytes") =>
    Object.entries(facts.traffic).flatMap(([name, { up, down }]): [string, number][] => [
      [`{class="${name}",direction="up"}`, up[of]],
      [`{class="${name}",direction="down"}`, down[of]],
    ]);
  metric("skerry_hub_messages_total", "counter", "Messages with nodes.", traffic("messages"));
  metric(
    "skerry_hub_bytes_total",
    "counter",
    "Bytes of messages with nodes, before compression.",
    traffic("bytes"),
  );
  metric(
    "skerry_objects",
    "gauge",
    "Objects in the embedded store.",
    Object.entries(facts.objects).map(([resource, count]) => [`{resource="${resource}"}`, count]),
  );
  metric("skerry_store_commits_total", "counter", "Commits the store has made since it began.", [
    ["", facts.storeSequence],
  ]);
  metric("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", [
    ["", memory.rss],
  ]);
  metric("skerry_uptime_seconds", "gauge", "Seconds since this program started.", [
    ["", (facts.nowMs - facts.startedAtMs) / 1_000],
  ]);
  return out.join("\n") + "\n";
}

function renderPage(facts: CloudFacts): string {
  const rows = facts.sessions.map((s) =>
    `<tr><td>${escape(s.node)}</td><td>${escape(s.remoteAddress)}</td>` +
    `<td>${new Date(s.sinceMs).toISOString()}</td><td>${s.ackedGeneration}</td></tr>`
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Skerry cloud</title>` +
    `<meta http-equiv="refresh" content="10"><style>body{font:16px system-ui;margin:2rem}` +
    `td,th{padding:.2rem 1rem .2rem 0;text-align:left}</style><h1>Skerry cloud</h1>` +
    `<p>Version ${
      escape(facts.version)
    }. Nodes with a live session: ${facts.sessions.length}.</p>` +
    `<table><tr><th>Node<th>From<th>Since<th>Generation</tr>${rows.join("")}</table></html>`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
