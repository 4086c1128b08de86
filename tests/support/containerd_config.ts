/**
 * What a private containerd is told: everything it writes lies below one folder (runc's state and
 * network namespaces too), and its pod network has its own name, bridge and subnet. In version 2 of
 * the format, which containerd 1.6 and 1.7 read, or 3, that of 2.x. Pure, but for the looks at the
 * machine at the end.
 */
import { join } from "@std/path";
import { run } from "./process.ts";

export interface Network {
  /** Unique; also the prefix of what CNI leaves on the machine. */
  readonly name: string;
  readonly bridge: string;
  /** "10.x.y.0/24" */
  readonly subnet: string;
  /** True when the machine had no CNI host-port chains before: then ours to remove. */
  readonly ownsHostPorts: boolean;
}

export interface ContainerdConfig {
  readonly dir: string;
  /** Version of the configuration's format: 3 from containerd 2.0 on. */
  readonly format: 2 | 3;
  readonly sandboxImage: string;
  readonly snapshotter: "overlayfs" | "native";
  readonly restrictOomScoreAdj: boolean;
  readonly cniBinDir: string | undefined;
  /** Runtime handlers beside runc: name to program. */
  readonly handlers?: Readonly<Record<string, string>>;
}

export const socketOf = (dir: string) => join(dir, "containerd.sock");
export const cniConfDirOf = (dir: string) => join(dir, "cni", "net.d");

/** Plugins that have no work here and take time or complain at the start. */
const DISABLED = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
];

export function containerdToml(config: ContainerdConfig): string {
  const { dir, format } = config;
  // 2.x has images and pods apart, and talks to the plugins of NRI unless told not to.
  const cri = format === 2 ? "io.containerd.grpc.v1.cri" : "io.containerd.cri.v1.runtime";
  const server = format === 2 ? cri : "io.containerd.grpc.v1.cri";
  return `version = ${format}
root = ${quote(join(dir, "root"))}
state = ${quote(join(dir, "state"))}
disabled_plugins = [${DISABLED.map(quote).join(", ")}]

[grpc]
address = ${quote(socketOf(dir))}

[plugins."io.containerd.internal.v1.opt"]
path = ${quote(join(dir, "opt"))}

[plugins."${cri}"]
restrict_oom_score_adj = ${config.restrictOomScoreAdj}
netns_mounts_under_state_dir = true
${
    format === 2 ? `sandbox_image = ${quote(config.sandboxImage)}` : `
[plugins."${server}"]`
  }
stream_server_address = "127.0.0.1"
stream_server_port = "0"
${format === 2 ? "" : imageSections(config)}
[plugins."${cri}".cni]
bin_dir = ${quote(config.cniBinDir ?? join(dir, "cni", "bin"))}
conf_dir = ${quote(cniConfDirOf(dir))}

[plugins."${cri}".containerd]
${format === 2 ? `snapshotter = ${quote(config.snapshotter)}` : ""}
default_runtime_name = "runc"

[plugins."${cri}".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."${cri}".containerd.runtimes.runc.options]
Root = ${quote(join(dir, "runc"))}
${handlerSections(config, cri)}`;
}

const quote = (value: string) => JSON.stringify(value);

/** What containerd 2.x wants to know apart from the pods. */
function imageSections({ sandboxImage, snapshotter }: ContainerdConfig): string {
  const images = `plugins."io.containerd.cri.v1.images"`;
  return `
[${images}]
snapshotter = ${quote(snapshotter)}

[${images}.pinned_images]
sandbox = ${quote(sandboxImage)}

[plugins."io.containerd.nri.v1.nri"]
disable = true
`;
}

function handlerSections({ dir, handlers = {} }: ContainerdConfig, cri: string): string {
  return Object.entries(handlers).map(([name, program]) => `
[plugins."${cri}".containerd.runtimes.${name}]
runtime_type = "io.containerd.runc.v2"

[plugins."${cri}".containerd.runtimes.${name}.options]
BinaryName = ${quote(program)}
Root = ${quote(join(dir, name))}
`).join("");
}

/** A bridge network with addresses from a private range, and host ports. */
export function cniConflist(network: Network, dir: string): string {
  const bridge = {
    type: "bridge",
    bridge: network.bridge,
    isGateway: true,
    ipMasq: true,
    hairpinMode: true,
    ipam: {
      type: "host-local",
      dataDir: join(dir, "cni", "addresses"),
      ranges: [[{ subnet: network.subnet }]],
      routes: [{ dst: "0.0.0.0/0" }],
    },
  };
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  const list = { cniVersion: "0.4.0", name: network.name, plugins: [bridge, portmap] };
  return JSON.stringify(list, null, 2);
}

/** The first 10.x.y.0/24, from `start` on (0 to 1), that no route of this machine covers. */
export function freeSubnet(routes: string, start: number): string {
  const count = 100 * 256;
  const first = Math.floor(start * count);
  const taken = new Set(routes.match(/\b10\.\d+\.\d+\./g));
  for (let step = 0; step < count; step++) {
    const at = (first + step) % count;
    // 10.100.0.0 to 10.199.255.0: away from what clusters and clouds like to use
    const prefix = `10.${100 + Math.floor(at / 256)}.${at % 256}.`;
    if (!taken.has(prefix)) return `${prefix}0/24`;
  }
  throw new RangeError("Cannot choose a subnet: every 10.100-199.*.0/24 has a route");
}

/**
 * True when this process lacks CAP_SYS_RESOURCE, without which sandboxes may not lower their score.
 */
export function lacksSysResource(procStatus: string): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)/m.exec(procStatus)?.[1] ?? "0";
  return ((BigInt(`0x${mask}`) >> 24n) & 1n) === 0n;
}

/** "overlayfs" when a mount of it works in `dir`, else "native" (which copies). */
export async function chooseSnapshotter(dir: string): Promise<"overlayfs" | "native"> {
  const probe = join(dir, "overlay-probe");
  const part = (name: string) => join(probe, name);
  for (const name of ["lower", "upper", "work", "merged"]) {
    await Deno.mkdir(part(name), { recursive: true });
  }
  const options = `lowerdir=${part("lower")},upperdir=${part("upper")},workdir=${part("work")}`;
  const mount = ["-t", "overlay", "overlay", "-o", options, part("merged")];
  const mounted = (await run("mount", mount)).code === 0;
  if (mounted) await run("umount", [part("merged")]);
  await Deno.remove(probe, { recursive: true });
  return mounted ? "overlayfs" : "native";
}
