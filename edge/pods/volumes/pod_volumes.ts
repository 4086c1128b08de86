/**
 * The volumes of pods on this node's disk, below `<podsDir>/<uid>`. `prepare` may be called at any
 * time and as often as one likes: it makes what is missing, swaps in changed content, and leaves a
 * running pod's mounts alone. `remove` takes everything of a pod away.
 */
import { AppError, errorChain } from "../../../shared/errors.ts";
import { tryParseQuantity, wholeValue } from "../../../shared/k8s/quantity.ts";
import type { Container, Pod, Volume, VolumeMount } from "../../../shared/k8s/types.ts";
import { roomLogger } from "../../../shared/log.ts";
import { MountPropagation } from "../../../shared/gen/runtime/v1/api_pb.ts";
import { expand } from "../env.ts";
import type { MountInit } from "../to_cri.ts";
import { writeAtomically } from "./atomic_writer.ts";
import { claimedPath, claimOf, type NfsVolume, type StorageSource, toExport } from "./claim.ts";
import { prepareHostPath } from "./host_path.ts";
import type { Mounter, NfsExport } from "./mounter.ts";
import { changePolicy, giveToGroup } from "./ownership.ts";
import { isSafeName } from "./paths.ts";
import { type PayloadContext, volumePayload } from "./payload.ts";
import { resolveSubPath } from "./sub_path.ts";

/** A volume that cannot be set up; the message names it, in kubelet's words. */
export class VolumeError extends Error {
  override readonly name = "VolumeError";
}

export interface PreparedVolume {
  path: string;
  /** Content that comes from the API is never written by containers. */
  readOnly: boolean;
}

/** Without a ledger nobody has claimed anything. */
const NO_STORAGE: StorageSource = { claim: () => undefined, volume: () => undefined };

export type PreparedVolumes = ReadonlyMap<string, PreparedVolume>;

export class PodVolumes {
  readonly #podsDir: string;
  readonly #mounter: Mounter;
  readonly #log = roomLogger("edge", "pods", "volumes");

  constructor(podsDir: string, mounter: Mounter) {
    this.#podsDir = podsDir;
    this.#mounter = mounter;
  }

  podDir(uid: string): string {
    return `${this.#podsDir}/${uid}`;
  }

  /** Throws VolumeError for the first volume that cannot be set up. */
  async prepare(context: PayloadContext): Promise<PreparedVolumes> {
    const prepared = new Map<string, PreparedVolume>();
    for (const volume of context.pod.spec.volumes ?? []) {
      try {
        prepared.set(volume.name, await this.#prepareOne(volume, context));
      } catch (error) {
        throw new VolumeError(
          `MountVolume.SetUp failed for volume "${volume.name}" : ${errorChain(error)}`,
          { cause: error },
        );
      }
    }
    return prepared;
  }

  async #prepareOne(volume: Volume, context: PayloadContext): Promise<PreparedVolume> {
    if (!isSafeName(volume.name)) {
      throw new AppError("invalid", `volume name must be a DNS label, got "${volume.name}"`);
    }
    const { uid = "" } = context.pod.metadata;
    const path = `${this.podDir(uid)}/volumes/${volume.name}`;
    if (volume.hostPath) {
      await prepareHostPath(volume.hostPath.path, volume.hostPath.type ?? "");
      return { path: volume.hostPath.path, readOnly: false };
    }
    const claim = claimOf(volume, context.pod);
    if (claim) return await this.#prepareClaim(claim, context, volume.name);
    const nfs = volume.nfs as NfsVolume | undefined; // core/v1
    if (nfs) return await this.#prepareNfs(toExport(nfs, []), path, nfs.readOnly === true);
    if (volume.emptyDir) {
      await this.#prepareEmptyDir(path, volume.emptyDir, context.pod);
      return { path, readOnly: false };
    }
    const payload = volumePayload(volume, context);
    if (!payload) {
      const source = Object.keys(volume).filter((key) => key !== "name").join(", ");
      throw new AppError("unimplemented", `volume source ${source || "(none)"} is not supported`);
    }
    await Deno.mkdir(path, { recursive: true, mode: 0o755 });
    if (holdsSecrets(volume)) await this.#tryTmpfs(path);
    const gid = context.pod.spec.securityContext?.fsGroup;
    await writeAtomically(path, payload, gid === undefined ? {} : { gid });
    return { path, readOnly: true };
  }

  async #prepareClaim(
    claim: { name: string; readOnly: boolean },
    { pod, storage }: PayloadContext,
    name: string,
  ): Promise<PreparedVolume> {
    const { namespace = "default", uid = "" } = pod.metadata;
    const claimed = claimedPath(claim, namespace, storage ?? NO_STORAGE);
    if ("nfs" in claimed) {
      const point = `${this.podDir(uid)}/volumes/${name}`;
      return await this.#prepareNfs(claimed.nfs, point, claimed.readOnly);
    }
    const { path, type, readOnly, takesGroup } = claimed;
    await prepareHostPath(path, type);
    if (takesGroup && !readOnly) await this.#giveOnce(path, name, pod);
    return { path, readOnly };
  }

  /**
   * As a mount is made once for a pod and a boot of the machine, so are its files given to the
   * pod's group: not again when the agent starts anew or a container does.
   */
  async #giveOnce(path: string, name: string, pod: Pod): Promise<void> {
    const { fsGroup, fsGroupChangePolicy } = pod.spec.securityContext ?? {};
    if (fsGroup === undefined) return;
    const policy = changePolicy(fsGroupChangePolicy);
    const done = `${path} ${fsGroup} ${await bootId()}`;
    const folder = `${this.podDir(pod.metadata.uid ?? "")}/volume-groups`;
    const note = `${folder}/${name}`;
    if (await Deno.readTextFile(note).catch(() => "") === done) return;
    await giveToGroup(path, fsGroup, policy);
    await Deno.mkdir(folder, { recursive: true, mode: 0o750 });
    await Deno.writeTextFile(note, done);
  }

  /** What lies there belongs to the server: it is given to no group. */
  async #prepareNfs(source: NfsExport, path: string, readOnly: boolean): Promise<PreparedVolume> {
    await makeFolder(path);
    await this.#mounter.mountNfs(source, path);
    return { path, readOnly };
  }

  async #prepareEmptyDir(
    path: string,
    source: { medium?: string; sizeLimit?: string },
    pod: Pod,
  ): Promise<void> {
    const isNew = await makeFolder(path);
    if (source.medium === "Memory") {
      const limit = source.sizeLimit ? tryParseQuantity(String(source.sizeLimit)) : undefined;
      await this.#mounter.mountTmpfs(path, limit ? wholeValue(limit) : 0);
    } else if (source.medium) {
      throw new AppError("unimplemented", `emptyDir medium ${source.medium} is not supported`);
    }
    if (!isNew) return;
    const gid = pod.spec.securityContext?.fsGroup;
    if (gid !== undefined) await Deno.chown(path, null, gid);
    await Deno.chmod(path, gid === undefined ? 0o777 : 0o2777);
  }

  /** Secrets belong in memory; where no tmpfs can be had, in a folder only root can enter. */
  async #tryTmpfs(path: string): Promise<void> {
    try {
      await this.#mounter.mountTmpfs(path, 0);
      await Deno.chmod(path, 0o755);
    } catch (error) {
      this.#log.debug("Secret volume is kept on disk", { path, error: errorChain(error) });
    }
  }

  /** The mounts a container asks for; AppError when one names no volume or leaves it. */
  async mounts(
    uid: string,
    container: Container,
    volumes: PreparedVolumes,
    env: ReadonlyMap<string, string>,
  ): Promise<MountInit[]> {
    const mounts: MountInit[] = [];
    for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
      const volume = volumes.get(mount.name);
      if (!volume) {
        throw new AppError(
          "not_found",
          `mount of ${container.name} names no volume: ${mount.name}`,
        );
      }
      const part = mount.subPathExpr ? expand(mount.subPathExpr, env) : mount.subPath;
      mounts.push({
        containerPath: mount.mountPath.startsWith("/") ? mount.mountPath : `/${mount.mountPath}`,
        hostPath: part
          ? await this.#subPath(volume.path, part, [uid, mount.name, container.name, index])
          : volume.path,
        readonly: volume.readOnly || mount.readOnly === true,
        propagation: propagation(mount),
      });
    }
    return mounts;
  }

  /**
   * A part of a volume. What the runtime is given is a mount of our own that shows it, so that a
   * container that swaps a folder for a link between look and mount gains nothing.
   */
  async #subPath(
    root: string,
    part: string,
    [uid, volume, container, index]: readonly [string, string, string, number],
  ): Promise<string> {
    const resolved = await resolveSubPath(root, part);
    if (!isSafeName(container)) {
      throw new AppError("invalid", `container name must be a DNS label, got "${container}"`);
    }
    const target = `${this.podDir(uid)}/volume-subpaths/${volume}/${container}/${index}`;
    const isWithin = await this.#mounter.bindWithin(await Deno.realPath(root), resolved, target);
    if (isWithin === undefined) return resolved;
    if (!isWithin) throw new AppError("invalid", `subPath "${part}" leaves its volume`);
    return target;
  }

  /** Uids that have a folder here. */
  async uids(): Promise<string[]> {
    const found: string[] = [];
    try {
      for await (const entry of Deno.readDir(this.#podsDir)) {
        if (entry.isDirectory) found.push(entry.name);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    return found;
  }

  /** Unmounts and removes all of a pod's folder; absent is done. */
  async remove(uid: string): Promise<void> {
    const dir = this.podDir(uid);
    try {
      await Deno.lstat(dir);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw error;
    }
    await this.#mounter.unmountBelow(dir);
    await Deno.remove(dir, { recursive: true });
  }
}

function holdsSecrets(volume: Volume): boolean {
  const projected = volume.projected as // core/v1
  | { sources?: { secret?: unknown; serviceAccountToken?: unknown }[] }
  | undefined;
  return volume.secret !== undefined ||
    (projected?.sources ?? []).some((one) => one.secret || one.serviceAccountToken);
}

/** Unknown on a machine without /proc: then every pod's volumes are given once. */
async function bootId(): Promise<string> {
  return (await Deno.readTextFile("/proc/sys/kernel/random/boot_id").catch(() => "")).trim();
}

async function makeFolder(path: string): Promise<boolean> {
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o755 });
  try {
    await Deno.mkdir(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

function propagation(mount: VolumeMount): MountPropagation {
  switch (mount.mountPropagation) {
    case "HostToContainer":
      return MountPropagation.PROPAGATION_HOST_TO_CONTAINER;
    case "Bidirectional":
      return MountPropagation.PROPAGATION_BIDIRECTIONAL;
    default:
      return MountPropagation.PROPAGATION_PRIVATE;
  }
}
