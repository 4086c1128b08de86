/** What a process costs in memory, from the kernel's own sums in smaps_rollup. */
export interface Memory {
  /** Own pages plus a fair share of shared ones. */
  readonly pssMb: number;
  readonly rssMb: number;
  /** What no file backs: the part the kernel cannot drop. */
  readonly anonymousMb: number;
}

/** MB are 1 000 000 bytes. */
export function parseRollup(text: string): Memory {
  const field = (name: string): number => {
    const kib = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1];
    if (kib === undefined) throw new RangeError(`Cannot read smaps_rollup: it has no ${name}`);
    return Number(kib) * 1024 / 1e6;
  };
  return { pssMb: field("Pss"), rssMb: field("Rss"), anonymousMb: field("Anonymous") };
}

export async function memoryOf(pid: number): Promise<Memory> {
  return parseRollup(await Deno.readTextFile(`/proc/${pid}/smaps_rollup`));
}
