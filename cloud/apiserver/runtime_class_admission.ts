/**
 * What a RuntimeClass adds to a new pod, as Kubernetes' admission does: the cost of its sandbox,
 * and where it may run. A pod that names a class that is not there is refused.
 * `admitRuntimeClass` is pure.
 */
import { deepEqual } from "../../shared/json/json.ts";
import { isMirror } from "../../shared/k8s/mirror.ts";
import type { KubeObject, Pod, PodSpec, Toleration } from "../../shared/k8s/types.ts";
import { forbidden } from "./errors.ts";
import { POD } from "./kinds/pod.ts";
import type { ObjectStorage } from "./storage.ts";
import type { Admission } from "./writer.ts";

const CLASSES = { group: "node.k8s.io", resource: "runtimeclasses" };
const PODS = { group: "", plural: "pods" };

interface RuntimeClass extends KubeObject {
  overhead?: { podFixed?: Record<string, string> };
  scheduling?: { nodeSelector?: Record<string, string>; tolerations?: Toleration[] };
}

export function runtimeClassAdmission(storage: ObjectStorage): Admission {
  const find = (name: string) => storage.get(CLASSES, undefined, name);
  // what is stored under pods is a Pod
  return (kind, object) => kind === POD ? admitRuntimeClass(object as Pod, find) : object;
}

export function admitRuntimeClass(
  pod: Pod,
  find: (name: string) => KubeObject | undefined,
): Pod {
  // It runs already, as its node's file says.
  if (isMirror(pod)) return pod;
  const { runtimeClassName: name, overhead } = pod.spec;
  const refused = (why: string) => forbidden(PODS, pod.metadata.name ?? "", why);
  const found: RuntimeClass | undefined = name ? find(name) : undefined;
  if (name && !found) throw refused(`pod rejected: RuntimeClass "${name}" not found`);
  const fixed = found?.overhead?.podFixed;
  if (overhead && !fixed) {
    throw refused(
      "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
    );
  }
  if (overhead && !deepEqual(overhead, fixed)) {
    throw refused("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
  }
  if (!found) return pod;
  const { nodeSelector, tolerations } = found.scheduling ?? {};
  const spec: PodSpec = { ...pod.spec, ...(fixed ? { overhead: fixed } : {}) };
  if (nodeSelector) spec.nodeSelector = merged(spec.nodeSelector ?? {}, nodeSelector, refused);
  if (tolerations) spec.tolerations = united(spec.tolerations ?? [], tolerations);
  return { ...pod, spec };
}

function merged(
  own: Record<string, string>,
  wanted: Record<string, string>,
  refused: (why: string) => Error,
): Record<string, string> {
  for (const [key, value] of Object.entries(wanted)) {
    if (own[key] === undefined || own[key] === value) continue;
    throw refused(
      `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; ` +
        `pod.spec.nodeSelector[${key}] = ${own[key]}`,
    );
  }
  return { ...own, ...wanted };
}

function united(own: readonly Toleration[], added: readonly Toleration[]): Toleration[] {
  return [...own, ...added.filter((one) => !own.some((other) => deepEqual(one, other)))];
}
