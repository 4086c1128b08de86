/** Pods as tests apply them: busybox running a shell line, with what a case adds to the spec. */
import { BUSYBOX_IMAGE } from "../support/images.ts";
import type { Container, PodSpec } from "../../shared/k8s/types.ts";

/** Says a line each tenth of a second and ends at once on TERM. */
export const TICKER = "trap 'echo bye; exit 0' TERM; n=0; " +
  "while :; do n=$((n+1)); echo tick $n; sleep 0.1 & wait $!; done";

export interface PodParts {
  /** A line for `sh -c`; TICKER when left out. */
  script?: string;
  container?: Partial<Container>;
  spec?: Partial<PodSpec>;
}

export function podManifest(name: string, { script = TICKER, container, spec }: PodParts = {}) {
  const only = { name: "main", image: BUSYBOX_IMAGE, command: ["sh", "-c", script], ...container };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: name } },
    spec: { terminationGracePeriodSeconds: 2, containers: [only], ...spec },
  };
}
