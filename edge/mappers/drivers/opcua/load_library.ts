/**
 * Loads node-opcua when the first OPC UA device comes. It is as large as a third of the edge, so a
 * build puts it into a file of its own beside the bundle; a bundler must therefore not see where it
 * is imported from.
 */
import { EMBEDDED_OPCUA_PATH } from "../../../../shared/embedded.ts";

export type Library = typeof import("./library.ts");

export async function loadLibrary(): Promise<Library> {
  const path = Deno.build.standalone ? EMBEDDED_OPCUA_PATH : "./library.ts";
  const library: Library = await import(new URL(path, import.meta.url).href);
  return library;
}
