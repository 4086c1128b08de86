/**
 * Frees what pods that are over still hold in the runtime: the writable layers of their containers.
 * Their statuses are recorded, and their logs are files of the node; both stay.
 */
import { errorChain } from "../../../shared/errors.ts";
import type { Pod } from "../../../shared/k8s/types.ts";
import { roomLogger } from "../../../shared/log.ts";
import type { ContainerRuntime } from "../../cri/port.ts";

export async function removeDeadContainers(
  runtime: Pick<ContainerRuntime, "removeContainer">,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<void> {
  for (const { status } of pods) {
    if (status?.phase !== "Succeeded" && status?.phase !== "Failed") continue;
    const { containerStatuses = [], initContainerStatuses = [] } = status;
    for (const { state, containerID } of [...containerStatuses, ...initContainerStatuses]) {
      if (!state?.terminated || !containerID) continue;
      const id = containerID.slice(containerID.indexOf("://") + 3);
      try {
        await runtime.removeContainer(id, signal);
      } catch (error) {
        signal.throwIfAborted();
        const log = roomLogger("edge", "pods", "eviction");
        log.warn("Cannot remove container", { id, error: errorChain(error) });
      }
    }
  }
}
