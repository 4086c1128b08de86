/** systemd units of both programs. */
import { dirname } from "@std/path";
import { AppError } from "../errors.ts";

export interface UnitOptions {
  description: string;
  arguments: string[];
  /** Units that must be up before. */
  after: string;
}

/**
 * A unit for this very executable. KillMode=process: containers and mounts are not the program's
 * children to kill. A bug of ours ends the program with its own status and it is started again.
 */
export function unitText(options: UnitOptions): string {
  const command = [Deno.execPath(), ...options.arguments].map(quote).join(" ");
  return `[Unit]
Description=${options.description}
Wants=network-online.target
After=${options.after}

[Service]
ExecStart=${command}
Restart=always
RestartSec=2
KillMode=process
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
`;
}

/** False, and nothing changed, when the unit is there already. */
export async function writeUnitFile(path: string, text: string): Promise<boolean> {
  try {
    await Deno.stat(dirname(path));
  } catch (cause) {
    const hint = "is this a systemd machine? (--no-systemd)";
    throw new AppError("unavailable", `Cannot write ${path}: ${hint}`, {}, { cause });
  }
  try {
    await Deno.writeTextFile(path, text, { createNew: true, mode: 0o644 });
    return true;
  } catch (cause) {
    if (cause instanceof Deno.errors.AlreadyExists) return false;
    throw new AppError("unavailable", `Cannot write ${path}`, {}, { cause });
  }
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `"${word.replace(/(["\\])/g, "\\$1")}"`;
}
