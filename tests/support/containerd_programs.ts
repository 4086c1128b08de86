/**
 * Which containerd the tests run: the machine's own, or the one that SKERRY_TEST_CONTAINERD names,
 * by its path. Beside that one lie its shim (containerd-shim-runc-v2) and, if there is one, its
 * ctr; runc and the CNI plugins stay the machine's.
 */
import { basename, dirname, isAbsolute, join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import { must, which } from "./process.ts";

export interface ContainerdPrograms {
  readonly containerd: string;
  readonly ctr: string;
  /** PATH for the daemon, which looks there for its shim and for runc. */
  readonly path: string;
}

/** The path in SKERRY_TEST_CONTAINERD; undefined: the machine's own. */
export function chosenContainerd(): string | undefined {
  const path = Deno.env.get("SKERRY_TEST_CONTAINERD") ?? "";
  if (path === "") return undefined;
  if (isAbsolute(path) && basename(path) === "containerd") return path;
  const wanted = `be the absolute path of a program "containerd", got "${path}"`;
  throw new AppError("invalid", `SKERRY_TEST_CONTAINERD must ${wanted}`);
}

export async function containerdPrograms(): Promise<ContainerdPrograms> {
  const chosen = chosenContainerd();
  const system = `${Deno.env.get("PATH") ?? ""}:/usr/sbin:/sbin`;
  const dir = chosen ? dirname(chosen) : undefined;
  const own = dir && await isProgram(join(dir, "ctr")) ? join(dir, "ctr") : undefined;
  const containerd = chosen ?? await which("containerd");
  if (!containerd) throw new AppError("unavailable", "Cannot start containerd: it is not on PATH");
  return { containerd, ctr: own ?? "ctr", path: dir ? `${dir}:${system}` : system };
}

async function isProgram(path: string): Promise<boolean> {
  return (await Deno.stat(path).catch(() => undefined))?.isFile === true;
}

/** The major version in what `containerd --version` prints. */
export function majorVersion(printed: string): number {
  const major = /\bv?(\d+)\.\d+\.\d+/.exec(printed)?.[1];
  if (major === undefined) throw new AppError("invalid", `No version of containerd in: ${printed}`);
  return Number(major);
}

/** 3 for containerd 2.x, 2 for those before, which know no other. */
export async function configFormatOf({ containerd }: ContainerdPrograms): Promise<2 | 3> {
  return majorVersion(await must(containerd, ["--version"])) >= 2 ? 3 : 2;
}
