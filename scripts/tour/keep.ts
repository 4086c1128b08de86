/**
 * `--keep`: the story runs in a background process that then holds everything up; the foreground
 * shows what it says and ends. `.deno/demo.json` names the background process, which takes USR1 to
 * cut the link, USR2 to heal it and TERM to end, and removes the file.
 */
import { fromFileUrl, join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import type { Site } from "../../tests/support/site.ts";
import { until } from "../../tests/support/until.ts";
import type { Teller } from "./teller.ts";

export type Kept = "cut" | "heal" | "stop";

interface State {
  readonly pid: number;
  readonly dir: string;
}

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const MAIN = fromFileUrl(new URL("./main.ts", import.meta.url));
const STATE_FILE = join(ROOT, ".deno", "demo.json");
const LOG_FILE = join(ROOT, ".deno", "demo.log");
const SIGNALS: Readonly<Record<Kept, Deno.Signal>> = {
  cut: "SIGUSR1",
  heal: "SIGUSR2",
  stop: "SIGTERM",
};
const DONE: Readonly<Record<Kept, string>> = {
  cut: "The link is cut.",
  heal: "The link is healed.",
  stop: "Stopped; nothing is left.",
};
/** The story takes about 20 s; a slow machine gets more. */
const STORY_TIMEOUT_MS = 300_000;

/** In the background: says how to use what is up, and holds it until `stop` rejects. */
export async function hold(site: Site, teller: Teller, stop: Promise<never>): Promise<void> {
  const say = (text: string) => teller.plain(text);
  say(`\nUp, and stays up. The kubeconfig is ${site.kubeconfig}`);
  say(`The edge's own API is ${site.edge.url}\n\nTry:`);
  say(
    `  ${site.hasKubectl ? site.kubectl.path : "kubectl"} --kubeconfig ${site.kubeconfig} ` +
      "get pods -w",
  );
  say(`  curl ${site.edge.url}/api/v1/namespaces/default/pods/lighthouse/log?follow=true`);
  say(`  scripts/demo --cut; curl ${site.edge.url}/v1/status; scripts/demo --heal`);
  say("\nEnd it with: scripts/demo --stop");
  const cut = () => void site.relay.cut(); // its own failures are those of closing: none matters
  const heal = () => site.relay.heal();
  Deno.addSignalListener("SIGUSR1", cut);
  Deno.addSignalListener("SIGUSR2", heal);
  const state: State = { pid: Deno.pid, dir: site.dir };
  await Deno.writeTextFile(STATE_FILE, JSON.stringify(state));
  try {
    await stop;
  } catch (error) {
    if (!(error instanceof AppError && error.code === "canceled")) throw error;
  } finally {
    Deno.removeSignalListener("SIGUSR1", cut);
    Deno.removeSignalListener("SIGUSR2", heal);
    await Deno.remove(STATE_FILE);
  }
}

/** In the foreground: starts the background process and shows its story. */
export async function followKept(): Promise<number> {
  const kept = await findKept();
  if (kept) {
    throw new AppError("already_exists", "One is up already: end it with scripts/demo --stop");
  }
  await Deno.writeTextFile(LOG_FILE, "");
  const deno = [Deno.execPath(), "run", "--quiet", "--frozen", "--no-prompt", "--allow-all"];
  const child = new Deno.Command("setsid", {
    args: ["sh", "-c", 'exec "$@" >"$0" 2>&1', LOG_FILE, ...deno, MAIN, "--host"],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let code: number | undefined;
  void child.status.then((status) => code = status.code); // status never rejects
  const passOn = () => child.kill("SIGTERM");
  for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, passOn);
  const show = follower(LOG_FILE);
  await until(async () => {
    const ended = code !== undefined;
    const up = await findKept() !== undefined;
    await show();
    return ended || up;
  }, { what: "the demo to be up", timeoutMs: STORY_TIMEOUT_MS, everyMs: 50 });
  child.unref();
  return code ?? 0;
}

export async function actOnKept(act: Kept): Promise<number> {
  const kept = await findKept();
  if (!kept) throw new AppError("not_found", "None is up: start one with scripts/demo --keep");
  Deno.kill(kept.pid, SIGNALS[act]);
  if (act === "stop") {
    await until(async () => !await isHost(kept.pid), {
      what: "the demo to end",
      timeoutMs: 60_000,
    });
    if (await Deno.stat(kept.dir).catch(() => undefined)) {
      throw new AppError("internal", `Cannot end it wholly: see ${LOG_FILE}`);
    }
  }
  console.log(DONE[act]);
  return 0;
}

/** The one that is up, if any. */
async function findKept(): Promise<State | undefined> {
  const text = await Deno.readTextFile(STATE_FILE).catch(() => undefined);
  if (text === undefined || text === "") return undefined;
  const state: State = JSON.parse(text);
  return await isHost(state.pid) ? state : undefined;
}

/** A pid may have gone to another program since. */
async function isHost(pid: number): Promise<boolean> {
  const words = (await Deno.readTextFile(`/proc/${pid}/cmdline`).catch(() => "")).split("\0");
  return words.includes(MAIN) && words.includes("--host");
}

/** Copies what was added to `path` since the last call to standard output. */
function follower(path: string): () => Promise<void> {
  let shown = 0;
  return async () => {
    const bytes = await Deno.readFile(path);
    let rest = bytes.subarray(shown);
    shown = bytes.length;
    while (rest.length > 0) rest = rest.subarray(await Deno.stdout.write(rest));
  };
}
