/**
 * A whole site on one machine: a private containerd, the cloud on its embedded store, an edge that
 * reaches it through a relay, and clients for both APIs. Everything lives below one folder and on
 * free ports; disposal leaves nothing. `startSite()` does all steps; the demo takes them one by
 * one.
 */
import { join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import type { Node, Pod } from "../../shared/k8s/types.ts";
import { type Containerd, type ContainerdOptions, startContainerd } from "./containerd.ts";
import { anyKubectl, KubectlClient } from "./kubectl.ts";
import { type Child, must, run, type RunResult, startChild } from "./process.ts";
import { findPrograms, type Programs } from "./programs.ts";
import { openRelay, type Relay } from "./relay.ts";
import { CloudClient, conditionOf, EdgeClient } from "./site_clients.ts";
import { podCgroups, removeCgroups, unmountAll } from "./site_sweep.ts";
import { until } from "./until.ts";

/** A start from source on a busy machine with two cores takes a second or two. */
const START_TIMEOUT_MS = 30_000;

export interface SiteOptions {
  /** An existing folder to live in; a temporary one when left out. Removed at the end. */
  dir?: string;
  nodeName?: string;
  programs?: Programs;
  containerd?: ContainerdOptions;
  /** Size of a file system of its own for the edge's data ("48m"); the machine's when left out. */
  edgeDisk?: string;
  /** Where the edge of a site in `dir` looks for its runtime, if not at the private containerd. */
  runtimeEndpoint?: (dir: string) => string;
  /** More flags to join with, for a site in `dir`. */
  joinFlags?: (dir: string) => string[];
}

export class Site implements AsyncDisposable {
  readonly dir: string;
  readonly nodeName: string;
  readonly programs: Programs;
  /** Of edges started from now on. */
  edgeEnv: Record<string, string> = {};
  readonly #options: SiteOptions;
  #containerd: Containerd | undefined;
  #relay: Relay | undefined;
  #cloud: Child | undefined;
  #edge: Child | undefined;
  #kubectl: KubectlClient | undefined;
  #cloudClient: CloudClient | undefined;
  #edgeClient: EdgeClient | undefined;

  constructor(dir: string, options: SiteOptions = {}) {
    this.dir = dir;
    this.nodeName = options.nodeName ?? "edge-1";
    this.programs = options.programs ?? findPrograms();
    this.#options = options;
  }

  get cloudDir(): string {
    return join(this.dir, "cloud");
  }

  get edgeDir(): string {
    return join(this.dir, "edge");
  }

  get kubeconfig(): string {
    return join(this.cloudDir, "admin.kubeconfig");
  }

  get containerd(): Containerd {
    return there(this.#containerd, "the runtime");
  }

  get relay(): Relay {
    return there(this.#relay, "the link");
  }

  get cloud(): CloudClient {
    return there(this.#cloudClient, "the cloud");
  }

  get edge(): EdgeClient {
    return there(this.#edgeClient, "the edge");
  }

  get edgeProcess(): Child {
    return there(this.#edge, "the edge");
  }

  get cloudProcess(): Child {
    return there(this.#cloud, "the cloud");
  }

  get kubectl(): KubectlClient {
    return there(this.#kubectl, "kubectl");
  }

  /** The bridge of the pods, to look for it afterwards. */
  get bridge(): string | undefined {
    return this.#containerd?.network?.bridge;
  }

  async startContainerd(): Promise<void> {
    const dir = join(this.dir, "containerd");
    await Deno.mkdir(dir, { recursive: true });
    this.#containerd = await startContainerd({ cni: true, ...this.#options.containerd, dir });
  }

  /** Starts the cloud, again on the addresses it had; `flags` go to `run`. */
  async startCloud(...flags: string[]): Promise<void> {
    const listen = this.#cloudClient?.listen ??
      { api: "127.0.0.1:0", hub: "127.0.0.1:0", admin: "127.0.0.1:0" };
    const args = ["run", "--data-dir", this.cloudDir, ...flags];
    for (const [name, address] of Object.entries(listen)) args.push(`--${name}-listen`, address);
    const addresses = await forgetAddresses(this.cloudDir);
    this.#cloud = await this.#start("cloud", this.programs.cloud, args);
    const found = await this.#cloud.waitForJson(addresses, START_TIMEOUT_MS);
    this.#cloudClient?.close();
    this.#cloudClient = await CloudClient.open(found, this.kubeconfig);
    this.#relay ??= openRelay(this.#cloudClient.listen.hub);
    const kubectl = this.#kubectl ? undefined : await anyKubectl();
    if (kubectl) {
      const cache = join(this.dir, "kubectl-cache");
      this.#kubectl = new KubectlClient(kubectl, this.kubeconfig, cache);
    }
  }

  get hasKubectl(): boolean {
    return this.#kubectl !== undefined;
  }

  async createToken(...args: string[]): Promise<string> {
    const words = ["token", "create", "--data-dir", this.cloudDir, ...args];
    return (await must(this.programs.cloud, words)).trim();
  }

  /** The words of the join command. */
  joinArgs(token: string, dataDir = this.edgeDir): string[] {
    const endpoint = this.#options.runtimeEndpoint?.(this.dir) ?? this.#containerd?.endpoint;
    return [
      ["join", "--cloud", `127.0.0.1:${this.relay.port}`, "--token", token],
      ["--node-name", this.nodeName],
      ["--runtime-endpoint", there(endpoint, "the runtime")],
      ["--data-dir", dataDir, "--pod-logs-dir", join(dataDir, "pod-logs")],
      ["--no-systemd", "--api-listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"],
      ["--dmi-socket", join(dataDir, "dmi.sock")],
      this.#options.joinFlags?.(this.dir) ?? [],
    ].flat();
  }

  join(args: string[]): Promise<RunResult> {
    return run(this.programs.edge, args);
  }

  async mustJoin(): Promise<void> {
    const args = this.joinArgs(await this.createToken());
    const { code, stderr } = await this.join(args);
    if (code !== 0) throw new AppError("internal", `join: exit ${code}: ${stderr.trim()}`);
  }

  /** Starts the edge and waits until its local API listens. */
  async startEdge(): Promise<void> {
    const addresses = await forgetAddresses(this.edgeDir);
    this.#edge = await this.#start("edge", this.programs.edge, this.edgeRunArgs(), this.edgeEnv);
    const found = await this.#edge.waitForJson(addresses, START_TIMEOUT_MS);
    this.#edgeClient = new EdgeClient(found);
  }

  edgeRunArgs(): string[] {
    return ["run", "--data-dir", this.edgeDir];
  }

  /** Ends the edge as a power cut would; containers go on. */
  async killEdge(): Promise<void> {
    this.edgeProcess.kill("SIGKILL");
    await this.edgeProcess.stop();
  }

  async killCloud(): Promise<void> {
    this.cloudProcess.kill("SIGKILL");
    await this.cloudProcess.stop();
  }

  /** Waits until the cloud sees the node Ready=`status`. */
  async nodeIs(status: "True" | "False" | "Unknown", timeoutMs = 60_000): Promise<Node> {
    return await until(async () => {
      const node = await this.cloud.node(this.nodeName);
      return conditionOf(node, "Ready")?.status === status && node;
    }, { what: `node ${this.nodeName} with Ready=${status}`, timeoutMs, everyMs: 50 });
  }

  /** Waits until the cloud's copy of a pod holds `condition`. */
  async podIs(
    name: string,
    what: string,
    condition: (pod: Pod) => boolean,
    timeoutMs = 30_000,
  ): Promise<Pod> {
    let last: Pod | undefined;
    try {
      return await until(async () => {
        last = await this.cloud.pod(name);
        return condition(last) && last;
      }, { what: `pod ${name} ${what}`, timeoutMs, everyMs: 50 });
    } catch (error) {
      const status = JSON.stringify(last?.status ?? null).slice(0, 2_000);
      throw new AppError("unavailable", `Waited in vain, status is ${status}`, {}, {
        cause: error,
      });
    }
  }

  async podRuns(name: string, timeoutMs = 30_000): Promise<Pod> {
    return await this.podIs(name, "Running", (pod) => pod.status?.phase === "Running", timeoutMs);
  }

  /** Waits until the cloud has no such pod any more. */
  async podGone(name: string, timeoutMs = 30_000): Promise<void> {
    await until(async () => await this.cloud.find(CloudClient.podPath(name)) === undefined, {
      what: `pod ${name} to be gone`,
      timeoutMs,
      everyMs: 50,
    });
  }

  /** The last lines of every program, for a failure. */
  async tails(): Promise<string> {
    const parts: string[] = [];
    for (const child of [this.#cloud, this.#edge]) {
      if (child) parts.push(`--- ${child.name} (${child.logFile})\n${await child.tail()}`);
    }
    if (this.#containerd) {
      const faults = (await this.#containerd.log()).split("\n")
        .filter((line) => /level=(warning|error|fatal)/.test(line));
      parts.push(["--- containerd, warnings and errors", ...faults].join("\n"));
    }
    return parts.join("\n");
  }

  /** Ends everything and removes the folder; goes on where one part fails, then says so. */
  async [Symbol.asyncDispose](): Promise<void> {
    await using stack = new AsyncDisposableStack();
    stack.defer(async () => {
      await unmountAll(this.dir);
      await Deno.remove(this.dir, { recursive: true });
    });
    const cgroups = await podCgroups(await this.#containerd?.containers().catch(() => []) ?? []);
    stack.defer(() => removeCgroups(cgroups));
    if (this.#containerd) stack.use(this.#containerd);
    if (this.#relay) stack.use(this.#relay);
    stack.defer(() => this.#cloudClient?.close());
    stack.defer(async () => void await this.#cloud?.stop());
    stack.defer(async () => void await this.#edge?.stop());
  }

  #start(name: string, command: string, args: string[], env = {}): Promise<Child> {
    return startChild({ name, command, args, env, logDir: join(this.dir, "logs") });
  }
}

function there<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new AppError("unavailable", `Cannot use ${what}: not started`);
  return value;
}

/** A killed program leaves its addresses behind; they must not be taken for the next one's. */
async function forgetAddresses(dataDir: string): Promise<string> {
  const file = join(dataDir, "addresses.json");
  await Deno.remove(file).catch(() => {}); // absent is the goal
  return file;
}

export function newSite(options: SiteOptions = {}): Promise<Site> {
  const dir = options.dir ? Promise.resolve(options.dir) : Deno.makeTempDir({ prefix: "skerry-" });
  return dir.then((path) => new Site(path, options));
}

/** A running site, with its node Ready unless the runtime is left to the caller. */
export async function startSite(options: SiteOptions = {}): Promise<Site> {
  const site = await newSite(options);
  try {
    const runtime = options.runtimeEndpoint ? Promise.resolve() : site.startContainerd();
    const started = await Promise.allSettled([runtime, site.startCloud()]);
    const failed = started.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
    if (options.edgeDisk) await mountDisk(site.edgeDir, options.edgeDisk);
    await site.mustJoin();
    await site.startEdge();
    if (!options.runtimeEndpoint) await site.nodeIs("True");
    return site;
  } catch (error) {
    console.error(await site.tails());
    await site[Symbol.asyncDispose]();
    throw error;
  }
}

/** Unmounted with everything else below the site's folder. */
async function mountDisk(dir: string, size: string): Promise<void> {
  await Deno.mkdir(dir, { recursive: true });
  await must("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", dir]);
}
