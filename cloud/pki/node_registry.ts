/**
 * Which nodes are enrolled, with which key: one file each under `<data-dir>/nodes`. A certificate
 * counts only while its key is the one kept here, so a second `join` of a name takes it over from
 * whoever held it, and a revoked node is out at once, however long its certificate would last.
 */
import { join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import type { Random } from "../../shared/random.ts";
import { fileError, makeSecretDir, readIfPresent, replaceFile } from "./files.ts";
import { checkNodeName } from "./profiles.ts";

export interface NodeRecord {
  version: 1;
  name: string;
  /** SHA-256 of the key's SubjectPublicKeyInfo, hex. */
  keyHash: string;
  enrolledAtMs: number;
  tokenId: string;
  revoked: boolean;
}

export class NodeRegistry {
  readonly #dir: string;
  readonly #random: Random;

  /** `dir`: `<data-dir>/nodes` */
  constructor(options: { dir: string; random: Random }) {
    this.#dir = options.dir;
    this.#random = options.random;
  }

  async get(name: string): Promise<NodeRecord | undefined> {
    const file = this.#file(name);
    const text = await readIfPresent(file);
    return text === undefined ? undefined : parse(text, file);
  }

  async put(record: NodeRecord): Promise<void> {
    await makeSecretDir(this.#dir);
    await replaceFile(this.#file(record.name), JSON.stringify(record) + "\n", this.#random);
  }

  /** False when no such node is enrolled. */
  async revoke(name: string): Promise<boolean> {
    const record = await this.get(name);
    if (record) await this.put({ ...record, revoked: true });
    return record !== undefined;
  }

  /** Whether any node was ever enrolled; a record that cannot be read counts. */
  async isEmpty(): Promise<boolean> {
    await makeSecretDir(this.#dir);
    for await (const entry of Deno.readDir(this.#dir)) {
      if (entry.isFile && entry.name.endsWith(".json")) return false;
    }
    return true;
  }

  async list(): Promise<NodeRecord[]> {
    await makeSecretDir(this.#dir);
    const records: NodeRecord[] = [];
    try {
      for await (const entry of Deno.readDir(this.#dir)) {
        if (!entry.isFile || !entry.name.endsWith(".json")) continue;
        const record = await this.get(entry.name.slice(0, -".json".length));
        if (record) records.push(record);
      }
    } catch (cause) {
      throw cause instanceof AppError ? cause : fileError("list", this.#dir, cause);
    }
    return records.sort((a, b) => a.name < b.name ? -1 : 1);
  }

  #file(name: string): string {
    checkNodeName(name); // which also keeps it a plain file name
    return join(this.#dir, `${name}.json`);
  }
}

function parse(text: string, file: string): NodeRecord {
  let value: Partial<NodeRecord> | null;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AppError("invalid", `Cannot read ${file}: not JSON`, { file }, { cause });
  }
  const texts = [value?.name, value?.keyHash, value?.tokenId];
  if (
    value?.version !== 1 || !texts.every((t) => typeof t === "string") ||
    typeof value.enrolledAtMs !== "number" || typeof value.revoked !== "boolean"
  ) {
    throw new AppError("invalid", `Cannot read ${file}: not a node record`, { file });
  }
  return value as NodeRecord; // just shown field by field
}
