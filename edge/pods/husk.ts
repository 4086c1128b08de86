/** A pod whose spec has not the shape of one, reduced to what can be told and ended. Pure. */
import type { ObjectMeta, Pod, PodSpec } from "../../shared/k8s/types.ts";
import { shapeProblem } from "./pod_shape.ts";

/** What is wrong with a spec, "" for nothing: looked at once, asked at every pass. */
const PROBLEMS = new WeakMap<object, string>();

/** The husk of a pod that cannot be used; undefined when it can. */
export function huskOf(pod: Pod): Pod | undefined {
  const problem = podProblem(pod);
  if (problem === undefined) return undefined;
  const spec: PodSpec = { containers: [] };
  PROBLEMS.set(spec, problem);
  return { apiVersion: "v1", kind: "Pod", metadata: plainMetadata(pod.metadata), spec };
}

/** What is wrong with the shape of a pod, or was with the one this is the husk of. */
export function podProblem(pod: Pod): string | undefined {
  const spec: unknown = pod.spec;
  if (typeof spec !== "object" || spec === null) return shapeProblem(pod);
  let problem = PROBLEMS.get(spec);
  if (problem === undefined) PROBLEMS.set(spec, problem = shapeProblem(pod) ?? "");
  return problem === "" ? undefined : problem;
}

function plainMetadata(metadata: ObjectMeta): ObjectMeta {
  const plain: ObjectMeta = {};
  const texts = ["name", "namespace", "uid", "resourceVersion", "deletionTimestamp"] as const;
  for (const key of texts) {
    const value: unknown = metadata?.[key];
    if (value !== undefined && value !== null) plain[key] = String(value);
  }
  const grace = metadata?.deletionGracePeriodSeconds;
  if (typeof grace === "number" && grace >= 0) plain.deletionGracePeriodSeconds = grace;
  return plain;
}
