/**
 * What may be thrown away of a pod that stays: of the ended runs of each container only the newest
 * is kept (its log is what `logs --previous` shows), of ended sandboxes only the newest and those
 * that hold a kept run, because removing a sandbox removes its containers.
 */
import { newestSandbox, type ObservedPod } from "./observed.ts";
import type { PodAction } from "./plan.ts";

export function planGarbage(observed: ObservedPod): PodAction[] {
  const kept = new Set<string>();
  const actions: PodAction[] = [];
  const dead = observed.containers.filter((c) => c.state === "exited")
    .sort((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs);
  for (const run of dead) {
    if (!kept.has(run.name)) {
      kept.add(run.name);
      continue;
    }
    actions.push({ kind: "remove_container", containerId: run.id, logPath: run.logPath });
  }
  const gone = new Set(actions.map((a) => a.kind === "remove_container" ? a.containerId : ""));
  const held = new Set(
    observed.containers.filter((c) => !gone.has(c.id)).map((c) => c.sandboxId),
  );
  const newest = newestSandbox(observed)?.id;
  for (const sandbox of observed.sandboxes) {
    if (sandbox.ready || sandbox.id === newest || held.has(sandbox.id)) continue;
    actions.push({ kind: "remove_sandbox", sandboxId: sandbox.id });
  }
  return actions;
}
