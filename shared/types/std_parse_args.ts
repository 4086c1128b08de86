/** Typed door to @std/cli/parse-args, which npm carries without declarations. */
// @ts-types="./std_parse_args.d.ts"
export * from "npm:deno-std@1.4.0/cli/parse_args.js";
