/**
 * Server-side apply: the applied configuration is merged by the strategic table, and each manager's
 * fields are remembered in metadata.managedFields. What a manager applied before and leaves out now
 * is removed, unless another applier holds it too; a value another applier set is a conflict
 * without `force`. Only appliers own fields here; plain updates do not.
 */
import { AppError } from "../../../shared/errors.ts";
import {
  cloneJson,
  deepEqual,
  isJsonObject,
  type JsonObject,
  setOwn,
} from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { badRequest } from "../schema/bad_request.ts";
import { isLeafType, messageNamed } from "../schema/message_table.ts";
import { mergeKeyOf } from "./merge_keys.ts";
import { strategicMerge } from "./strategic_merge.ts";

export interface ApplyRequest {
  /** Name of the object's schema message. */
  schema: string;
  fieldManager: string;
  now: string;
  force: boolean;
}

/** More appliers than this on one object are a mistake somewhere. */
const MANAGERS_MAX = 100;

/** Identity the API server gives, and nobody owns. */
const UNOWNED = new Set(["apiVersion", "kind", "name", "namespace", "managedFields"]);

/** FieldsV1: "f:name" a field, "k:{…}" an item by key, "v:…" a plain item; {} at the leaves. */
type FieldSet = { [key: string]: FieldSet };

interface Manager {
  entry: JsonObject;
  fields: FieldSet;
}

export function serverSideApply(
  original: KubeObject | undefined,
  body: JsonObject,
  request: ApplyRequest,
): KubeObject {
  const metadata = isJsonObject(body["metadata"]) ? body["metadata"] : {};
  if (metadata["managedFields"] !== undefined && metadata["managedFields"] !== null) {
    throw badRequest("metadata.managedFields must be nil");
  }
  const managers = managersOf(original);
  const mine = managers.get(request.fieldManager);
  managers.delete(request.fieldManager);
  if (managers.size >= MANAGERS_MAX) {
    throw new AppError("exhausted", `Cannot apply: managers must be <= ${MANAGERS_MAX}`);
  }
  const fields = fieldSetOf(request.schema, body);
  const live: JsonObject = original ?? {};
  checkConflicts(managers, { fields, live, body, request });
  const kept = mine ? removeLeftOut(live, mine.fields, { fields, managers }) : cloneJson(live);
  const merged = strategicMerge(request.schema, kept, body);
  const entries = [...managers.values()].map(({ entry }) => entry);
  entries.push({
    manager: request.fieldManager,
    operation: "Apply",
    apiVersion: body["apiVersion"],
    // An apply that holds the same fields again is no news, and must not make a new revision
    time: mine && deepEqual(mine.fields, fields) ? mine.entry["time"] : request.now,
    fieldsType: "FieldsV1",
    fieldsV1: fields,
  });
  const meta = isJsonObject(merged["metadata"]) ? merged["metadata"] : {};
  const withManagers: JsonObject = { ...meta, managedFields: entries };
  return { ...merged, metadata: withManagers };
}

function managersOf(object: KubeObject | undefined): Map<string, Manager> {
  const managers = new Map<string, Manager>();
  const list = object?.metadata["managedFields" as keyof KubeObject["metadata"]]; // not in our type
  for (const entry of Array.isArray(list) ? list as unknown[] : []) {
    if (!isJsonObject(entry) || entry["operation"] !== "Apply") continue;
    const fields = isJsonObject(entry["fieldsV1"]) ? entry["fieldsV1"] as FieldSet : {};
    managers.set(String(entry["manager"] ?? ""), { entry: cloneJson(entry), fields });
  }
  return managers;
}

/** The fields an object sets, by the schema's idea of lists. */
function fieldSetOf(message: string | undefined, object: JsonObject, top = true): FieldSet {
  const set: FieldSet = {};
  for (const [key, value] of Object.entries(object)) {
    if (value === null || (top && (key === "apiVersion" || key === "kind"))) continue;
    if (message === "ObjectMeta" && UNOWNED.has(key)) continue;
    const field = message === undefined ? undefined : messageNamed(message).fields.get(key);
    const inner = field && field.shape !== "map" && !isLeafType(field.type)
      ? field.type
      : undefined;
    const mergeKey = message === undefined ? undefined : mergeKeyOf(message, key);
    if (Array.isArray(value) && mergeKey !== undefined) {
      setOwn(set, `f:${key}`, itemSetOf(inner, value, mergeKey));
    } else if (isJsonObject(value)) setOwn(set, `f:${key}`, fieldSetOf(inner, value, false));
    else setOwn(set, `f:${key}`, {});
  }
  return set;
}

function itemSetOf(
  message: string | undefined,
  items: readonly unknown[],
  mergeKey: string,
): FieldSet {
  const set: FieldSet = {};
  for (const item of items) {
    if (mergeKey === "") setOwn(set, `v:${JSON.stringify(item)}`, {});
    else if (isJsonObject(item)) {
      const name = `k:${JSON.stringify({ [mergeKey]: item[mergeKey] })}`;
      setOwn(set, name, { "f:": {}, ...fieldSetOf(message, item, false) });
    }
  }
  return set;
}

/** The child of `value` that `step` names, and where it sits in a list. */
function childOf(value: unknown, step: string): { value: unknown; index: number } {
  const text = step.slice(2);
  if (step.startsWith("f:")) {
    return { value: isJsonObject(value) ? value[text] : undefined, index: -1 };
  }
  const wanted: unknown = JSON.parse(text);
  const list: unknown[] = Array.isArray(value) ? value : [];
  const index = step.startsWith("v:")
    ? list.findIndex((item) => deepEqual(item, wanted))
    : list.findIndex((item) =>
      isJsonObject(item) && isJsonObject(wanted) &&
      Object.entries(wanted).every(([key, name]) => deepEqual(item[key], name))
    );
  return { value: list[index], index };
}

/** A copy of `live` without what `before` held, `fields` leaves out, and no other manager holds. */
function removeLeftOut(
  live: JsonObject,
  before: FieldSet,
  kept: { fields: FieldSet; managers: ReadonlyMap<string, Manager> },
): JsonObject {
  const copy = cloneJson(live);
  const others = [...kept.managers.values()].map((manager) => manager.fields);
  prune(copy, before, [kept.fields, ...others]);
  return copy;
}

function prune(value: unknown, before: FieldSet, holders: readonly FieldSet[]): void {
  for (const [step, inner] of Object.entries(before)) {
    if (step === "f:") continue;
    const holding = holders.flatMap((set) => set[step] === undefined ? [] : [set[step]]);
    const child = childOf(value, step);
    if (holding.length > 0) prune(child.value, inner, holding);
    else if (step.startsWith("f:")) {
      if (isJsonObject(value)) delete value[step.slice(2)];
    } else if (Array.isArray(value) && child.index >= 0) value.splice(child.index, 1);
  }
}

interface Conflict {
  manager: string;
  path: string;
}

function checkConflicts(
  managers: ReadonlyMap<string, Manager>,
  given: { fields: FieldSet; live: JsonObject; body: JsonObject; request: ApplyRequest },
): void {
  const conflicts: Conflict[] = [];
  for (const [name, manager] of managers) {
    const paths = conflictPaths([given.live, given.body], [manager.fields, given.fields], "");
    if (given.request.force) {
      for (const steps of paths) release(manager, steps.steps);
    } else conflicts.push(...paths.map(({ path }) => ({ manager: name, path })));
  }
  if (conflicts.length === 0) return;
  const lines = conflicts.map(({ manager, path }) => `conflict with "${manager}": ${path}`);
  const plural = conflicts.length === 1 ? "conflict" : "conflicts";
  throw new AppError(
    "conflict",
    `Apply failed with ${conflicts.length} ${plural}: ${lines.join(", ")}`,
    { reason: "FieldManagerConflict", field: conflicts.map(({ path }) => path).join(",") },
  );
}

interface Disputed {
  path: string;
  steps: string[];
}

/** Leaves that both sets hold and whose values differ. */
function conflictPaths(
  [live, body]: readonly [unknown, unknown],
  [theirs, ours]: readonly [FieldSet, FieldSet],
  path: string,
  steps: readonly string[] = [],
): Disputed[] {
  return Object.entries(ours).flatMap(([step, inner]) => {
    const held = theirs[step];
    if (held === undefined || step === "f:") return [];
    const was = childOf(live, step).value;
    const is = childOf(body, step).value;
    const here = step.startsWith("f:") ? `${path}.${step.slice(2)}` : `${path}[${step.slice(2)}]`;
    const nested = Object.keys(inner).length > 0 || Object.keys(held).length > 0;
    // Two claims that a map exists do not clash; what is in it may
    if (isJsonObject(is) || (nested && Array.isArray(is))) {
      return conflictPaths([was, is], [held, inner], here, [...steps, step]);
    }
    return deepEqual(was, is) ? [] : [{ path: here, steps: [...steps, step] }];
  });
}

/** Takes one leaf from a manager that lost it by force. */
function release(manager: Manager, steps: readonly string[]): void {
  const fields = cloneJson(manager.fields);
  let set: FieldSet | undefined = fields;
  for (const step of steps.slice(0, -1)) set = set?.[step];
  const last = steps.at(-1);
  if (set && last !== undefined) delete set[last];
  manager.fields = fields;
  manager.entry["fieldsV1"] = fields;
}
