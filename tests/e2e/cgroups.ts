/** What the kernel was told about a process: its limits, in either version of cgroups. */

/** The cgroup path of `pid` in the hierarchy of `controller` (version 1) or the only one. */
async function pathOf(pid: number, controller: string): Promise<{ path: string; v2: boolean }> {
  const rows = (await Deno.readTextFile(`/proc/${pid}/cgroup`)).trim().split("\n")
    .map((row) => row.split(":"));
  const own = rows.find(([, names]) => names?.split(",").includes(controller));
  if (own) return { path: `/sys/fs/cgroup/${controller}${own[2]}`, v2: false };
  const unified = rows.find(([, names]) => names === "");
  return { path: `/sys/fs/cgroup${unified?.[2]}`, v2: true };
}

async function word(file: string): Promise<string> {
  return (await Deno.readTextFile(file)).trim();
}

export async function memoryLimitBytes(pid: number): Promise<number> {
  const { path, v2 } = await pathOf(pid, "memory");
  return Number(await word(`${path}/${v2 ? "memory.max" : "memory.limit_in_bytes"}`));
}

/** How much of one CPU the process may use. */
export async function cpuLimit(pid: number): Promise<number> {
  const { path, v2 } = await pathOf(pid, "cpu");
  if (v2) {
    const [quota, period] = (await word(`${path}/cpu.max`)).split(" ");
    return Number(quota) / Number(period);
  }
  const quota = Number(await word(`${path}/cpu.cfs_quota_us`));
  return quota / Number(await word(`${path}/cpu.cfs_period_us`));
}

/** The weight of the process among others, in the scale of version 1; undefined in version 2. */
export async function cpuShares(pid: number): Promise<number | undefined> {
  const { path, v2 } = await pathOf(pid, "cpu");
  return v2 ? undefined : Number(await word(`${path}/cpu.shares`));
}
