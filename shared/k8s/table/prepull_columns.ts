/** Columns of pre-pull jobs: how far they are, and how many of their nodes. */
import { ageOf } from "../duration.ts";
import type { ImagePrePullJob } from "../prepull.ts";
import type { KubeObject } from "../types.ts";
import type { Column } from "./columns.ts";

const job = (object: KubeObject) => object as ImagePrePullJob; // checked before it was stored

function column(name: string, cell: Column["cell"], priority: 0 | 1 = 0): Column {
  return { name, type: "string", priority, cell };
}

function nodesDone(object: KubeObject): string {
  const nodes = job(object).status?.nodeStatus ?? [];
  const done = nodes.filter(({ phase }) => phase === "Successful").length;
  return `${done}/${nodes.length}`;
}

export const PREPULL_COLUMNS: Column[] = [
  column("Name", (object) => object.metadata.name ?? ""),
  column("Phase", (object) => job(object).status?.phase ?? "Init"),
  column("Nodes", nodesDone),
  column("Age", (object, nowMs) => ageOf(object.metadata.creationTimestamp, nowMs)),
  column("Images", (object) => job(object).spec.imagePrePullTemplate?.images?.join(",") ?? "", 1),
  column("Reason", (object) => job(object).status?.reason || "<none>", 1),
];
