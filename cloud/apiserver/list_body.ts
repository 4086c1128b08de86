/**
 * Lists as JSON, in slices: a list of any length holds neither the loop for more than one slice nor
 * the memory for more than what its client has not read yet. Between slices whatever else is ready
 * runs. What fits into one slice is answered whole.
 */
import { nextTurn } from "../../shared/clock.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { toTable } from "../../shared/k8s/table/to_table.ts";
import type { KindInfo } from "./kinds/kind_info.ts";
import { type Form, partial, shown } from "./negotiate.ts";

/** 128 KiB: a millisecond or two of encoding. */
const SLICE_CHARS = 128 * 1024;
/** Rows made at once; they hold metadata at most. */
const ROWS_AT_ONCE = 16;

export interface ListMeta {
  resourceVersion: string;
  continue?: string;
  remainingItemCount?: number;
}

export interface ListOptions {
  form: Form;
  meta: ListMeta;
  nowMs: number;
}

export function listResponse(
  kind: KindInfo,
  objects: readonly KubeObject[],
  options: ListOptions,
): Response {
  const headers = { "content-type": "application/json" };
  const pieces = options.form.as === "table"
    ? tablePieces(kind, objects, options, options.form.includeObject)
    : itemPieces(kind, objects, options);
  const first = gather(pieces);
  if (!first.more) return new Response(first.text, { headers });
  return new Response(inSlices(first.text, pieces), { headers });
}

function inSlices(first: string, pieces: Iterator<string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let begun = false;
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      if (!begun) {
        begun = true;
        controller.enqueue(encoder.encode(first));
        return;
      }
      await nextTurn();
      const { text, more } = gather(pieces);
      controller.enqueue(encoder.encode(text));
      if (!more) controller.close();
    },
  }, { highWaterMark: 0 });
}

function gather(pieces: Iterator<string>): { text: string; more: boolean } {
  let text = "";
  while (text.length < SLICE_CHARS) {
    const { done, value } = pieces.next();
    if (done) return { text, more: false };
    text += value;
  }
  return { text, more: true };
}

function* itemPieces(
  kind: KindInfo,
  objects: readonly KubeObject[],
  { form, meta }: ListOptions,
): Generator<string, void> {
  const isPartial = form.as === "metadata";
  const apiVersion = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
  const head = isPartial
    ? { kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1", metadata: meta }
    : { kind: `${kind.kind}List`, apiVersion, metadata: meta };
  yield `${JSON.stringify(head).slice(0, -1)},"items":[`;
  let comma = "";
  for (const object of objects) {
    const item = shown(kind, object);
    yield comma + JSON.stringify(isPartial ? partial(item) : item);
    comma = ",";
  }
  yield "]}\n";
}

function* tablePieces(
  kind: KindInfo,
  objects: readonly KubeObject[],
  { meta, nowMs }: ListOptions,
  includeObject: Extract<Form, { as: "table" }>["includeObject"],
): Generator<string, void> {
  const options = { includeObject, nowMs, shown: (object: KubeObject) => shown(kind, object) };
  const head = toTable(kind.kind, [], { ...options, listMeta: meta, withColumns: true });
  yield JSON.stringify({ ...head, rows: [] }).slice(0, -"]}".length);
  const step = includeObject === "Object" ? 1 : ROWS_AT_ONCE;
  for (let at = 0; at < objects.length; at += step) {
    const some = objects.slice(at, at + step);
    const { rows } = toTable(kind.kind, some, { ...options, withColumns: false });
    yield (at === 0 ? "" : ",") + JSON.stringify(rows).slice(1, -1);
  }
  yield "]}\n";
}
