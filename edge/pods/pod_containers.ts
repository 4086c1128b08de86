/**
 * The containers of a pod and the parts they play: those that initialize it (some of which stay, as
 * sidecars), those it is there for, and ephemeral ones, added while it runs. Pure.
 */
import type { Container, EphemeralContainer, Pod } from "../../shared/k8s/types.ts";
import { isSafeName } from "./volumes/paths.ts";

export type ContainerRole = "init" | "main" | "ephemeral";

export interface PodContainer {
  container: Container;
  role: ContainerRole;
}

export function podContainers(pod: Pod | undefined): PodContainer[] {
  return [
    ...(pod?.spec?.initContainers ?? []).map((container) => asPart(container, "init")),
    ...(pod?.spec?.containers ?? []).map((container) => asPart(container, "main")),
    ...ephemeralContainers(pod).map((container) => asPart(container, "ephemeral")),
  ];
}

/** What a container is in its pod, by its name; undefined when the pod has none of that name. */
export function findContainer(pod: Pod | undefined, name: string): PodContainer | undefined {
  return podContainers(pod).find(({ container }) => container.name === name);
}

/**
 * Those that can be told apart and become paths safely. The API server lets no others in, and a pod
 * that runs is not to suffer from one that got through.
 */
export function ephemeralContainers(pod: Pod | undefined): EphemeralContainer[] {
  const list: unknown = pod?.spec?.ephemeralContainers;
  if (!pod || !Array.isArray(list)) return [];
  const { initContainers = [], containers = [] } = pod.spec;
  const taken = new Set([...initContainers, ...containers].map((c) => c.name));
  return (list as EphemeralContainer[]).filter((container) => { // each is looked at here
    const name: unknown = container?.name;
    if (typeof name !== "string" || !isSafeName(name) || taken.has(name)) return false;
    taken.add(name);
    return true;
  });
}

function asPart(container: Container, role: ContainerRole): PodContainer {
  return { container, role };
}
