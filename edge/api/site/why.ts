/**
 * Why a pod does not run, in sentences. Pure: what is desired, what the node recorded, what the
 * runtime, the link and the node say. The nearest cause comes first; a pod that runs has none.
 */
import type { ContainerStatus, Event, Node, Pod } from "../../../shared/k8s/types.ts";
import type { Intent } from "../../intents/port.ts";
import type { EdgeStatus } from "../port.ts";
import { neededObjects } from "./needs.ts";

export interface Reason {
  code: string;
  message: string;
}

export interface Why {
  kind: "pod";
  namespace: string;
  name: string;
  /** One sentence. */
  summary: string;
  reasons: Reason[];
}

export interface WhySources {
  pod: Pod;
  status: EdgeStatus;
  node: Node;
  intents: readonly Intent[];
  events: readonly Event[];
  /** True when the node holds this object. */
  holds: (resource: "configmaps" | "secrets", name: string) => boolean;
  /** RFC 3339; when the agent tries again by itself. */
  retryAt: string | undefined;
}

const WARNINGS_MAX = 3;

export function explainPod(sources: WhySources): Why {
  const { pod } = sources;
  const { namespace = "", name = "" } = pod.metadata;
  const reasons = [
    ...siteReasons(sources),
    ...lifeReasons(pod),
    ...nodeReasons(sources),
    ...sourceReasons(sources),
    ...containerReasons(sources),
  ];
  if (reasons.length > 0) reasons.push(...warnings(sources));
  return { kind: "pod", namespace, name, summary: summarize(pod, reasons), reasons };
}

function summarize(pod: Pod, reasons: readonly Reason[]): string {
  const statuses = pod.status?.containerStatuses ?? [];
  const total = pod.spec.containers.length;
  const ready = statuses.filter((c) => c.ready).length;
  const phase = pod.status?.phase ?? "Pending";
  const title = `Pod ${pod.metadata.namespace}/${pod.metadata.name}`;
  if (reasons.length === 0 && phase === "Running") {
    return `${title} is Running; ${ready} of ${total} containers are ready.`;
  }
  const first = reasons[0]?.message ?? "This node has not begun with it yet.";
  return `${title} is ${phase}, ${ready} of ${total} containers ready. ${first}`;
}

function siteReasons({ intents, pod, status }: WhySources): Reason[] {
  const reasons: Reason[] = [];
  for (const intent of intents) {
    if (intent.verb === "set_twin" || intent.pod.uid !== pod.metadata.uid) continue;
    const { verb, state, by, at, container } = intent;
    if (verb === "remove" && (state === "pending" || state === "applied")) {
      const message = `It was removed at the site by ${by} at ${at} and stays stopped until the ` +
        `cloud has decided; the link is ${status.link.state}.`;
      reasons.push({ code: "RemovedAtSite", message });
    } else if (verb === "restart" && state === "pending") {
      const what = container ? `of container ${container} ` : "";
      const message = `A restart ${what}asked for by ${by} at ${at} is being carried out.`;
      reasons.push({ code: "SiteRestart", message });
    }
  }
  return reasons;
}

function lifeReasons({ metadata, spec, status }: Pod): Reason[] {
  const reasons: Reason[] = [];
  if (metadata.deletionTimestamp) {
    const grace = metadata.deletionGracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? 30;
    const message = `The cloud has asked for its deletion; its containers get ${grace} s to end.`;
    reasons.push({ code: "Deleting", message });
  }
  if (status?.phase === "Succeeded" || status?.phase === "Failed") {
    const why = [status.reason, status.message].filter(Boolean).join(": ");
    const message = `It has ended as ${status.phase} and is not run again${
      why ? ` (${why})` : ""
    }.`;
    reasons.push({ code: status.phase, message });
  }
  return reasons;
}

function nodeReasons({ status, node, pod }: WhySources): Reason[] {
  if (isReady(pod)) return [];
  const reasons: Reason[] = [];
  const { runtime } = status;
  if (!runtime.ready) {
    const why = runtime.message ? `: ${runtime.message}` : "";
    const message = `The container runtime at ${runtime.endpoint} is not ready${why}.`;
    reasons.push({ code: "RuntimeNotReady", message });
  }
  for (const { type, status: is, message } of node.status?.conditions ?? []) {
    const bad = type === "Ready" ? is === "False" && runtime.ready : is === "True";
    if (!bad) continue;
    const what = type === "Ready" ? "is not ready" : `reports ${type}`;
    reasons.push({ code: type, message: `The node ${what}${message ? `: ${message}` : ""}.` });
  }
  return reasons;
}

function sourceReasons({ pod, holds, status }: WhySources): Reason[] {
  if (isReady(pod)) return [];
  const missing = neededObjects(pod).filter(({ resource, name }) => !holds(resource, name));
  return missing.map(({ resource, name }) => {
    const kind = resource === "configmaps" ? "ConfigMap" : "Secret";
    const message = `${kind} ${name}, which it needs, is not on this node: ` +
      (status.link.state === "live"
        ? "the cloud has none of that name."
        : `it may come when the link is back (it is ${status.link.state}).`);
    return { code: `${kind}Missing`, message };
  });
}

function containerReasons(sources: WhySources): Reason[] {
  const { status } = sources.pod;
  if (status?.phase === "Succeeded" || status?.phase === "Failed") return [];
  const init = status?.initContainerStatuses ?? [];
  const main = status?.containerStatuses ?? [];
  const blocked = init.find((c) => !c.ready && c.state?.terminated?.exitCode !== 0);
  const begun = main.some((c) => c.state?.running);
  const looked = blocked && !begun ? [blocked] : main.filter((c) => !c.ready);
  return looked.map((c) => containerReason(c, sources));
}

function containerReason(container: ContainerStatus, sources: WhySources): Reason {
  const { name, state, lastState, image } = container;
  const next = sources.retryAt ? `; it is tried again at ${sources.retryAt}` : "";
  const waiting = state?.waiting;
  const last = lastState?.terminated ?? state?.terminated;
  const ended = last
    ? `ended with exit code ${last.exitCode}${last.reason ? ` (${last.reason})` : ""}` +
      `${last.finishedAt ? ` at ${last.finishedAt}` : ""}`
    : "";
  if (state?.running) {
    return {
      code: "NotReady",
      message: `Container ${name} runs since ${state.running.startedAt} and is not ready yet.`,
    };
  }
  if (!waiting) {
    const message = `Container ${name} ${ended || "has no state yet"}${next}.`;
    return { code: last?.reason ?? "Unknown", message };
  }
  const said = waiting.message ? `: ${waiting.message}` : "";
  const code = waiting.reason ?? "Waiting";
  switch (waiting.reason) {
    case "CrashLoopBackOff":
      return { code, message: `Container ${name} ${ended} again and again${next}.` };
    case "ErrImagePull":
    case "ImagePullBackOff":
    case "ErrImageNeverPull":
    case "InvalidImageName":
      return { code, message: `Image ${image} of container ${name} cannot be had${said}${next}.` };
    case "ContainerCreating":
    case "PodInitializing":
      return {
        code,
        message: `Container ${name} is being made${ended && `; it ${ended}`}${next}.`,
      };
    default:
      return { code, message: `Container ${name} waits (${code})${said}${next}.` };
  }
}

/** What the node last complained of, about this very pod. */
function warnings({ events, pod }: WhySources): Reason[] {
  return events
    .filter((e) => e.type === "Warning" && e.involvedObject.uid === pod.metadata.uid)
    .slice(-WARNINGS_MAX).reverse()
    .map(({ reason = "", message = "", lastTimestamp, count = 1 }) => ({
      code: reason,
      message: `Warning ${lastTimestamp ?? ""}${count > 1 ? ` (${count} times)` : ""}: ${message}`,
    }));
}

function isReady(pod: Pod): boolean {
  const statuses = pod.status?.containerStatuses ?? [];
  return statuses.length > 0 && statuses.every((c) => c.ready);
}
