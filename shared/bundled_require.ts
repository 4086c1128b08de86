/**
 * A `require` for the CommonJS packages in a compiled program, which ask for `node:` modules by it.
 * Deno's bundler gives them one by patching the bundle's head, but does not find the place when the
 * minifier's name for it holds a `$`, which any change of the sources may bring about; then they
 * ask for a global one. The first import of each main.ts, because packages ask as they are loaded.
 */
import { createRequire } from "node:module";

if (!("require" in globalThis)) {
  Object.defineProperty(globalThis, "require", { value: createRequire(import.meta.url) });
}
