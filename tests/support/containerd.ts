/**
 * A private containerd in a folder of its own, with the CRI plugin, the pause image and, when
 * asked, a pod network. Needs root, containerd, runc and busybox; with `cni` also the CNI plugins
 * and iptables. `stop()` (or disposal) ends its containers and leaves nothing: no process, mount,
 * bridge, rule or file.
 */
import { join } from "@std/path";
import { SystemRandom } from "../../shared/random.ts";
import { AppError } from "../../shared/errors.ts";
import {
  chooseSnapshotter,
  cniConfDirOf,
  cniConflist,
  containerdToml,
  freeSubnet,
  lacksSysResource,
  type Network,
  socketOf,
} from "./containerd_config.ts";
import { configFormatOf, containerdPrograms } from "./containerd_programs.ts";
import { endProcesses, removeCniNotes, removeNetwork, unmountBelow } from "./containerd_sweep.ts";
import { buildBusybox, buildPause, type Image, PAUSE_IMAGE, writeArchive } from "./images.ts";
import { type Child, must, run, startChild } from "./process.ts";
import { cniBinDir } from "./requirements.ts";

/** Where CRI keeps its containers. */
const NAMESPACE = "k8s.io";

/** The service itself; containerd 2.x has further plugins of that name, which it needs. */
const CRI_PLUGIN = /^io\.containerd\.grpc\.v1\s+cri\s/;

export interface ContainerdOptions {
  /** An existing folder to live in; a temporary one when left out. Removed by stop(). */
  dir?: string;
  /** Give pods a bridge network with addresses and host ports. */
  cni?: boolean;
  /** Images to import beside the pause image; busybox when left out. */
  images?: Image[];
  /** Runtime handlers beside runc, which is the default: name to program. */
  handlers?: Record<string, string>;
}

export class Containerd implements AsyncDisposable {
  readonly dir: string;
  readonly socket: string;
  /** The endpoint as `--runtime-endpoint` takes it. */
  readonly endpoint: string;
  readonly network: Network | undefined;
  /** Names of those beside runc; each keeps its state in a folder of its own. */
  readonly #handlers: readonly string[];
  #child: Child | undefined;

  constructor(dir: string, network: Network | undefined, handlers: readonly string[] = []) {
    this.dir = dir;
    this.#handlers = handlers;
    this.socket = socketOf(dir);
    this.endpoint = `unix://${this.socket}`;
    this.network = network;
  }

  /** Starts the daemon, again after crash(), and waits until it answers. */
  async start(): Promise<void> {
    const { containerd, path } = await containerdPrograms();
    this.#child = await startChild({
      name: "containerd",
      command: containerd,
      args: ["--config", join(this.dir, "config.toml")],
      env: { PATH: path },
      logDir: this.dir,
    });
    await this.#child.waitFor("an answer on its socket", async () => {
      const plugins = await this.#ctr(["plugins", "ls"]);
      if (plugins.code !== 0) return undefined;
      const cri = plugins.stdout.split("\n").find((line) => CRI_PLUGIN.test(line));
      if (cri && /\berror\b/.test(cri)) throw new AppError("unavailable", cri);
      return /\bok\b/.test(cri ?? "");
    }, 20_000);
  }

  /** Kills the daemon as a power cut would; containers go on under their shims. */
  async crash(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.stop();
  }

  /** What a reboot of the machine leaves: its records, and not one process, mount or state. */
  async reboot(): Promise<void> {
    await this.crash();
    await endProcesses(this.dir);
    await unmountBelow(this.dir);
    for (const name of ["state", "runc", ...this.#handlers]) {
      await Deno.remove(join(this.dir, name), { recursive: true });
    }
    if (this.network) await run("ip", ["link", "delete", this.network.bridge]);
    await this.start();
  }

  /** Runs `ctr` against this containerd, in CRI's namespace, and gives what it prints. */
  async ctr(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#ctr(["-n", NAMESPACE, ...args]);
    if (code !== 0) throw new AppError("internal", `ctr ${args.join(" ")}: ${stderr.trim()}`);
    return stdout;
  }

  async importImage(image: Image): Promise<void> {
    const archive = await writeArchive(image, this.dir);
    await this.ctr("images", "import", archive);
    await Deno.remove(archive);
  }

  /** Ids of the containers there are, sandboxes included. */
  async containers(): Promise<string[]> {
    return (await this.ctr("containers", "ls", "-q")).split("\n").filter((id) => id !== "");
  }

  /** Pids of the running tasks by container id. */
  async tasks(): Promise<Map<string, number>> {
    const rows = (await this.ctr("tasks", "ls")).split("\n").slice(1);
    const running = rows.map((row) => row.trim().split(/\s+/)).filter((row) =>
      row[2] === "RUNNING"
    );
    return new Map(running.map(([id = "", pid]) => [id, Number(pid)]));
  }

  /** The last lines the daemon logged. */
  async log(): Promise<string> {
    return await this.#child?.tail() ?? "";
  }

  /** Ends every container, the daemon, and all it left on the machine. */
  async stop(): Promise<void> {
    const ids = this.#child?.running ? await this.#endContainers() : [];
    await this.#child?.stop();
    await endProcesses(this.dir);
    await unmountBelow(this.dir);
    if (this.network) await removeNetwork(this.network);
    await removeCniNotes([this.network?.name, ...ids.map((id) => `cni-loopback-${id}`)]);
    await Deno.remove(this.dir, { recursive: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Best effort: whatever stays is ended by pid afterwards. */
  async #endContainers(): Promise<string[]> {
    const { stdout } = await this.#ctr(["-n", NAMESPACE, "containers", "ls", "-q"]);
    const ids = stdout.split("\n").filter((id) => id !== "");
    if (ids.length === 0) return ids;
    await this.#ctr(["-n", NAMESPACE, "tasks", "rm", "-f", ...ids]);
    await this.#ctr(["-n", NAMESPACE, "containers", "rm", ...ids]);
    return ids;
  }

  async #ctr(args: string[]) {
    const { ctr } = await containerdPrograms();
    return await run(ctr, ["--address", this.socket, "--connect-timeout", "2s", ...args]);
  }
}

/** A running private containerd with its images imported. */
export async function startContainerd(options: ContainerdOptions = {}): Promise<Containerd> {
  const dir = options.dir ?? await Deno.makeTempDir({ prefix: "skerry-ctd-" });
  const network = options.cni ? await chooseNetwork() : undefined;
  const binDir = cniBinDir();
  if (network && !binDir) {
    throw new AppError("unavailable", "Cannot give pods a network: the CNI plugins are missing");
  }
  const { handlers = {} } = options;
  const containerd = new Containerd(dir, network, Object.keys(handlers));
  const config = {
    dir,
    format: await configFormatOf(await containerdPrograms()),
    sandboxImage: PAUSE_IMAGE,
    snapshotter: await chooseSnapshotter(dir),
    restrictOomScoreAdj: lacksSysResource(await Deno.readTextFile("/proc/self/status")),
    cniBinDir: binDir,
    handlers,
  };
  await Deno.mkdir(cniConfDirOf(dir), { recursive: true });
  await Deno.writeTextFile(join(dir, "config.toml"), containerdToml(config));
  if (network) {
    const file = join(cniConfDirOf(dir), "10-skerry.conflist");
    await Deno.writeTextFile(file, cniConflist(network, dir));
  }
  try {
    await containerd.start();
    const images = options.images ?? [await buildBusybox()];
    for (const image of [await buildPause(), ...images]) await containerd.importImage(image);
  } catch (error) {
    await containerd.stop();
    throw error;
  }
  return containerd;
}

async function chooseNetwork(): Promise<Network> {
  const random = new SystemRandom();
  const id = random.bytes(4).toHex();
  const routes = await must("ip", ["-4", "route", "show", "table", "all"]);
  const subnet = freeSubnet(routes, random.float());
  const rules = await run("iptables", ["-t", "nat", "-S"]);
  const ownsHostPorts = !rules.stdout.includes("CNI-HOSTPORT-DNAT");
  return { name: `skerry-${id}`, bridge: `sk${id}`, subnet, ownsHostPorts };
}
