/**
 * The cgroup of a pod as a whole, and those of the classes pods lie in: made with their limits
 * before the runtime puts containers into them, removed when the pod has ended. A machine that does
 * not let it (a read-only cgroup mount, no systemd on the bus) keeps the limits of the containers;
 * that is said once, and no pod waits for it.
 */
import { errorChain } from "../../shared/errors.ts";
import type { Pod } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import { type CgroupDriver, cgroupParent, cgroupParents } from "./cgroup.ts";
import { removePodCgroups } from "./cgroup_files.ts";
import {
  cgroupWrites,
  classLimits,
  type GroupLimits,
  podLimits,
  sliceProperties,
  slicesOf,
} from "./cgroup_limits.ts";
import type { SystemdSlices } from "./cgroup_slices.ts";
import { qosClass } from "./qos.ts";

export interface PodCgroupsOptions {
  /** Where the kernel shows cgroups. */
  root: string;
  isV2: boolean;
  driver: () => CgroupDriver;
  slices: SystemdSlices;
  /** Processes a pod may have; <= 0 for as many as it likes. */
  pidsMax: number;
  /** Sizes of huge pages the kernel has: "2Mi". */
  pageSizes: readonly string[];
  /** Pods of this node, for what their class shares. */
  pods: () => readonly Pod[];
}

const CONTROLLERS = ["cpu", "memory", "pids", "hugetlb"] as const;

export class PodCgroups {
  readonly #options: PodCgroupsOptions;
  readonly #log = roomLogger("edge", "pods", "cgroups");
  /** Around pods' own: seen to, and not gone since as far as is known. */
  readonly #outer = new Set<string>();
  /** Per shared cgroup, what was last written to it. */
  readonly #written = new Map<string, string>();
  /** Roots of the hierarchies this kernel has; of version 1 there are several. */
  #roots: Promise<string[]> | undefined;
  #hasComplained = false;

  constructor(options: PodCgroupsOptions) {
    this.#options = options;
  }

  async ensure(pod: Pod): Promise<void> {
    const { driver, pods } = this.#options;
    const parent = cgroupParent(pod, driver());
    const shared = classLimits(qosClass(pod), pods());
    const own = podLimits(pod, this.#options);
    try {
      if (driver() === "systemd") await this.#ensureSlices(parent, shared, own);
      else await this.#ensureFolders(parent, shared, own);
    } catch (error) {
      if (this.#hasComplained) return;
      this.#hasComplained = true;
      this.#log.warn("Cannot limit pods as a whole; their containers are limited", {
        cgroup: parent,
        error: errorChain(error),
      });
    }
  }

  async remove(uid: string): Promise<void> {
    const { driver, slices, root } = this.#options;
    if (driver() === "systemd") {
      for (const parent of cgroupParents(uid).filter((each) => each.endsWith(".slice"))) {
        try {
          await slices.stop(slicesOf(parent).at(-1)!); // a parent has at least its own slice
        } catch (error) {
          this.#log.debug("Cannot stop slice", { parent, error: errorChain(error) });
          break; // there is no systemd to be asked for the others either
        }
      }
    }
    await removePodCgroups(root, uid);
  }

  async #ensureSlices(parent: string, shared: GroupLimits, own: GroupLimits): Promise<void> {
    const { slices, isV2 } = this.#options;
    const units = slicesOf(parent);
    for (const [index, unit] of units.entries()) {
      // the outermost holds all pods, and is not limited here
      if (index === units.length - 1) await slices.ensure(unit, sliceProperties(own, isV2));
      else if (index > 0) await slices.ensure(unit, sliceProperties(shared, isV2));
    }
    // systemd has no word for huge pages
    await this.#write(parent, own);
  }

  async #ensureFolders(parent: string, shared: GroupLimits, own: GroupLimits): Promise<void> {
    const parts = parent.split("/").filter((part) => part !== "");
    const outer = parts.slice(0, -1).map((_, i) => `/${parts.slice(0, i + 1).join("/")}`);
    const roots = await (this.#roots ??= this.#findRoots());
    const make = async () => {
      // one after another: a second hierarchy is not there without the first
      for (const root of roots) await Deno.mkdir(`${root}${parent}`).catch(unlessThere);
    };
    if (!outer.every((path) => this.#outer.has(path))) await this.#ensureOuter(outer, roots);
    try {
      await make();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      await this.#ensureOuter(outer, roots);
      await make();
    }
    for (const path of outer.slice(1)) await this.#writeShared(path, shared);
    await this.#write(parent, own);
  }

  /** The cgroups around pods' own, with nothing known of what is written in them. */
  async #ensureOuter(outer: readonly string[], roots: readonly string[]): Promise<void> {
    const { root, isV2 } = this.#options;
    if (isV2) await this.#passControllers(root);
    for (const path of outer) {
      for (const each of roots) await makeFolder(`${each}${path}`);
      if (isV2) await this.#passControllers(`${root}${path}`);
      this.#written.delete(path);
      this.#outer.add(path);
    }
  }

  /** What a class shares changes when a pod comes or goes; most pods find it as it is. */
  async #writeShared(path: string, limits: GroupLimits): Promise<void> {
    const print = JSON.stringify(limits);
    if (this.#written.get(path) === print) return;
    this.#written.delete(path);
    await this.#write(path, limits);
    this.#written.set(path, print);
  }

  /** Of version 1 only the hierarchies this kernel has. */
  async #findRoots(): Promise<string[]> {
    const { root, isV2 } = this.#options;
    if (isV2) return [root];
    const found: string[] = [];
    for (const name of CONTROLLERS) {
      // systemd leaves empty folders where a kernel lacks a controller
      if (await exists(`${root}/${name}/cgroup.procs`)) found.push(`${root}/${name}`);
    }
    return found;
  }

  /** In version 2 a cgroup has the controllers that its parent hands down. */
  async #passControllers(dir: string): Promise<void> {
    for (const name of CONTROLLERS) {
      try {
        await Deno.writeTextFile(`${dir}/cgroup.subtree_control`, `+${name}`, { create: false });
      } catch {
        // not in this kernel, or not handed down to us: writing its files says so
      }
    }
  }

  async #write(path: string, limits: GroupLimits): Promise<void> {
    const { root, isV2 } = this.#options;
    for (const { controller, file, text } of cgroupWrites(limits, isV2)) {
      const dir = isV2 ? `${root}${path}` : `${root}/${controller}${path}`;
      try {
        await Deno.writeTextFile(`${dir}/${file}`, text, { create: false });
      } catch (error) {
        // a kernel without huge pages or without that controller has nothing to limit
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }
}

/** Absent hierarchies are left alone. */
async function makeFolder(dir: string): Promise<void> {
  try {
    await Deno.mkdir(dir);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists || error instanceof Deno.errors.NotFound) return;
    throw error;
  }
}

function unlessThere(error: unknown): void {
  if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false; // not there, or not for us: either way nothing can be made beside it
  }
}
