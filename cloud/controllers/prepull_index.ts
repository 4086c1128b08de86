/**
 * Which pre-pull jobs a node is at work on, kept up to date job by job: those whose status says
 * that the node is in progress. So a node holds a job from when the controller started it until its
 * last report was taken, it was late, or the job was deleted. Bounded by the jobs.
 */
import { GVR } from "../../shared/k8s/gvr.ts";
import type { ImagePrePullJob } from "../../shared/k8s/prepull.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { objectKey } from "../../shared/wire/keys.ts";
import type { ObjectChange } from "./port.ts";

export function prePullKey(job: KubeObject): string {
  return objectKey(GVR.imagePrePullJobs, undefined, job.metadata.name ?? "");
}

/** Key of the pull secret a job names; undefined when it names none. */
export function prePullSecretKey(job: ImagePrePullJob): string | undefined {
  const [namespace, name] = job.spec.imagePrePullTemplate?.imageSecrets?.split("/") ?? [];
  return namespace && name ? objectKey(GVR.secrets, namespace, name) : undefined;
}

/** The job as its nodes see it: not which others there are, nor how far they all are. */
export function prePullForNode(job: ImagePrePullJob): ImagePrePullJob {
  const { name = "", uid = "", creationTimestamp } = job.metadata;
  const { nodeNames: _, labelSelector: __, ...template } = job.spec.imagePrePullTemplate ?? {};
  return {
    metadata: { name, uid, ...(creationTimestamp === undefined ? {} : { creationTimestamp }) },
    spec: { imagePrePullTemplate: template },
  };
}

export class PrePullIndex {
  readonly #ofNode = new Map<string, Map<string, ImagePrePullJob>>();

  /** Takes one step of a job; returns the nodes whose projection may differ now. */
  apply({ before, after }: ObjectChange<ImagePrePullJob>): string[] {
    const [was, is] = [nodesAtWork(before), nodesAtWork(after)];
    const isSame = before?.metadata.uid === after?.metadata.uid;
    const key = prePullKey((after ?? before)!); // a change has at least one side
    for (const node of was) {
      const jobs = this.#ofNode.get(node);
      jobs?.delete(key);
      if (jobs?.size === 0) this.#ofNode.delete(node);
    }
    for (const node of is) {
      let jobs = this.#ofNode.get(node);
      if (!jobs) this.#ofNode.set(node, jobs = new Map());
      jobs.set(key, after!); // only a job that is there has nodes at work
    }
    const touched = new Set([...was, ...is]);
    return [...touched].filter((node) => !isSame || was.has(node) !== is.has(node));
  }

  jobsOf(node: string): Iterable<ImagePrePullJob> {
    return this.#ofNode.get(node)?.values() ?? [];
  }

  /** Nodes at work with this secret. */
  usersOf(secretKey: string): string[] {
    return [...this.#ofNode].filter(([, jobs]) =>
      [...jobs.values()].some((job) => prePullSecretKey(job) === secretKey)
    ).map(([node]) => node);
  }
}

function nodesAtWork(job: ImagePrePullJob | undefined): Set<string> {
  const nodes = job?.status?.nodeStatus ?? [];
  return new Set(nodes.filter((n) => n.phase === "InProgress").map((n) => n.nodeName));
}
