/**
 * A private CRI-O in a folder of its own, the one that SKERRY_TEST_CRIO names by the path of its
 * program (`pinns` lies beside it). It needs root, conmon, runc and busybox, and gets its images
 * from a registry of ours. `stop()` ends its containers and leaves no process, mount or file.
 */
import { dirname, join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import { lacksSysResource } from "./containerd_config.ts";
import { processesBelow, unmountBelow } from "./containerd_sweep.ts";
import { buildBusybox, buildPause } from "./images.ts";
import { type Child, startChild, which } from "./process.ts";
import { Registry } from "./registry.ts";
import { cniBinDir } from "./requirements.ts";
import { until } from "./until.ts";

/** The CRI-O to run; undefined where none is named, for no machine has one by default. */
export function chosenCrio(): string | undefined {
  return Deno.env.get("SKERRY_TEST_CRIO") || undefined;
}

export interface CrioOptions {
  /** `enable_pod_events`, which is off by default. */
  events?: boolean;
}

export class Crio implements AsyncDisposable {
  readonly dir: string;
  readonly endpoint: string;
  readonly registry: Registry;
  /** A reference of busybox, which can be pulled. */
  readonly image: string;
  #child: Child | undefined;

  constructor(dir: string, registry: Registry, image: string) {
    this.dir = dir;
    this.endpoint = `unix://${join(dir, "crio.sock")}`;
    this.registry = registry;
    this.image = image;
  }

  async start(): Promise<void> {
    const command = chosenCrio();
    if (!command) {
      throw new AppError("unavailable", "Cannot start CRI-O: SKERRY_TEST_CRIO is unset");
    }
    this.#child = await startChild({
      name: "crio",
      command,
      args: [
        "--config",
        join(this.dir, "crio.conf"),
        "--config-dir",
        join(this.dir, "crio.conf.d"),
      ],
      env: { PATH: `${Deno.env.get("PATH") ?? ""}:/usr/sbin:/sbin` },
      logDir: this.dir,
    });
    const socket = join(this.dir, "crio.sock");
    await this.#child.waitFor("its socket", async () => {
      const connection = await Deno.connect({ transport: "unix", path: socket })
        .catch(() => undefined);
      connection?.close();
      return connection !== undefined;
    }, 30_000);
  }

  /** Kills the daemon as a power cut would; containers go on under their conmons. */
  async crash(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.stop();
  }

  /** The last lines the daemon logged. */
  async log(): Promise<string> {
    return await this.#child?.tail() ?? "";
  }

  async stop(): Promise<void> {
    await this.#child?.stop();
    await until(async () => {
      const pids = await processesBelow("conmon", this.dir);
      for (const pid of pids) {
        try {
          Deno.kill(pid, "SIGKILL");
        } catch {
          // ended between the look and the act
        }
      }
      return pids.length === 0;
    }, { what: `the containers of ${this.dir} to end` });
    await unmountBelow(this.dir);
    await this.registry[Symbol.asyncDispose]();
    await Deno.remove(this.dir, { recursive: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** A running private CRI-O. */
export async function startCrio(options: CrioOptions = {}): Promise<Crio> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-crio-" });
  const registry = new Registry();
  const image = await registry.add(await buildBusybox(), "lib/busybox", "1.36");
  const pause = await registry.add(await buildPause(), "lib/pause", "1");
  const crio = new Crio(dir, registry, image);
  try {
    for (const name of ["crio.conf.d", "net.d", "hooks", "policies"]) {
      await Deno.mkdir(join(dir, name));
    }
    const policy = { default: [{ type: "insecureAcceptAnything" }] };
    await Deno.writeTextFile(join(dir, "policy.json"), JSON.stringify(policy));
    const loopback = { cniVersion: "0.4.0", name: "skerry-lo", plugins: [{ type: "loopback" }] };
    await Deno.writeTextFile(join(dir, "net.d", "10-lo.conflist"), JSON.stringify(loopback));
    const parts = {
      dir,
      pause,
      registry: registry.host,
      conmon: await there("conmon"),
      runc: await runcFor(dir),
      pinns: join(dirname(chosenCrio() ?? ""), "pinns"),
      events: options.events === true,
    };
    await Deno.writeTextFile(join(dir, "crio.conf"), crioToml(parts));
    await crio.start();
    return crio;
  } catch (error) {
    await crio.stop();
    throw error;
  }
}

/**
 * runc, or, where no score may be lowered (as containerd's `restrict_oom_score_adj` minds), a
 * program that leaves the score of a container as it is and goes on as runc.
 */
async function runcFor(dir: string): Promise<string> {
  const runc = await there("runc");
  if (!lacksSysResource(await Deno.readTextFile("/proc/self/status"))) return runc;
  const path = join(dir, "runc-keeps-score");
  const script = `#!/bin/sh
before=
for arg in "$@"; do
  if [ "$before" = --bundle ]; then
    own=$(cat /proc/self/oom_score_adj)
    sed -i "s/\\"oomScoreAdj\\": *-[0-9]*/\\"oomScoreAdj\\":$own/" "$arg/config.json"
  fi
  before=$arg
done
exec ${runc} "$@"
`;
  await Deno.writeTextFile(path, script, { mode: 0o755 });
  return path;
}

async function there(name: string): Promise<string> {
  const path = await which(name);
  if (path) return path;
  throw new AppError("unavailable", `Cannot start CRI-O: ${name} is not on PATH`);
}

interface CrioParts {
  dir: string;
  pause: string;
  registry: string;
  conmon: string;
  runc: string;
  pinns: string;
  events: boolean;
}

function crioToml(parts: CrioParts): string {
  const quote = (value: string) => JSON.stringify(value);
  const at = (...names: string[]) => quote(join(parts.dir, ...names));
  return `[crio]
root = ${at("root")}
runroot = ${at("run")}
storage_driver = "overlay"
log_dir = ${at("logs")}
version_file = ${at("version")}
clean_shutdown_file = ${at("clean.shutdown")}

[crio.api]
listen = ${at("crio.sock")}

[crio.runtime]
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
container_exits_dir = ${at("exits")}
container_attach_socket_dir = ${at("attach")}
namespaces_dir = ${at("ns")}
pinns_path = ${quote(parts.pinns)}
hooks_dir = [${at("hooks")}]
irqbalance_config_restore_file = "disable"
enable_criu_support = false
enable_pod_events = ${parts.events}
default_runtime = "runc"

[crio.runtime.runtimes.runc]
runtime_path = ${quote(parts.runc)}
runtime_root = ${at("runc")}
monitor_path = ${quote(parts.conmon)}
monitor_cgroup = "pod"

[crio.image]
pause_image = ${quote(parts.pause)}
pause_command = ""
signature_policy = ${at("policy.json")}
signature_policy_dir = ${at("policies")}
insecure_registries = [${quote(parts.registry)}]

[crio.network]
network_dir = ${at("net.d")}
plugin_dirs = [${quote(cniBinDir() ?? join(parts.dir, "cni"))}]

[crio.nri]
enable_nri = false
`;
}
