/** Typed door to @std/assert, which npm carries without declarations. Tests only. */
// @ts-types="./std_assert.d.ts"
export * from "npm:deno-std@1.4.0/assert/mod.js";
