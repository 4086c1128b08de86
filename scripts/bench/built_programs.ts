/** The compiled programs that benches measure, built when missing or older than the sources. */
import { fromFileUrl, join } from "@std/path";
import { must } from "../../tests/support/process.ts";
import { findPrograms, type Programs } from "../../tests/support/programs.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));

/** Those in the folder SKERRY_PROGRAMS names are taken as they are. */
export async function builtPrograms(): Promise<Programs> {
  const folder = Deno.env.get("SKERRY_PROGRAMS");
  if (folder) return findPrograms(folder);
  const programs = findPrograms(join(ROOT, "dist"));
  const sides = ["edge", "cloud", "shared"].map((name) => join(ROOT, name));
  for (const path of [programs.edge, programs.cloud]) {
    const there = await Deno.stat(path).then((info) => info.isFile, () => false);
    const newer = there
      ? await must("find", [...sides, "-name", "*.ts", "-newer", path, "-print", "-quit"])
      : "all";
    if (newer.trim() === "") continue;
    const args = ["task", "--quiet", "build"];
    await must(Deno.execPath(), args, { cwd: ROOT, timeoutMs: 600_000 });
    break;
  }
  return programs;
}
