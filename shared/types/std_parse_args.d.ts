/** Parsed command line: flags by name, operands in `_`, what stood behind `--` in `--`. */
export type ParsedArgs = { _: (string | number)[]; "--"?: string[] } & Record<string, unknown>;
export interface ParseOptions {
  boolean?: string[];
  string?: string[];
  collect?: string[];
  negatable?: string[];
  alias?: Record<string, string | string[]>;
  default?: Record<string, unknown>;
  stopEarly?: boolean;
  "--"?: boolean;
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}
export function parseArgs(args: string[], options?: ParseOptions): ParsedArgs;
