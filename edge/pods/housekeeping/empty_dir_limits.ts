/**
 * emptyDir volumes on disk that have outgrown their sizeLimit: the pod has broken its own word and
 * is Failed as Evicted, as kubelet does. Volumes in memory are bounded by their file system. The
 * walk is made once a minute, only for pods that state a limit.
 */
import type { Changes } from "../../../shared/async/wakeup.ts";
import { errorChain } from "../../../shared/errors.ts";
import { tryParseQuantity, wholeValue } from "../../../shared/k8s/quantity.ts";
import type { Pod } from "../../../shared/k8s/types.ts";
import { roomLogger } from "../../../shared/log.ts";
import type { PodVerdict } from "../plan_deadline.ts";
import { isSafeName } from "../volumes/paths.ts";

export interface EmptyDirLimitsOptions {
  desiredPods: () => readonly Pod[];
  /** Notified when desired pods may be others. */
  changes: Changes;
  podDir: (uid: string) => string;
  /** A verdict was found: look at this pod. */
  onVerdict: (uid: string) => void;
}

interface Limited {
  uid: string;
  name: string;
  limit: string;
  bytesMax: number;
}

export class EmptyDirLimits {
  readonly #options: EmptyDirLimitsOptions;
  readonly #verdicts = new Map<string, PodVerdict>();
  readonly #log = roomLogger("edge", "pods", "volumes");
  /** Of the pods as they were when they were last read; most nodes have none. */
  #limited: Limited[] = [];
  #isStale = true;

  constructor(options: EmptyDirLimitsOptions) {
    this.#options = options;
    options.changes.subscribe(() => this.#isStale = true);
  }

  verdict(uid: string): PodVerdict | undefined {
    return this.#verdicts.get(uid);
  }

  async check(signal: AbortSignal): Promise<void> {
    if (this.#isStale) this.#readPods();
    for (const { uid, name, limit, bytesMax } of this.#limited) {
      if (this.#verdicts.has(uid)) continue;
      signal.throwIfAborted();
      const path = `${this.#options.podDir(uid)}/volumes/${name}`;
      if (await this.#bytes(path, bytesMax) <= bytesMax) continue;
      const message = `Usage of EmptyDir volume "${name}" exceeds the limit "${limit}". `;
      this.#verdicts.set(uid, { type: "Warning", reason: "Evicted", message });
      this.#options.onVerdict(uid);
    }
  }

  #readPods(): void {
    this.#isStale = false;
    const pods = this.#options.desiredPods();
    const uids = new Set(pods.map((pod) => pod.metadata.uid ?? ""));
    for (const uid of this.#verdicts.keys()) if (!uids.has(uid)) this.#verdicts.delete(uid);
    this.#limited = pods.flatMap(limitedVolumes);
  }

  async #bytes(path: string, enough: number): Promise<number> {
    try {
      return await folderBytes(path, enough);
    } catch (error) {
      // Files come and go under the walk; the next one sees what is there then.
      this.#log.debug("Cannot measure volume", { path, error: errorChain(error) });
      return 0;
    }
  }
}

function limitedVolumes(pod: Pod): Limited[] {
  return (pod.spec?.volumes ?? []).flatMap(({ name, emptyDir }) => {
    const limit = emptyDir && !emptyDir.medium ? emptyDir.sizeLimit : undefined;
    const quantity = limit === undefined ? undefined : tryParseQuantity(String(limit));
    const bytesMax = quantity ? wholeValue(quantity) : 0;
    if (bytesMax <= 0 || !isSafeName(name)) return [];
    return [{ uid: pod.metadata.uid ?? "", name, limit: String(limit), bytesMax }];
  });
}

/** Bytes on disk below `path`; stops counting once there are more than `enough`. */
async function folderBytes(path: string, enough: number): Promise<number> {
  let bytes = 0;
  for await (const entry of Deno.readDir(path)) {
    const inner = `${path}/${entry.name}`;
    const info = await Deno.lstat(inner);
    bytes += (info.blocks ?? 0) * 512;
    if (bytes <= enough && info.isDirectory) bytes += await folderBytes(inner, enough - bytes);
    if (bytes > enough) break;
  }
  return bytes;
}
