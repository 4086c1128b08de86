/**
 * What a node tells the cloud. A report is CBOR of one of these shapes; the receiver parses it here
 * and trusts nothing else. Whose node it is comes from the session's certificate, never from here.
 */
import { AppError } from "../errors.ts";
import type { DeviceStatusBody } from "../k8s/devices.ts";
import { PREPULL_IMAGES_MAX, type PrePullImage, type PrePullResult } from "../k8s/prepull.ts";
import type { Event, Node, Pod, PodStatus } from "../k8s/types.ts";
import {
  parseRuleMessage,
  parseRuleRequest,
  type RuleMessage,
  type RuleRequest,
} from "./rule_message.ts";
import { parseSiteIntent, type SiteIntent } from "./site_intent.ts";

export interface PodRef {
  namespace: string;
  name: string;
  uid: string;
}

/** A device as its node names it: one of the same name made anew has another uid. */
export type DeviceRef = PodRef;

/** A cluster-scoped job as a node at work on it names it. */
export type JobRef = Omit<PodRef, "namespace">;

export type Report =
  /** Latest status of a pod; of a static pod with the object that shows it, its mirror. */
  | { kind: "pod_status"; pod: PodRef; status: PodStatus; mirror?: Pod }
  /** A pod that was to be deleted has ended: nothing of it is left on the node. */
  | { kind: "pod_gone"; pod: PodRef }
  /** The node itself: labels, taints (at registration) and status. */
  | { kind: "node"; node: Node }
  /** An event to create, or to update when its name is known (count, lastTimestamp). */
  | { kind: "event"; event: Event }
  /** Latest state and twins of a device, whole: a twin that is not in it is not there. */
  | { kind: "device_status"; device: DeviceRef; status: DeviceStatusBody }
  /** What somebody at the site asked for; the cloud merges it by the rules of ADR 0009. */
  | { kind: "intent"; intent: SiteIntent }
  /** What came of the images of a pre-pull job on this node. */
  | { kind: "image_prepull"; job: JobRef; result: PrePullResult }
  /** A message of an application, for the rules that take it. */
  | { kind: "rule_message"; message: RuleMessage }
  /** What an application asks of a REST target, for the rule that leads there. */
  | { kind: "rule_request"; request: RuleRequest };

export type ReportKind = Report["kind"];

/** Parses decoded CBOR; AppError "invalid" names the field. */
export function parseReport(value: unknown): Report {
  const record = asRecord(value, "report");
  switch (record.kind) {
    case "pod_status":
      return {
        kind: "pod_status",
        pod: parseRef(record.pod, "report.pod"),
        status: asRecord(record.status, "report.status") as PodStatus, // checked by the API server
        ...(record.mirror === undefined
          ? {}
          : { mirror: parseObject<Pod>(record.mirror, "report.mirror") }),
      };
    case "pod_gone":
      return { kind: "pod_gone", pod: parseRef(record.pod, "report.pod") };
    case "node":
      return { kind: "node", node: parseObject<Node>(record.node, "report.node") };
    case "event":
      return { kind: "event", event: parseObject<Event>(record.event, "report.event") };
    case "device_status":
      return {
        kind: "device_status",
        device: parseRef(record.device, "report.device"),
        status: asRecord(record.status, "report.status") as DeviceStatusBody, // checked on write
      };
    case "intent":
      return { kind: "intent", intent: parseSiteIntent(record.intent) };
    case "image_prepull":
      return {
        kind: "image_prepull",
        job: parseJob(record.job, "report.job"),
        result: parsePrePull(record.result, "report.result"),
      };
    case "rule_message":
      return { kind: "rule_message", message: parseRuleMessage(record.message) };
    case "rule_request":
      return { kind: "rule_request", request: parseRuleRequest(record.request) };
    default:
      throw invalid(
        "report.kind",
        "pod_status, pod_gone, node, event, device_status, intent, image_prepull, " +
          "rule_message or rule_request",
        record.kind,
      );
  }
}

function parseRef(value: unknown, path: string): PodRef {
  const record = asRecord(value, path);
  return {
    namespace: asText(record.namespace, `${path}.namespace`),
    name: asText(record.name, `${path}.name`),
    uid: asText(record.uid, `${path}.uid`),
  };
}

function parseJob(value: unknown, path: string): JobRef {
  const { name, uid } = asRecord(value, path);
  return { name: asText(name, `${path}.name`), uid: asText(uid, `${path}.uid`) };
}

function parsePrePull(value: unknown, path: string): PrePullResult {
  const { refusal, images } = asRecord(value, path);
  if (!Array.isArray(images) || images.length > PREPULL_IMAGES_MAX) {
    throw invalid(`${path}.images`, `a list of at most ${PREPULL_IMAGES_MAX}`, images);
  }
  return {
    ...(refusal === undefined ? {} : { refusal: asText(refusal, `${path}.refusal`) }),
    images: images.map((image: unknown, i) => parsePrePullImage(image, `${path}.images[${i}]`)),
  };
}

function parsePrePullImage(value: unknown, path: string): PrePullImage {
  const { image, status, reason } = asRecord(value, path);
  if (status !== "True" && status !== "False" && status !== "Unknown") {
    throw invalid(`${path}.status`, "True, False or Unknown", status);
  }
  return {
    image: asText(image, `${path}.image`),
    status,
    ...(reason === undefined ? {} : { reason: asText(reason, `${path}.reason`) }),
  };
}

function parseObject<T>(value: unknown, path: string): T {
  const record = asRecord(value, path);
  const metadata = asRecord(record.metadata, `${path}.metadata`);
  asText(metadata.name, `${path}.metadata.name`);
  return record as T; // the rest is checked by the API server on write
}

function asRecord(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(path, "an object", value);
  }
  return value as Record<string, unknown>; // just shown to be a plain object
}

function asText(value: unknown, path: string): string {
  if (typeof value !== "string" || value === "") throw invalid(path, "a non-empty string", value);
  return value;
}

function invalid(path: string, want: string, got: unknown): AppError {
  return new AppError("invalid", `Cannot read report: ${path} must be ${want}, got ${typeof got}`);
}
