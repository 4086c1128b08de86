/**
 * What a test needs from the machine. A test whose parts are missing is ignored, by name and with
 * the reason in its name; on CI (`CI=true`) it runs and fails instead, so that nothing is skipped
 * there silently. Looked up synchronously, because Deno.test registers synchronously.
 */
import { join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import { canMountExt4 } from "./small_disk.ts";
import { chosenContainerd } from "./containerd_programs.ts";

export type Part =
  | "root"
  | "loop mounts"
  | "containerd"
  | "cni"
  | "busybox"
  | "kubectl"
  | "sqlite3"
  | "curl"
  | "ip"
  | "faketime"
  | "crun"
  | "dbus-daemon"
  | "redis-server"
  | "mariadb"
  | "mosquitto"
  | "asyncua"
  | "socat";

const CNI_DIRS = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/** The folder with the CNI plugins, if any. */
export function cniBinDir(): string | undefined {
  return CNI_DIRS.find((dir) =>
    ["bridge", "host-local", "loopback"].every((name) => isFile(join(dir, name)))
  );
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false; // not there, or not ours to see: both mean it cannot be used
  }
}

function onPath(name: string): boolean {
  const folders = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/sbin"];
  return folders.some((folder) => folder !== "" && isFile(join(folder, name)));
}

function hasContainerd(): boolean {
  const chosen = chosenContainerd();
  return chosen === undefined ? onPath("containerd") : isFile(chosen);
}

const TESTS: Readonly<Record<Part, () => boolean>> = {
  root: () => Deno.uid() === 0,
  "loop mounts": () => Deno.uid() === 0 && canMountExt4(),
  containerd: () => hasContainerd() && onPath("ctr") && onPath("runc"),
  cni: () => cniBinDir() !== undefined && onPath("iptables"),
  crun: () => onPath("crun"),
  busybox: () => onPath("busybox"),
  kubectl: () => onPath("kubectl") || isFile(join(toolsDir(), "kubectl-1.33")),
  sqlite3: () => onPath("sqlite3"),
  curl: () => onPath("curl"),
  ip: () => onPath("ip"),
  faketime: () => onPath("faketime"),
  "dbus-daemon": () => onPath("dbus-daemon"),
  "redis-server": () => onPath("redis-server") && onPath("redis-cli"),
  mariadb: () => onPath("mariadbd") && onPath("mariadb-install-db"),
  socat: () => onPath("socat"),
  asyncua: () => isFile(opcuaPython()),
  mosquitto: () => onPath("mosquitto") && onPath("mosquitto_pub") && onPath("mosquitto_sub"),
};

/** Where fetched tools are kept, below the checkout and git-ignored. */
export function toolsDir(): string {
  return decodeURIComponent(new URL("../../.deno/tools", import.meta.url).pathname);
}

/** The Python whose packages hold an OPC UA server; scripts/setup --tests makes it. */
export function opcuaPython(): string {
  return join(toolsDir(), "opcua", "bin", "python3");
}

/** The parts of `wanted` this machine lacks. */
export function missingParts(wanted: readonly Part[]): Part[] {
  return wanted.filter((part) => !TESTS[part]());
}

/** Registers a test that needs `parts`. */
export function testWith(
  parts: readonly Part[],
  name: string,
  fn: (t: Deno.TestContext) => Promise<void>,
): void {
  const missing = missingParts(parts);
  if (missing.length === 0) return Deno.test(name, fn);
  const needs = `needs ${missing.join(", ")}`;
  if (Deno.env.get("CI") === "true") {
    return Deno.test(name, () => {
      throw new AppError("unavailable", `Cannot skip on CI: ${needs}`);
    });
  }
  Deno.test({ name: `${name} (${needs})`, ignore: true, fn });
}
