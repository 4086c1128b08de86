/**
 * What probes say of the containers of a pod, as the planner and the status read it. Pure: types
 * and the answer for a container nothing was said of yet.
 */
import type { Container } from "../../../shared/k8s/types.ts";

export type ProbeKind = "startup" | "readiness" | "liveness";

export interface ContainerHealth {
  started: boolean;
  ready: boolean;
  /** The probe that wants this run killed. */
  failed?: "liveness" | "startup";
}

/** By container id; containers without probes are not in it. */
export type PodHealth = ReadonlyMap<string, ContainerHealth>;

/** The health of a running container. */
export function healthOf(
  health: PodHealth | undefined,
  container: Container,
  runId: string,
): ContainerHealth {
  const said = health?.get(runId);
  if (said) return said;
  const started = container.startupProbe === undefined;
  return { started, ready: started && container.readinessProbe === undefined };
}
