/**
 * JSON patch (RFC 6902): a list of operations, all or none. Works on a private copy. Bounded in
 * operations and in bytes copied, as a few `copy` operations could otherwise double a document to
 * any size.
 */
import { AppError } from "../../../shared/errors.ts";
import {
  cloneJson,
  deepEqual,
  isJsonObject,
  type JsonObject,
  setOwn,
} from "../../../shared/json/json.ts";
import { badRequest } from "../schema/bad_request.ts";

/** As the real API server. */
const OPERATIONS_MAX = 10_000;
const COPIED_CHARS_MAX = 3 * 1024 * 1024;

interface Operation {
  op: string;
  path: string;
  from: string;
  value: unknown;
  hasValue: boolean;
}

/** The patched document; `original` is not changed. */
export function jsonPatch(original: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) {
    throw badRequest("error decoding patch: a JSON patch must be a list of operations");
  }
  if (patch.length > OPERATIONS_MAX) {
    throw new AppError(
      "invalid",
      `The allowed maximum operations in a JSON patch is ${OPERATIONS_MAX}, got ${patch.length}`,
      { reason: "RequestEntityTooLarge" },
    );
  }
  const document = new Document(cloneJson(original));
  patch.forEach((item, index) => document.run(readOperation(item, index)));
  return document.root;
}

function readOperation(item: unknown, index: number): Operation {
  if (!isJsonObject(item)) {
    throw badRequest(`error decoding patch: operation ${index} is no object`);
  }
  const { op, path, from, value } = item;
  if (typeof op !== "string" || typeof path !== "string") {
    throw badRequest(`error decoding patch: operation ${index} must have "op" and "path"`);
  }
  if ((op === "move" || op === "copy") && typeof from !== "string") {
    throw badRequest(`error decoding patch: operation ${index} (${op}) must have "from"`);
  }
  const hasValue = Object.hasOwn(item, "value");
  return { op, path, from: typeof from === "string" ? from : "", value, hasValue };
}

class Document {
  root: unknown;
  #copiedChars = 0;

  constructor(root: unknown) {
    this.root = root;
  }

  run(operation: Operation): void {
    const { op, path, from } = operation;
    switch (op) {
      case "add":
        return this.#add(path, this.#valueOf(operation), op);
      case "remove":
        this.#remove(path, op);
        return;
      case "replace":
        return this.#replace(path, this.#valueOf(operation));
      case "move":
        if (path.startsWith(`${from}/`)) {
          throw refused(op, path, "a value cannot move into itself");
        }
        return this.#add(path, this.#remove(from, op), op);
      case "copy":
        return this.#add(path, this.#copyOf(from), op);
      case "test":
        if (!deepEqual(this.#get(path, op), operation.value ?? null)) {
          throw refused(op, path, "test failed");
        }
        return;
      default:
        throw badRequest(`error decoding patch: operation "${op}" is not known`);
    }
  }

  #valueOf({ op, path, value, hasValue }: Operation): unknown {
    if (!hasValue) throw badRequest(`error decoding patch: ${op} ${path} must have a "value"`);
    return cloneJson(value);
  }

  #copyOf(path: string): unknown {
    const value = this.#get(path, "copy");
    this.#copiedChars += JSON.stringify(value).length;
    if (this.#copiedChars > COPIED_CHARS_MAX) {
      throw refused("copy", path, `copies must be <= ${COPIED_CHARS_MAX} characters in all`);
    }
    return cloneJson(value);
  }

  #get(path: string, op: string): unknown {
    let value = this.root;
    for (const token of tokensOf(path)) value = child(value, token, { op, path });
    return value;
  }

  #parent(path: string, op: string): { parent: unknown; last: string } {
    const tokens = tokensOf(path);
    const last = tokens.pop();
    if (last === undefined) throw refused(op, path, "the whole document cannot be the target");
    let parent = this.root;
    for (const token of tokens) parent = child(parent, token, { op, path });
    return { parent, last };
  }

  #add(path: string, value: unknown, op: string): void {
    if (path === "") {
      this.root = value;
      return;
    }
    const { parent, last } = this.#parent(path, op);
    if (Array.isArray(parent)) {
      const index = last === "-" ? parent.length : indexOf(last, parent.length + 1);
      if (index === undefined) throw refused(op, path, `invalid index: ${last}`);
      parent.splice(index, 0, value);
    } else if (isJsonObject(parent)) setOwn(parent, last, value);
    else throw refused(op, path, "parent is neither object nor list");
  }

  #remove(path: string, op: string): unknown {
    const { parent, last } = this.#parent(path, op);
    const value = child(parent, last, { op, path });
    if (Array.isArray(parent)) parent.splice(Number(last), 1);
    else delete (parent as JsonObject)[last]; // child() found it, so it is an object
    return value;
  }

  #replace(path: string, value: unknown): void {
    if (path === "") {
      this.root = value;
      return;
    }
    const { parent, last } = this.#parent(path, "replace");
    child(parent, last, { op: "replace", path });
    if (Array.isArray(parent)) parent[Number(last)] = value;
    else setOwn(parent as JsonObject, last, value); // child() found it, so it is an object
  }
}

function child(parent: unknown, token: string, at: { op: string; path: string }): unknown {
  if (Array.isArray(parent)) {
    const index = indexOf(token, parent.length);
    if (index === undefined) throw refused(at.op, at.path, `invalid index: ${token}`);
    return parent[index];
  }
  if (isJsonObject(parent) && Object.hasOwn(parent, token)) return parent[token];
  throw refused(at.op, at.path, `doc is missing key: ${at.path}: missing value`);
}

/** An index below `length`, without leading zeros. */
function indexOf(token: string, length: number): number | undefined {
  if (!/^(0|[1-9][0-9]{0,8})$/.test(token)) return undefined;
  const index = Number(token);
  return index < length ? index : undefined;
}

function tokensOf(path: string): string[] {
  if (path === "") return [];
  if (!path.startsWith("/")) {
    throw badRequest(`error decoding patch: path "${path}" must begin with /`);
  }
  return path.slice(1).split("/").map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function refused(op: string, path: string, detail: string): AppError {
  const message = `${op} operation does not apply: ${path}: ${detail}`;
  return new AppError("invalid", message, { reason: "Invalid", field: path });
}
