/**
 * Loads SQLite (sql.js) from source and from a compiled, bundled program alike. From source its
 * WASM lies beside the package's JavaScript; a build embeds a copy (`deno compile --include`) under
 * one of EMBEDDED_WASM_PATHS, relative to the bundle. Nothing is loaded before the first store is
 * opened.
 */
// @ts-types="./sql_js.d.ts"
import initSqlJs, { type SqlJsStatic } from "sql.js";
import { AppError } from "../errors.ts";

/** The file inside the npm package `sql.js` that a build has to embed. */
export const SQLITE_WASM_PACKAGE_PATH = "dist/sql-wasm.wasm";

/** Where a build may embed it, relative to the top of the compiled program's files. */
export const EMBEDDED_WASM_PATHS: readonly string[] = [
  "dist/sql-wasm.wasm",
  "sql-wasm.wasm",
  "dist/embed/sql-wasm.wasm",
];

let loading: Promise<SqlJsStatic> | undefined;

/** One instance serves every store of the process; a load that failed is tried again. */
export function loadSqlite(): Promise<SqlJsStatic> {
  loading ??= load().catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function load(): Promise<SqlJsStatic> {
  const scope: { __dirname?: string } = globalThis;
  // sql.js takes Deno for Node and reads this while it starts; the WASM is handed over instead
  scope.__dirname ??= ".";
  // as `wasmBinary` the file's bytes would stay in memory beside the code
  const module = await WebAssembly.compile(await readWasm());
  return await initSqlJs({
    instantiateWasm: (imports, receive) => receive(new WebAssembly.Instance(module, imports)),
  });
}

async function readWasm(): Promise<Uint8Array<ArrayBuffer>> {
  const tried: string[] = [];
  for (const url of wasmCandidates()) {
    try {
      return await Deno.readFile(url);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      tried.push(url.pathname);
    }
  }
  throw new AppError("internal", "Cannot load SQLite: sql-wasm.wasm is not among the files", {
    tried: tried.join(" "),
  });
}

/** The file's place from source; a build uses it to find what to embed. */
export function packageWasmUrl(): URL {
  return new URL("./sql-wasm.wasm", import.meta.resolve("sql.js"));
}

function* wasmCandidates(): Generator<URL> {
  if (!Deno.build.standalone) return yield packageWasmUrl();
  for (const path of EMBEDDED_WASM_PATHS) yield new URL(path, import.meta.url);
  // unbundled builds keep this module in shared/store/
  for (const path of EMBEDDED_WASM_PATHS) yield new URL(`../../${path}`, import.meta.url);
}
