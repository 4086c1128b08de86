/** Reads the kernel's and the distribution's text files about the machine. Pure. */

/** A field of /proc/meminfo in bytes; 0 when it is not there. */
export function meminfoBytes(meminfo: string, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(meminfo);
  return match ? Number(match[1]) * 1024 : 0;
}

/** PRETTY_NAME of /etc/os-release, which may be quoted as in a shell. */
export function osImage(osRelease: string): string {
  const match = /^PRETTY_NAME=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(.*))$/m.exec(osRelease);
  const text = match?.[1]?.replace(/\\(.)/g, "$1") ?? match?.[2] ?? match?.[3];
  return text?.trim() || "Linux";
}

/** The interface of the best default route in /proc/net/route. */
export function defaultInterface(routes: string): string | undefined {
  const defaults = routes.split("\n").slice(1).map((line) => line.trim().split(/\s+/))
    // Iface Destination Gateway Flags RefCnt Use Metric Mask ...; flag 1: the route is up
    .filter((f) => f[1] === "00000000" && f[7] === "00000000" && Number(`0x${f[3]}`) % 2 === 1)
    .sort((a, b) => Number(a[6]) - Number(b[6]));
  return defaults[0]?.[0];
}

/** The same of /proc/net/ipv6_route, where the loopback's default routes are rejects. */
export function defaultInterface6(routes: string): string | undefined {
  const zero = "0".repeat(32);
  const defaults = routes.split("\n").map((line) => line.trim().split(/\s+/))
    .filter((f) => f[0] === zero && f[1] === "00" && f[9] !== undefined && f[9] !== "lo")
    .sort((a, b) => Number(`0x${a[5]}`) - Number(`0x${b[5]}`));
  return defaults[0]?.[9];
}

export interface InterfaceAddress {
  name: string;
  family: "IPv4" | "IPv6";
  address: string;
}

/** A way to be reached from elsewhere: not loopback, not link-local, not a container bridge. */
function isReachable({ address, family }: InterfaceAddress): boolean {
  return family === "IPv4"
    ? !address.startsWith("127.") && !address.startsWith("169.254.")
    : address !== "::1" && !/^fe[89ab]/i.test(address);
}

const CONTAINER_INTERFACE = /^(cni|veth|docker|br-|flannel|cali|virbr|podman|kube)/;

/**
 * The node's addresses, one of each family at most: those of the default routes' interfaces, else
 * of any interface that is not the containers' own.
 */
export function nodeAddresses(
  interfaces: readonly InterfaceAddress[],
  defaults: { IPv4: string | undefined; IPv6: string | undefined },
): string[] {
  const reachable = interfaces.filter(isReachable);
  const pick = (family: "IPv4" | "IPv6") => {
    const own = reachable.filter((candidate) => candidate.family === family);
    return own.find((candidate) => candidate.name === defaults[family]) ??
      own.find((candidate) => !CONTAINER_INTERFACE.test(candidate.name));
  };
  return [pick("IPv4"), pick("IPv6")].flatMap((found) => found ? [found.address] : []);
}

/** Whole cpus of a cgroup v2 cpu.max ("150000 100000"), rounded up; undefined without a limit. */
export function cpuLimit(cpuMax: string): number | undefined {
  const [quota, period] = cpuMax.trim().split(/\s+/).map(Number);
  if (!quota || !period || !Number.isFinite(quota)) return undefined;
  return Math.max(1, Math.ceil(quota / period));
}

/** A memory limit file of either cgroup version; undefined without a limit ("max", or huge). */
export function memoryLimit(text: string): number | undefined {
  const bytes = Number(text.trim());
  return text.trim() !== "" && Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

const ARCHITECTURES: Record<string, string> = {
  x86_64: "amd64",
  x64: "amd64",
  aarch64: "arm64",
};

/** Kubernetes' word for the architecture. */
export function kubernetesArchitecture(name: string): string {
  return ARCHITECTURES[name] ?? name;
}

/** Kubernetes' name of a page size: "2Mi", "1Gi", "64Ki". */
export function hugepageSize(kibibytes: number): string {
  if (kibibytes % 1024 ** 2 === 0) return `${kibibytes / 1024 ** 2}Gi`;
  return kibibytes % 1024 === 0 ? `${kibibytes / 1024}Mi` : `${kibibytes}Ki`;
}
