/**
 * systemd's logind: when the machine is about to go down, and how to hold that back for a while.
 * Signals and properties go over D-Bus; the lock itself is a file descriptor, which Deno cannot
 * receive, so a child process (`systemd-inhibit … cat`) holds it. The child ends with its standard
 * input: whatever becomes of this program, the lock does not outlive it.
 */
import { AppError } from "../../../shared/errors.ts";
import { DBusConnection } from "../../../shared/dbus/connection.ts";
import { writeFileAtomic } from "../../../shared/files.ts";
import type { Inhibitor, Logind } from "./node_shutdown.ts";

const LOGIND = {
  destination: "org.freedesktop.login1",
  path: "/org/freedesktop/login1",
} as const;
const MANAGER = "org.freedesktop.login1.Manager";
const SIGHUP = 1;
const INHIBIT = [
  "systemd-inhibit",
  "--what=shutdown",
  "--mode=delay",
  "--who=skerry-edge",
  "--why=Pods need time to end",
  "cat",
];

export interface LogindOptions {
  /** The bus; the system's when left out. */
  busPath?: string;
  /** Holds the lock and echoes its input; ends when that ends. */
  inhibitCommand?: readonly string[];
  configDir?: string;
}

export async function openLogind(options: LogindOptions = {}): Promise<Logind> {
  const bus = await DBusConnection.open(options.busPath);
  try {
    await inhibitDelayMs(bus); // nobody answers where there is no logind
  } catch (error) {
    bus.close();
    throw error;
  }
  return {
    ended: bus.ended,
    close: () => bus.close(),
    allowDelay: (delayMs) => allowDelay(bus, delayMs, options.configDir),
    inhibit: () => inhibit(options.inhibitCommand ?? INHIBIT),
    onPrepare: async (listener) => {
      const rule = `type='signal',interface='${MANAGER}',member='PrepareForShutdown'`;
      await bus.subscribe(rule, ({ member, body }) => {
        if (member === "PrepareForShutdown") listener(body?.[0] === true);
      });
    },
  };
}

async function inhibitDelayMs(bus: DBusConnection): Promise<number> {
  const [value] = await bus.call({
    ...LOGIND,
    interface: "org.freedesktop.DBus.Properties",
    member: "Get",
    signature: "ss",
    body: [MANAGER, "InhibitDelayMaxUSec"],
  });
  const micros = Object(value).value;
  if (typeof micros === "bigint") return Number(micros) / 1_000;
  throw new AppError("unavailable", "Cannot read InhibitDelayMaxUSec of logind");
}

/** As kubelet does it: a piece of configuration of our own, and a word to logind to read it. */
async function allowDelay(
  bus: DBusConnection,
  delayMs: number,
  configDir = "/etc/systemd/logind.conf.d",
): Promise<number> {
  const allowedMs = await inhibitDelayMs(bus);
  if (allowedMs >= delayMs) return allowedMs;
  const seconds = Math.ceil(delayMs / 1_000);
  const text = `# Written by skerry-edge: pods may take this long to end\n[Login]\n` +
    `InhibitDelayMaxSec=${seconds}\n`;
  try {
    await Deno.mkdir(configDir, { recursive: true });
    await writeFileAtomic(`${configDir}/99-skerry-edge.conf`, text, 0o644);
  } catch (cause) {
    throw new AppError("unavailable", "Cannot write configuration of logind", { configDir }, {
      cause,
    });
  }
  await bus.call({
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member: "KillUnit",
    signature: "ssi",
    body: ["systemd-logind.service", "all", SIGHUP],
  });
  return await inhibitDelayMs(bus);
}

/** Resolves when the lock is held: only then does the child echo. */
async function inhibit([command = "", ...args]: readonly string[]): Promise<Inhibitor> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(command, {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
  } catch (cause) {
    throw new AppError("unavailable", `Cannot run ${command}`, {}, { cause });
  }
  const writer = child.stdin.getWriter();
  const reader = child.stdout.getReader();
  const end = async () => {
    await writer.close().catch(() => {}); // the child may have ended by itself
    await reader.cancel().catch(() => {}); // as above
    await child.status;
  };
  await writer.write(new TextEncoder().encode("held\n")).catch(() => {}); // the read tells
  const { done } = await reader.read();
  if (!done) return { release: end };
  await end();
  throw new AppError("unavailable", "Cannot hold back a shutdown: systemd-inhibit refused");
}
