/** Commands that both programs have. */
import { formatConfig } from "../config.ts";
import { VERSION } from "../version.ts";
import { type CommandSpec, UsageError } from "./command.ts";
import { writeOut } from "./run_program.ts";

export function versionCommand(program: string): CommandSpec {
  return {
    name: "version",
    summary: "Print the version",
    flags: [],
    run: () => {
      writeOut(`${program} ${VERSION}\n`);
      return Promise.resolve(0);
    },
  };
}

export interface ConfigTemplates {
  kind: string;
  /** What one sets first. */
  min: () => object;
  /** Every key with its default. */
  defaults: () => object;
}

export function configCommand(program: string, templates: ConfigTemplates): CommandSpec {
  return {
    name: "config",
    summary: "Print a config: --min what one sets first, --default every key",
    flags: [
      { name: "min", help: "What one sets first" },
      { name: "default", help: "Every key with its default" },
      { name: "minconfig", help: "The same as --min" },
      { name: "defaultconfig", help: "The same as --default" },
    ],
    run: (invocation) => {
      const isMin = invocation.isSet("min") || invocation.isSet("minconfig");
      if (!isMin && !invocation.isSet("default") && !invocation.isSet("defaultconfig")) {
        throw new UsageError(`say --min or --default; see ${program} config --help`);
      }
      writeOut(formatConfig(templates.kind, isMin ? templates.min() : templates.defaults()));
      return Promise.resolve(0);
    },
  };
}
