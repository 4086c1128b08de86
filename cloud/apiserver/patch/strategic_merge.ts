/**
 * Strategic merge patch: like JSON merge, but lists of named things merge by name, and directives
 * (`$patch`, `$retainKeys`, `$deleteFromPrimitiveList/f`, `$setElementOrder/f`) say what plain
 * merging cannot. Walks the schema to know which list is which. Neither argument is changed.
 */
import { deepEqual, isJsonObject, type JsonObject, setOwn } from "../../../shared/json/json.ts";
import { badRequest } from "../schema/bad_request.ts";
import { type FieldSchema, isLeafType, messageNamed } from "../schema/message_table.ts";
import { mergeKeyOf } from "./merge_keys.ts";

const DELETE_FROM = "$deleteFromPrimitiveList/";
const SET_ORDER = "$setElementOrder/";

/** `message` names the schema of `original`; undefined below maps and unknown fields. */
export function strategicMerge(
  message: string | undefined,
  original: JsonObject,
  patch: JsonObject,
): JsonObject {
  const directive = patch["$patch"];
  if (directive === "delete") return {};
  const base = directive === "replace" ? {} : retained(original, patch["$retainKeys"]);
  if (directive !== undefined && directive !== "replace" && directive !== "merge") {
    throw badRequest(`unknown patch directive: $patch: ${JSON.stringify(directive)}`);
  }
  const result: JsonObject = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith("$")) continue;
    if (value === null) delete result[key];
    else {
      const field = fieldOf(message, key);
      setOwn(result, key, mergeValue({ message, key, field }, result[key], value));
    }
  }
  applyListDirectives(message, result, { original: base, patch });
  return result;
}

interface Position {
  message: string | undefined;
  key: string;
  field: FieldSchema | undefined;
}

function fieldOf(message: string | undefined, key: string): FieldSchema | undefined {
  return message === undefined ? undefined : messageNamed(message).fields.get(key);
}

/** The message of the field's value (of its items, for a list), when it has one. */
function messageOf(field: FieldSchema | undefined): string | undefined {
  return field && field.shape !== "map" && !isLeafType(field.type) ? field.type : undefined;
}

function mergeValue(position: Position, original: unknown, patch: unknown): unknown {
  if (isJsonObject(patch)) {
    return strategicMerge(
      messageOf(position.field),
      isJsonObject(original) ? original : {},
      patch,
    );
  }
  if (!Array.isArray(patch)) return patch;
  const { message, key } = position;
  const mergeKey = message === undefined ? undefined : mergeKeyOf(message, key);
  const list: unknown[] = Array.isArray(original) ? original : [];
  if (mergeKey === undefined) return patch.map((item) => withoutDirectives(position, item));
  if (mergeKey === "") return mergePlain(list, patch);
  return mergeNamed(position, mergeKey, { list, patch });
}

function withoutDirectives(position: Position, item: unknown): unknown {
  return isJsonObject(item) ? strategicMerge(messageOf(position.field), {}, item) : item;
}

function mergePlain(list: readonly unknown[], patch: readonly unknown[]): unknown[] {
  const added = patch.filter((item) => !list.some((other) => deepEqual(item, other)));
  return [...list, ...added];
}

function mergeNamed(
  position: Position,
  mergeKey: string,
  lists: { list: readonly unknown[]; patch: readonly unknown[] },
): unknown[] {
  const replaces = lists.patch.some((item) =>
    isJsonObject(item) && item["$patch"] === "replace" && item[mergeKey] === undefined
  );
  const result: unknown[] = replaces ? [] : [...lists.list];
  for (const item of lists.patch) {
    if (!isJsonObject(item)) {
      throw badRequest(`items of ${position.key} must be objects in a strategic merge patch`);
    }
    const name = item[mergeKey];
    if (name === undefined) {
      if (item["$patch"] === "replace") continue;
      throw badRequest(
        `map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`,
      );
    }
    const index = result.findIndex((other) => isJsonObject(other) && other[mergeKey] === name);
    if (item["$patch"] === "delete") {
      if (index >= 0) result.splice(index, 1);
      continue;
    }
    const found = result[index];
    const merged = strategicMerge(
      messageOf(position.field),
      isJsonObject(found) ? found : {},
      item,
    );
    if (index >= 0) result[index] = merged;
    else result.push(merged);
  }
  return result;
}

function retained(original: JsonObject, keys: unknown): JsonObject {
  if (keys === undefined) return original;
  if (!Array.isArray(keys)) throw badRequest("$retainKeys must be a list of keys");
  return Object.fromEntries(Object.entries(original).filter(([key]) => keys.includes(key)));
}

function applyListDirectives(
  message: string | undefined,
  result: JsonObject,
  given: { original: JsonObject; patch: JsonObject },
): void {
  for (const [key, value] of Object.entries(given.patch)) {
    const name = key.slice(key.indexOf("/") + 1);
    const list = result[name];
    const isDirective = key.startsWith(DELETE_FROM) || key.startsWith(SET_ORDER);
    if (!isDirective) continue;
    if (!Array.isArray(value)) throw badRequest(`${key} must be a list`);
    if (!Array.isArray(list)) continue;
    if (key.startsWith(DELETE_FROM)) {
      result[name] = list.filter((item) => !value.some((other) => deepEqual(item, other)));
    }
  }
  for (const [key, value] of Object.entries(given.patch)) {
    if (!key.startsWith(SET_ORDER) || !Array.isArray(value)) continue;
    const name = key.slice(SET_ORDER.length);
    const list = result[name];
    if (!Array.isArray(list)) continue;
    const mergeKey = message === undefined ? undefined : mergeKeyOf(message, name);
    const before = given.original[name];
    result[name] = ordered(list, value, {
      mergeKey: mergeKey ?? "",
      before: Array.isArray(before) ? before : [],
    });
  }
}

/**
 * `order` names the items the client knows, in the order it wants. Items it does not know keep
 * their place relative to those that were there before.
 */
function ordered(
  list: readonly unknown[],
  order: readonly unknown[],
  context: { mergeKey: string; before: readonly unknown[] },
): unknown[] {
  const nameOf = (item: unknown) =>
    context.mergeKey !== "" && isJsonObject(item) ? item[context.mergeKey] : item;
  const rank = new Map(order.map((item, index) => [nameOf(item), index]));
  const place = new Map(context.before.map((item, index) => [nameOf(item), index]));
  const known = list.filter((item) => rank.has(nameOf(item)))
    .sort((a, b) => (rank.get(nameOf(a)) ?? 0) - (rank.get(nameOf(b)) ?? 0));
  const others = list.filter((item) => !rank.has(nameOf(item)));
  const result: unknown[] = [];
  for (const item of known) {
    const at = place.get(nameOf(item));
    while (others.length > 0 && at !== undefined) {
      const other = place.get(nameOf(others[0]));
      if (other !== undefined && other > at) break;
      result.push(others.shift());
    }
    result.push(item);
  }
  return [...result, ...others];
}
