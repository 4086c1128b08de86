/**
 * How a pre-pull job goes on: which nodes it is for, whose turn it is, who was late, and what the
 * whole has come to. Pure: the next status from the last one and what is known of the nodes.
 *
 *     node:  Pending -> InProgress -> Successful | Failure
 *     job:   InProgress -> Completed | Failure
 *
 * A node that is away keeps its turn until it is late; it starts when it is back. Once more nodes
 * have failed than the job bears, no other is started, and those at work are let finish.
 */
import { toTime } from "../../shared/clock.ts";
import {
  type ImagePrePullJob,
  PREPULL_DEFAULTS,
  PREPULL_REASON_MAX,
  type PrePullAction,
  type PrePullImage,
  type PrePullNode,
  type PrePullResult,
  type PrePullSelector,
  type PrePullStatus,
  type PrePullTemplate,
} from "../../shared/k8s/prepull.ts";
import type { Node } from "../../shared/k8s/types.ts";
import { meetsTerms } from "./node_affinity.ts";
import { isEdgeNode } from "./node_report.ts";

export interface PrePullPlan {
  /** Unset when the stored one holds. */
  status?: PrePullStatus;
  /** Wall clock; when somebody will be late. */
  wakeAtMs?: number;
}

export function isPrePullOver({ status }: ImagePrePullJob): boolean {
  return status?.phase === "Completed" || status?.phase === "Failure";
}

export function planPrePull(
  job: ImagePrePullJob,
  nodes: { get(name: string): Node | undefined; list(): Iterable<Node> },
  nowMs: number,
): PrePullPlan {
  if (isPrePullOver(job)) return {};
  const template = job.spec.imagePrePullTemplate ?? {};
  const known = job.status?.nodeStatus;
  let isChanged = known === undefined;
  const states = (known ?? chosenNodes(template, nodes)).map((state) => {
    const next = isPending(state)
      ? withoutNode(state, nodes.get(state.nodeName), nowMs, template)
      : state;
    if (next !== state) isChanged = true;
    return next;
  });
  const bearable = Number(template.failureTolerate || PREPULL_DEFAULTS.failureTolerate);
  const failed = () => states.filter(({ phase }) => phase === "Failure").length;
  const mayStart = failed() <= bearable * states.length;
  let free = (template.concurrency || 1) - states.filter(isAtWork).length;
  for (const [i, state] of states.entries()) {
    if (!mayStart || free <= 0 || state.phase !== "Pending") continue;
    states[i] = {
      ...state,
      phase: "InProgress",
      actionFlow: [act("Init", "True", Math.ceil(nowMs / 1_000) * 1_000)],
    };
    isChanged = true;
    free--;
  }
  const status = wholeStatus(states, failed(), mayStart);
  const late = states.filter(isAtWork).map((state) => lateAtMs(state, template));
  return {
    ...(isChanged || status.phase !== job.status?.phase ? { status } : {}),
    ...(late.length > 0 ? { wakeAtMs: Math.min(...late) } : {}),
  };
}

/** The status with what a node at work has told, or why it is not to be taken. */
export function withResult(
  job: ImagePrePullJob,
  node: string,
  result: PrePullResult,
  nowMs: number,
): { status: PrePullStatus } | { refusal: string } {
  const states = job.status?.nodeStatus ?? [];
  const state = states.find(({ nodeName }) => nodeName === node);
  if (!state) return { refusal: "job is not for this node" };
  if (!isAtWork(state)) return { refusal: `node is ${state.phase} already` };
  const wanted = job.spec.imagePrePullTemplate?.images ?? [];
  const told = new Map(result.images.map((image) => [image.image, image]));
  const imageStatus = wanted.map((image) =>
    told.get(image) ?? { image, status: "Unknown" as const }
  )
    .map(trimmed);
  const next = {
    ...state,
    imageStatus,
    ...ended(state, { ...result, images: imageStatus }, nowMs),
  };
  const nodeStatus = states.map((other) => other === state ? next : other);
  return { status: { ...job.status, nodeStatus } };
}

function ended(state: PrePullNode, result: PrePullResult, nowMs: number): Partial<PrePullNode> {
  const { actionFlow = [] } = state;
  const { refusal } = result;
  if (refusal !== undefined) {
    const reason = refusal.slice(0, PREPULL_REASON_MAX);
    const flow = [...actionFlow, act("Check", "False", nowMs, reason)];
    return { phase: "Failure", reason, actionFlow: flow };
  }
  const failed = result.images.filter(({ status }) => status !== "True").map(({ image }) => image);
  const isGood = failed.length === 0 && result.images.length > 0;
  const reason = isGood ? undefined : `cannot pull ${failed.slice(0, 3).join(", ")}`;
  return {
    phase: isGood ? "Successful" : "Failure",
    ...(reason === undefined ? {} : { reason }),
    actionFlow: [
      ...actionFlow,
      act("Check", "True", nowMs),
      act("Pull", isGood ? "True" : "False", nowMs, reason),
    ],
  };
}

function trimmed({ image, status, reason }: PrePullImage): PrePullImage {
  return { image, status, ...(reason ? { reason: reason.slice(0, PREPULL_REASON_MAX) } : {}) };
}

function chosenNodes(
  { nodeNames, labelSelector }: PrePullTemplate,
  nodes: { list(): Iterable<Node> },
): PrePullNode[] {
  const names = labelSelector
    ? [...nodes.list()].filter((node) => isEdgeNode(node) && isSelected(labelSelector, node))
      .map((node) => node.metadata.name ?? "").sort()
    : nodeNames ?? [];
  return names.map((nodeName) => ({ nodeName, phase: "Pending" as const }));
}

function isSelected({ matchLabels = {}, matchExpressions = [] }: PrePullSelector, node: Node) {
  const labels = node.metadata.labels ?? {};
  const isAlike = Object.entries(matchLabels).every(([key, value]) => labels[key] === value);
  return isAlike &&
    (matchExpressions.length === 0 || meetsTerms([{ matchExpressions }], node));
}

const isPending = ({ phase }: PrePullNode) => phase === "Pending" || phase === "InProgress";
const isAtWork = ({ phase }: PrePullNode) => phase === "InProgress";

function withoutNode(
  state: PrePullNode,
  node: Node | undefined,
  nowMs: number,
  template: PrePullTemplate,
): PrePullNode {
  if (!node) return { ...state, phase: "Failure", reason: "node not found" };
  if (!isEdgeNode(node)) return { ...state, phase: "Failure", reason: "not an edge node" };
  if (!isAtWork(state) || nowMs < lateAtMs(state, template)) return state;
  const reason = `timed out: not done within ${timeoutSeconds(template)} s`;
  const flow = [...state.actionFlow ?? [], act("Pull", "False", nowMs, reason)];
  return { ...state, phase: "Failure", reason, actionFlow: flow };
}

function timeoutSeconds(template: PrePullTemplate): number {
  return template.timeoutSeconds || PREPULL_DEFAULTS.timeoutSeconds;
}

function lateAtMs({ actionFlow }: PrePullNode, template: PrePullTemplate): number {
  const startedAtMs = Date.parse(actionFlow?.[0]?.time ?? "");
  return (Number.isNaN(startedAtMs) ? 0 : startedAtMs) + timeoutSeconds(template) * 1_000;
}

function wholeStatus(nodeStatus: PrePullNode[], failed: number, mayStart: boolean): PrePullStatus {
  const atWork = nodeStatus.some(isAtWork);
  const waiting = nodeStatus.some(({ phase }) => phase === "Pending");
  if (nodeStatus.length === 0) return { phase: "Failure", reason: "no node matches", nodeStatus };
  if (atWork || (waiting && mayStart)) return { phase: "InProgress", nodeStatus };
  if (mayStart) return { phase: "Completed", nodeStatus };
  const reason = `${failed} of ${nodeStatus.length} nodes failed`;
  return { phase: "Failure", reason, nodeStatus };
}

function act(
  action: PrePullAction["action"],
  status: PrePullAction["status"],
  nowMs: number,
  reason?: string,
): PrePullAction {
  return { action, status, ...(reason ? { reason } : {}), time: toTime(nowMs) };
}
