/**
 * The marks of static pods, as kubelet writes them: a pod a node runs from a file of its own has a
 * source and a hash; the object that shows it in the API, its mirror, also says of what.
 */
export const SOURCE_ANNOTATION = "kubernetes.io/config.source";
export const HASH_ANNOTATION = "kubernetes.io/config.hash";
export const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";

type Annotated = { metadata: { annotations?: Record<string, string> } };

/** True for the API's picture of a static pod; the pod itself lives by its node's file alone. */
export function isMirror({ metadata }: Annotated): boolean {
  return metadata.annotations?.[MIRROR_ANNOTATION] !== undefined;
}
