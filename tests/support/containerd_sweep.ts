/**
 * Leaves nothing of a private containerd on the machine: processes that name its folder, mounts
 * below it, its bridge, its lines in iptables and what CNI noted about it. Everything is found by
 * the folder or the network name, both unique to one containerd, so nothing of anybody else is
 * touched. Every step goes on where the one before found nothing.
 */
import { join } from "@std/path";
import type { Network } from "./containerd_config.ts";
import { run } from "./process.ts";
import { until } from "./until.ts";

interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

/** Every process of this machine that can be read. */
async function processes(): Promise<ProcessInfo[]> {
  const found: ProcessInfo[] = [];
  for await (const entry of Deno.readDir("/proc")) {
    const pid = Number(entry.name);
    if (!Number.isInteger(pid)) continue;
    const command = await Deno.readTextFile(`/proc/${pid}/cmdline`).catch(() => "");
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => "");
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    found.push({ pid, parent, command });
  }
  return found;
}

/** Shims of the containerd in `dir`, and everything they started, by pid; children first. */
export async function processesOf(dir: string): Promise<number[]> {
  const socket = join(dir, "containerd.sock");
  return await withChildren(({ command }) =>
    command.includes("containerd-shim") && command.split("\0").includes(socket)
  );
}

/** Processes of `program` that name something below `dir`, and everything they started. */
export async function processesBelow(program: string, dir: string): Promise<number[]> {
  return await withChildren(({ command }) => {
    const [name = "", ...args] = command.split("\0");
    return name.endsWith(program) && args.some((arg) => arg.startsWith(`${dir}/`));
  });
}

async function withChildren(isWanted: (process: ProcessInfo) => boolean): Promise<number[]> {
  const all = await processes();
  const found = all.filter(isWanted).map(({ pid }) => pid);
  for (let at = 0; at < found.length; at++) {
    for (const { pid, parent } of all) {
      if (parent === found[at] && !found.includes(pid)) found.push(pid);
    }
  }
  return found.reverse();
}

export async function endProcesses(dir: string): Promise<void> {
  await until(async () => {
    const pids = await processesOf(dir);
    for (const pid of pids) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // ended between the look and the act
      }
    }
    return pids.length === 0;
  }, { what: `the processes of ${dir} to end` });
}

/** Mount points below `dir`, deepest first, from the text of /proc/self/mountinfo. */
export function mountsBelow(mountinfo: string, dir: string): string[] {
  return mountinfo.split("\n")
    .map((line) => (line.split(" ")[4] ?? "").replaceAll("\\040", " "))
    .filter((path) => path.startsWith(`${dir}/`))
    .sort()
    .reverse();
}

export async function unmountBelow(dir: string): Promise<void> {
  for (const path of mountsBelow(await Deno.readTextFile("/proc/self/mountinfo"), dir)) {
    await run("umount", ["-l", path]);
  }
}

/**
 * The iptables commands that undo what CNI left for `network` in `rules` (the text of `iptables -t
 * nat -S`): rules that carry its name in their comment, then the chains those rules jumped to.
 */
export function natUndo(rules: string, network: string): string[][] {
  const lines = rules.split("\n").filter((line) => line.startsWith("-A "));
  const ours = lines.filter((line) => line.includes(`name: \\"${network}\\"`));
  const chains = new Set<string>();
  for (const line of ours) {
    for (const word of line.split(" ")) {
      if (/^CNI-(DN-)?[0-9a-f]{16,}$/.test(word)) chains.add(word);
    }
  }
  const undo = ours.filter((line) => !chains.has(line.split(" ")[1] ?? ""))
    .map((line) => ["-D", ...splitRule(line).slice(1)]);
  for (const chain of chains) undo.push(["-F", chain]);
  for (const chain of chains) undo.push(["-X", chain]);
  return undo;
}

/** Splits a rule as iptables prints it, with its quoted and escaped comment. */
function splitRule(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) =>
    plain ?? (quoted ?? "").replaceAll(/\\(.)/g, "$1")
  );
}

/**
 * The commands that remove portmap's common chains once no host port is left in them, from the text
 * of `iptables -t nat -S`; the plugin makes them anew when it needs them.
 */
export function hostPortUndo(rules: string): string[][] {
  const lines = rules.split("\n");
  if (lines.some((line) => line.startsWith("-A CNI-HOSTPORT-DNAT "))) return [];
  const chains = lines.filter((line) => line.startsWith("-N CNI-HOSTPORT-"))
    .map((line) => line.slice("-N ".length));
  const jumps = lines.filter((line) =>
    /^-A (PREROUTING|OUTPUT|POSTROUTING) .*-j CNI-HOSTPORT-/.test(line)
  ).map((line) => ["-D", ...splitRule(line).slice(1)]);
  return [
    ...jumps,
    ...chains.map((chain) => ["-F", chain]),
    ...chains.map((chain) => ["-X", chain]),
  ];
}

export async function removeNetwork(network: Network): Promise<void> {
  await run("ip", ["link", "delete", network.bridge]);
  await undoRules((rules) => natUndo(rules, network.name));
  if (network.ownsHostPorts) await undoRules(hostPortUndo);
}

async function undoRules(plan: (rules: string) => string[][]): Promise<void> {
  const { code, stdout } = await run("iptables", ["-t", "nat", "-S"]);
  if (code !== 0) return;
  for (const args of plan(stdout)) await run("iptables", ["-t", "nat", ...args]);
}

/** Removes what the CNI library noted of attachments whose files begin with one of `prefixes`. */
export async function removeCniNotes(prefixes: readonly (string | undefined)[]): Promise<void> {
  const dir = "/var/lib/cni/results";
  const entries = await Array.fromAsync(Deno.readDir(dir)).catch(() => []);
  for (const { name } of entries) {
    const ours = prefixes.some((prefix) => prefix !== undefined && name.startsWith(`${prefix}-`));
    if (ours) await Deno.remove(join(dir, name));
  }
}
