/** What a reconnect would change: what waits to go up, is undecided, and is held. Pure. */
import type { Report } from "../../../shared/wire/report.ts";
import type { Intent } from "../../intents/port.ts";
import type { LinkStatus, WaitingReport } from "../port.ts";

/** Reports named one by one; the counts are of all. */
const NAMED_MAX = 200;
const VALUE_CHARS_SHOWN = 60;
const CONFLICTS_MAX = 20;

export interface ReportLine {
  kind: Report["kind"];
  about: string;
  change: string;
}

export interface Diff {
  link: LinkStatus;
  /** `heard`: the last one the cloud offered, since this program started. */
  generation: { held: number; heard?: number; behind: boolean };
  reports: { total: number; byKind: Record<string, number>; oldestAt?: string };
  items: ReportLine[];
  intents: Intent[];
  /** The last ones of the site in which the cloud's word held. */
  conflicts: Intent[];
}

export interface DiffSources {
  link: LinkStatus;
  heldGeneration: number;
  heardGeneration: number | undefined;
  reports: readonly WaitingReport[];
  /** How many wait in all; `reports` may be cut. */
  total: number;
  oldestAt: string | undefined;
  intents: readonly Intent[];
}

export function makeDiff(sources: DiffSources): Diff {
  const { link, heldGeneration: held, heardGeneration: heard, reports, oldestAt } = sources;
  const byKind: Record<string, number> = {};
  for (const { report } of reports) byKind[report.kind] = (byKind[report.kind] ?? 0) + 1;
  return {
    link,
    generation: {
      held,
      ...(heard === undefined ? {} : { heard }),
      behind: heard !== undefined && heard > held,
    },
    reports: { total: sources.total, byKind, ...(oldestAt === undefined ? {} : { oldestAt }) },
    items: reports.slice(0, NAMED_MAX).map(({ report }) => toLine(report)),
    intents: sources.intents.filter(({ state }) => state === "pending" || state === "applied"),
    conflicts: sources.intents.filter(({ state }) => state === "conflict").slice(-CONFLICTS_MAX),
  };
}

function toLine(report: Report): ReportLine {
  const { kind } = report;
  switch (report.kind) {
    case "pod_status": {
      const { pod, status } = report;
      const containers = status.containerStatuses ?? [];
      const ready = `${containers.filter((c) => c.ready).length}/${containers.length} ready`;
      const restarts = containers.reduce((sum, c) => sum + c.restartCount, 0);
      return {
        kind,
        about: `pod ${pod.namespace}/${pod.name}`,
        change: `status ${status.phase ?? "unknown"}, ${ready}, ${restarts} restarts`,
      };
    }
    case "pod_gone":
      return { kind, about: `pod ${report.pod.namespace}/${report.pod.name}`, change: "has ended" };
    case "image_prepull": {
      const { job, result: { images } } = report;
      const pulled = images.filter(({ status }) => status === "True").length;
      const change = `${pulled}/${images.length} images pulled`;
      return { kind, about: `pre-pull job ${job.name}`, change };
    }
    case "rule_message": {
      const { topic, payload } = report.message;
      const bytes = Math.floor(payload.length * 3 / 4); // it is base64
      return { kind, about: `topic ${topic}`, change: `message of about ${bytes} bytes` };
    }
    case "rule_request": {
      const { url, body } = report.request;
      const bytes = Math.floor(body.length * 3 / 4); // it is base64
      return { kind, about: `URL ${url}`, change: `request of about ${bytes} bytes` };
    }
    case "node":
      return { kind, about: `node ${report.node.metadata.name ?? ""}`, change: "status" };
    case "event": {
      const { involvedObject, reason = "", message = "" } = report.event;
      const { kind: what = "", namespace, name = "" } = involvedObject;
      const about = `${what.toLowerCase()} ${namespace ? `${namespace}/` : ""}${name}`;
      return { kind, about, change: `${reason}: ${message}` };
    }
    case "device_status": {
      const { device, status } = report;
      const twins = status.twins?.length ?? 0;
      return {
        kind,
        about: `device ${device.namespace}/${device.name}`,
        change: `state ${status.state ?? "unknown"}, ${twins} twins`,
      };
    }
    case "intent": {
      const { verb, by, at } = report.intent;
      if (report.intent.verb === "set_twin") {
        const { device, property, value, base } = report.intent;
        const about = `device ${device.namespace}/${device.name}`;
        const from = base === null ? "nothing" : shown(base);
        const change = `desired ${property} from ${from} to ${shown(value)}, by ${by} at ${at}`;
        return { kind, about, change };
      }
      const { pod } = report.intent;
      const about = `pod ${pod.namespace}/${pod.name}`;
      return { kind, about, change: `${verb}, asked by ${by} at ${at}` };
    }
  }
}

/** A value as it stands in a line of text. */
function shown(value: string): string {
  const text = JSON.stringify(value);
  return text.length <= VALUE_CHARS_SHOWN ? text : `${text.slice(0, VALUE_CHARS_SHOWN)}…`;
}
