/**
 * get, list and watch of what the node holds, in the shape kubectl expects. Reading only: acts at
 * the site are intents and have their own rules (../site/acts.ts).
 */
import type { Changes } from "../../../shared/async/wakeup.ts";
import { Wakeup } from "../../../shared/async/wakeup.ts";
import type { Clock } from "../../../shared/clock.ts";
import { AppError } from "../../../shared/errors.ts";
import {
  type FieldRequirement,
  type LabelRequirement,
  matchFields,
  matchLabels,
  parseFieldSelector,
  parseLabelSelector,
} from "../../../shared/k8s/selectors.ts";
import { toTable } from "../../../shared/k8s/table/to_table.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { streamBody } from "../stream_body.ts";
import { apiVersionOfResource, type LocalResource } from "./resources.ts";
import { ResourceView, type ViewEntry } from "./view.ts";

/** Watches held open at once; a site has a handful of people and scripts. */
const WATCHES_MAX = 64;

export interface ListScope {
  /** "" or absent: the core group. */
  group?: string;
  version?: string;
  /** All namespaces when absent. */
  namespace?: string;
  params: URLSearchParams;
  /** The client asked for `as=Table`. */
  asTable: boolean;
}

interface Selection {
  namespace: string | undefined;
  labels: LabelRequirement[];
  fields: FieldRequirement[];
}

export class LocalKube {
  readonly resources: readonly LocalResource[];
  readonly #views: ReadonlyMap<string, ResourceView>;
  readonly #changes: Changes;
  readonly #clock: Clock;
  #watches = 0;

  /** `changes` is notified whenever anything that `resources` list may have changed. */
  constructor(resources: readonly LocalResource[], changes: Changes, clock: Clock) {
    this.resources = resources;
    this.#clock = clock;
    this.#changes = changes;
    this.#views = new Map(resources.map((r) => [r.plural, new ResourceView(r)]));
  }

  get(plural: string, name: string, scope: ListScope): object {
    const { resource, view } = this.#find(plural, scope);
    const { namespace } = scope;
    const found = view.entries().find(({ object }) =>
      object.metadata.name === name &&
      (namespace === undefined || object.metadata.namespace === namespace)
    );
    if (!found) throw new AppError("not_found", `${plural} "${name}" not found`);
    return scope.asTable ? this.#table(resource, [found.object], scope, true) : found.object;
  }

  list(plural: string, scope: ListScope): object {
    const { resource, view } = this.#find(plural, scope);
    const selection = toSelection(resource, scope);
    const items = view.entries().map(({ object }) => object).filter((o) => matches(o, selection));
    const listMeta = { resourceVersion: String(view.version) };
    if (scope.asTable) return { ...this.#table(resource, items, scope, true), metadata: listMeta };
    return {
      kind: `${resource.kind}List`,
      apiVersion: apiVersionOfResource(resource),
      metadata: listMeta,
      items,
    };
  }

  /** Newline-separated watch events until the client goes or `timeoutSeconds` is over. */
  watch(plural: string, scope: ListScope): ReadableStream<Uint8Array> {
    const { resource, view } = this.#find(plural, scope);
    const selection = toSelection(resource, scope);
    if (this.#watches >= WATCHES_MAX) {
      throw new AppError("exhausted", `Cannot watch: open watches must be <= ${WATCHES_MAX}`);
    }
    const known = new Map<string, ViewEntry>();
    const since = Number(scope.params.get("resourceVersion") ?? "0");
    if (since > 0) rememberUpTo(view, known, since);
    const seconds = Number(scope.params.get("timeoutSeconds") ?? "0");
    return streamBody((gone) => {
      const signal = seconds > 0
        ? AbortSignal.any([gone, AbortSignal.timeout(seconds * 1_000)])
        : gone;
      return toLines(this.#shaped(resource, scope, this.#events(view, selection, known, signal)));
    });
  }

  async *#events(
    view: ResourceView,
    selection: Selection,
    known: Map<string, ViewEntry>,
    signal: AbortSignal,
  ): AsyncGenerator<{ type: string; object: KubeObject }> {
    const wakeup = new Wakeup();
    const unsubscribe = this.#changes.subscribe(() => wakeup.wake());
    this.#watches++;
    try {
      while (!signal.aborted) {
        for (const { type, entry } of view.changesSince(known)) {
          if (matches(entry.object, selection)) yield { type, object: entry.object };
        }
        await wakeup.wait(signal).catch(() => {}); // aborted: the loop ends by its condition
      }
    } finally {
      this.#watches--;
      unsubscribe();
    }
  }

  async *#shaped(
    resource: LocalResource,
    scope: ListScope,
    events: AsyncGenerator<{ type: string; object: KubeObject }>,
  ): AsyncGenerator<object> {
    let withColumns = true;
    for await (const event of events) {
      if (!scope.asTable) yield event;
      else yield { ...event, object: this.#table(resource, [event.object], scope, withColumns) };
      withColumns = false;
    }
  }

  #table(
    resource: LocalResource,
    objects: KubeObject[],
    scope: ListScope,
    withColumns: boolean,
  ): object {
    const include = scope.params.get("includeObject");
    const includeObject = include === "None" || include === "Object" ? include : "Metadata";
    const nowMs = this.#clock.nowMs();
    return toTable(resource.kind, objects, { includeObject, nowMs, withColumns });
  }

  #find(
    plural: string,
    { group = "", version = "v1" }: ListScope,
  ): { resource: LocalResource; view: ResourceView } {
    const resource = this.resources.find((candidate) =>
      candidate.plural === plural && (candidate.group ?? "") === group &&
      (candidate.version ?? "v1") === version
    );
    const view = this.#views.get(plural);
    if (!resource || !view) {
      throw new AppError("not_found", "the server could not find the requested resource");
    }
    return { resource, view };
  }
}

/** Counts what the client has seen at `version` as known, so that only later changes are sent. */
function rememberUpTo(view: ResourceView, known: Map<string, ViewEntry>, version: number): void {
  for (const entry of view.entries()) {
    if (entry.version > version) continue;
    known.set(`${entry.object.metadata.namespace ?? ""}/${entry.object.metadata.name}`, entry);
  }
}

function toSelection(resource: LocalResource, scope: ListScope): Selection {
  const supported = ["metadata.name", "metadata.namespace", ...resource.selectableFields];
  return {
    namespace: scope.namespace,
    labels: parseLabelSelector(scope.params.get("labelSelector") ?? ""),
    fields: parseFieldSelector(scope.params.get("fieldSelector") ?? "", supported),
  };
}

function matches(object: KubeObject, selection: Selection): boolean {
  if (selection.namespace !== undefined && object.metadata.namespace !== selection.namespace) {
    return false;
  }
  return matchLabels(selection.labels, object.metadata.labels) &&
    matchFields(selection.fields, fieldsOf(object, selection.fields));
}

/** Values at the selected paths. */
function fieldsOf(object: KubeObject, wanted: FieldRequirement[]): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const { field } of wanted) {
    let value: unknown = object;
    for (const part of field.split(".")) {
      value = typeof value === "object" && value !== null && Object.hasOwn(value, part)
        ? (value as Record<string, unknown>)[part] // shown to have it
        : undefined;
    }
    if (value !== undefined && typeof value !== "object") fields[field] = String(value);
  }
  return fields;
}

async function* toLines(events: AsyncGenerator<object>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for await (const event of events) yield encoder.encode(JSON.stringify(event) + "\n");
}
