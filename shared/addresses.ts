/**
 * `<data-dir>/addresses.json`: what a running program really listens on, since ports may be 0.
 * Written when everything listens, removed when the program ends.
 */
import { join } from "@std/path";
import { AppError } from "./errors.ts";
import { writeFileAtomic } from "./files.ts";
import { isJsonObject } from "./json/json.ts";

export type Addresses = Record<string, string>;

export function addressesFile(dataDir: string): string {
  return join(dataDir, "addresses.json");
}

export async function writeAddresses(dataDir: string, addresses: Addresses): Promise<void> {
  await writeFileAtomic(addressesFile(dataDir), JSON.stringify(addresses, null, 2) + "\n", 0o644);
}

export async function removeAddresses(dataDir: string): Promise<void> {
  await Deno.remove(addressesFile(dataDir)).catch(() => {}); // absent is the goal
}

/** AppError "unavailable" when nothing seems to run on this data folder. */
export async function readAddresses(dataDir: string): Promise<Addresses> {
  try {
    const found: unknown = JSON.parse(await Deno.readTextFile(addressesFile(dataDir)));
    if (!isJsonObject(found)) throw new AppError("invalid", "addresses.json must hold a map");
    return Object.fromEntries(Object.entries(found).map(([name, at]) => [name, String(at)]));
  } catch (cause) {
    throw new AppError("unavailable", `Cannot find a running program on ${dataDir}`, { dataDir }, {
      cause,
    });
  }
}
