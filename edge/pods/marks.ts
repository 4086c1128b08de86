/**
 * Labels and annotations by which the agent finds its own again. The first groups are kubelet's, so
 * that any CRI tool shows the pods as usual; `NODE_MARK` is ours: what does not carry it with this
 * node's name is another program's and is never touched.
 */
import type { Container } from "../../shared/k8s/types.ts";

export const NODE_MARK = "skerry.dev/node";

export const LABEL = {
  podName: "io.kubernetes.pod.name",
  podNamespace: "io.kubernetes.pod.namespace",
  podUid: "io.kubernetes.pod.uid",
  containerName: "io.kubernetes.container.name",
} as const;

export const ANNOTATION = {
  hash: "io.kubernetes.container.hash",
  restartCount: "io.kubernetes.container.restartCount",
  messagePath: "io.kubernetes.container.terminationMessagePath",
  messagePolicy: "io.kubernetes.container.terminationMessagePolicy",
  podGrace: "io.kubernetes.pod.terminationGracePeriod",
  podDeletionGrace: "io.kubernetes.pod.deletionGracePeriod",
  ports: "io.kubernetes.container.ports",
  preStop: "io.kubernetes.container.preStopHandler",
} as const;

export const TERMINATION_MESSAGE_PATH = "/dev/termination-log";

/** kubelet's container hash: 32-bit FNV-1a, hex, over what no running container can change. */
export function containerHash(container: Container): string {
  const bytes = new TextEncoder().encode(
    JSON.stringify({ image: container.image ?? "", name: container.name }),
  );
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash.toString(16);
}

/** A pod as kubelet names it in messages: `name_namespace(uid)`. */
export function podTitle(pod: { namespace: string; name: string; uid: string }): string {
  return `${pod.name}_${pod.namespace}(${pod.uid})`;
}
