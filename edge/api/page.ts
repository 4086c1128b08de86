/** The page for people at `/`: what runs here and how the link is, without scripts. */
import type { Pod } from "../../shared/k8s/types.ts";
import type { EdgeStatus } from "./port.ts";

export function renderPage(status: EdgeStatus, pods: Pod[]): string {
  const rows = pods.map((pod) => {
    const statuses = pod.status?.containerStatuses ?? [];
    const restarts = statuses.reduce((sum, each) => sum + each.restartCount, 0);
    const cells = [
      pod.metadata.namespace ?? "",
      pod.metadata.name ?? "",
      `${statuses.filter((each) => each.ready).length}/${pod.spec.containers.length}`,
      pod.status?.phase ?? "Pending",
      String(restarts),
    ];
    const log = `/v1/pods/${cells[0]}/${cells[1]}/logs?tailLines=100`;
    return `<tr>${cells.map((cell) => `<td>${escape(cell)}</td>`).join("")}` +
      `<td><a href="${escape(log)}">log</a></td></tr>`;
  });
  return `<!doctype html><html lang="en"><meta charset="utf-8">` +
    `<meta http-equiv="refresh" content="10"><title>${escape(status.node)}</title>` +
    `<style>body{font:16px system-ui;margin:2rem;max-width:60rem}` +
    `td,th{padding:.2rem 1rem .2rem 0;text-align:left}code{background:#eee;padding:0 .3em}` +
    `</style>` +
    `<h1>${escape(status.node)}</h1>` +
    `<p>Link to the cloud: <b>${escape(status.link.state)}</b> since ` +
    `${escape(status.link.since)}. Container runtime: ` +
    `<b>${status.runtime.ready ? "ready" : escape(status.runtime.message ?? "not ready")}</b>. ` +
    `Reports waiting: ${status.outbox.depth}.</p>` +
    `<table><tr><th>Namespace<th>Pod<th>Ready<th>Phase<th>Restarts<th></tr>${
      rows.join("")
    }</table>` +
    `<p>For programs: <code>/api/v1/pods</code>, <code>/v1/status</code>, ` +
    `<code>/v1/events</code>, <code>/metrics</code>, <code>/readyz?verbose</code>, ` +
    `<code>/openapi.json</code>.</p></html>`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
