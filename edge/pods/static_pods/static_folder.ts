/**
 * Static pods: what the files of one folder say shall run here, whatever any cloud says. The folder
 * is looked at every two seconds. Only a file that is gone from a readable folder ends its pod: a
 * file that cannot be read or used leaves the pod of its last good state as it is, and so does a
 * folder that is away, also over a restart (the last good texts are kept beside).
 *
 *     file:  good -> suspect (may be half written) -> broken (told) -> good
 */
import { createHash } from "node:crypto";
import { Changes } from "../../../shared/async/wakeup.ts";
import { type Clock, toTime } from "../../../shared/clock.ts";
import { AppError, errorChain } from "../../../shared/errors.ts";
import { writeFileAtomic } from "../../../shared/files.ts";
import { isJsonObject } from "../../../shared/json/json.ts";
import type { Pod } from "../../../shared/k8s/types.ts";
import { roomLogger } from "../../../shared/log.ts";
import type { EventLog } from "../../meta/port.ts";
import { parseStaticPod } from "./static_file.ts";

const LOOK_MS = 2_000;
/** More than a node runs; what is beyond is told and left. */
const FILES_MAX = 500;
const FILE_BYTES_MAX = 1024 * 1024;
const FILE_NAME = /^[^.].*\.(ya?ml|json)$/;

export interface StaticFolderOptions {
  /** Absolute. */
  dir: string;
  /** Where the last good texts are kept. */
  cacheFile: string;
  nodeName: string;
  clock: Clock;
  events: EventLog;
}

interface Entry {
  /** Size and time of the file as it was last looked at. */
  print: string;
  state: "good" | "suspect" | "broken";
  text: string;
  /** Of the last good text. */
  pod: Pod | undefined;
}

export class StaticFolder {
  readonly changes = new Changes();
  readonly #options: StaticFolderOptions;
  readonly #log = roomLogger("edge", "pods", "static");
  readonly #entries = new Map<string, Entry>();
  #settled = false;
  #folderProblem = "";

  constructor(options: StaticFolderOptions) {
    this.#options = options;
  }

  /** True once the folder has been read: what is not in `pods()` then is not to run. */
  get settled(): boolean {
    return this.#settled;
  }

  pods(): Pod[] {
    return [...this.#entries.values()].flatMap(({ pod }) => (pod ? [pod] : []));
  }

  async run(signal: AbortSignal): Promise<void> {
    await this.#loadCache();
    while (!signal.aborted) {
      await this.look();
      await this.#options.clock.sleep(LOOK_MS, signal);
    }
  }

  /** One look at the folder. */
  async look(): Promise<void> {
    const names = await this.#names();
    if (!names) return;
    const before = this.#print();
    for (const name of [...this.#entries.keys()]) {
      if (!names.includes(name)) this.#entries.delete(name);
    }
    for (const name of names) await this.#lookAt(name);
    const isNews = this.#print() !== before;
    if (!isNews && this.#settled) return;
    this.#settled = true;
    if (isNews) {
      await this.#keepCache();
      // A name they clashed with may be free now.
      for (const entry of this.#entries.values()) if (entry.state === "broken") entry.print = "";
    }
    this.changes.notify();
  }

  /** Undefined when the folder cannot be read: nothing follows from that. */
  async #names(): Promise<string[] | undefined> {
    const { dir } = this.#options;
    const names: string[] = [];
    try {
      for await (const { name, isDirectory } of Deno.readDir(dir)) {
        if (!isDirectory && FILE_NAME.test(name)) names.push(name);
      }
    } catch (error) {
      const problem = errorChain(error);
      if (problem !== this.#folderProblem) {
        await this.#tell(`Cannot read folder of static pods ${dir}: ${problem}`);
      }
      this.#folderProblem = problem;
      return undefined;
    }
    const surplus = names.length > FILES_MAX ? `holds ${names.length} files` : "";
    if (surplus && surplus !== this.#folderProblem) {
      await this.#tell(`Folder of static pods ${dir} ${surplus}: the first ${FILES_MAX} count`);
    }
    this.#folderProblem = surplus;
    return names.sort().slice(0, FILES_MAX);
  }

  async #lookAt(name: string): Promise<void> {
    const path = `${this.#options.dir}/${name}`;
    const known = this.#entries.get(name);
    try {
      const { size, mtime } = await Deno.stat(path);
      const print = `${size}/${mtime?.getTime() ?? ""}`;
      if (known?.print === print && known.state !== "suspect") return;
      if (size > FILE_BYTES_MAX) throw new Error(`must be at most ${FILE_BYTES_MAX} bytes`);
      const text = await Deno.readTextFile(path);
      const writtenAt = mtime ? toTime(mtime.getTime()) : "";
      await this.#take(name, { print, text, writtenAt });
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return; // gone since it was listed: the next look
      await this.#refuse(name, `error ${errorChain(error)}`, errorChain(error));
    }
  }

  async #take(
    name: string,
    { print, text, writtenAt }: { print: string; text: string; writtenAt: string },
  ): Promise<void> {
    try {
      const pod = parseStaticPod({ name, text, writtenAt }, this.#options.nodeName);
      const owner = this.#ownerOf(pod, name);
      if (owner) throw new Error(`pod ${pod.metadata.name} is described by ${owner} already`);
      this.#entries.set(name, { print, state: "good", text, pod });
    } catch (error) {
      await this.#refuse(name, print, errorChain(error));
    }
  }

  #ownerOf({ metadata }: Pod, name: string): string | undefined {
    const found = [...this.#entries].find(([other, { pod }]) =>
      other !== name && pod?.metadata.name === metadata.name &&
      pod?.metadata.namespace === metadata.namespace
    );
    return found?.[0];
  }

  /** Told when it is found twice alike: a file that is being written is not yet broken. */
  async #refuse(name: string, print: string, problem: string): Promise<void> {
    const known = this.#entries.get(name);
    const again = known?.print === print && known.state !== "good";
    const state = again ? "broken" : "suspect";
    const { text = "", pod } = known ?? {};
    this.#entries.set(name, { print, state, text, pod });
    if (!again || known.state === "broken") return;
    const rest = pod ? "; the pod goes on as it was" : "";
    await this.#tell(`Cannot use static pod file ${this.#options.dir}/${name}: ${problem}${rest}`);
  }

  async #tell(message: string): Promise<void> {
    const { events, nodeName } = this.#options;
    this.#log.warn(message);
    const involvedObject = { apiVersion: "v1", kind: "Node", name: nodeName, uid: nodeName };
    try {
      await events.record({ involvedObject, type: "Warning", reason: "FailedStaticPod", message });
    } catch (error) {
      this.#log.warn("Cannot record event", { error: errorChain(error) });
    }
  }

  /** What would make pods other than they are. */
  #print(): string {
    return [...this.#entries].map(([name, { pod }]) => `${name}=${pod?.metadata.uid}`).join();
  }

  async #keepCache(): Promise<void> {
    const files = Object.fromEntries(
      [...this.#entries].flatMap(([name, { text, pod }]) => (pod ? [[name, text]] : [])),
    );
    try {
      const text = JSON.stringify({ version: 1, sum: sumOf(files), files });
      await writeFileAtomic(this.#options.cacheFile, text, 0o600);
    } catch (error) {
      this.#log.warn("Cannot keep static pods", { error: errorChain(error) });
    }
  }

  async #loadCache(): Promise<void> {
    const { cacheFile, nodeName } = this.#options;
    try {
      const cache: unknown = JSON.parse(await Deno.readTextFile(cacheFile));
      for (const [name, text] of filesOf(cache)) {
        const pod = parseStaticPod({ name, text, writtenAt: "" }, nodeName);
        this.#entries.set(name, { print: "", state: "good", text, pod });
      }
      if (this.#entries.size > 0) this.changes.notify();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      this.#log.warn("Cannot read what was kept of static pods", {
        file: cacheFile,
        error: errorChain(error),
      });
    }
  }
}

/** Of what was kept: a flipped bit would make another pod, beside the one that runs. */
function sumOf(files: unknown): string {
  return createHash("sha256").update(JSON.stringify(files)).digest("hex");
}

/** Files as they were kept, also by versions that kept no sum; throws where they are damaged. */
function filesOf(cache: unknown): [string, string][] {
  if (!isJsonObject(cache) || !isJsonObject(cache.files)) throw new AppError("invalid", "no files");
  const { sum, files } = cache;
  if (sum !== undefined && sum !== sumOf(files)) {
    throw new AppError("invalid", "it fails its checksum");
  }
  return Object.entries(files).filter((entry): entry is [string, string] =>
    typeof entry[1] === "string"
  );
}
