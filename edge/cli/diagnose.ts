/** `diagnose`: what is wrong with this node, seen from the machine, running or not. */
import { join } from "@std/path";
import { readAddresses } from "../../shared/addresses.ts";
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import {
  askProgram,
  certificateLook,
  clockLook,
  dialLook,
  diskLook,
  examine,
  type Look,
  report,
  storeLook,
} from "../../shared/cli/diagnose.ts";
import { SystemClock } from "../../shared/clock.ts";
import { errorChain, isAppError } from "../../shared/errors.ts";
import type { EdgeStatus } from "../api/port.ts";
import { readApiToken } from "../api_files.ts";
import { type EdgeConfig, loadEdgeConfig } from "../config.ts";
import { GrpcRuntime } from "../cri/grpc_runtime.ts";
import { wantsJson } from "./explain.ts";
import { CONFIG_FLAGS, configFile, DEFAULT_DATA_DIR, LAST_GOOD, readSettings } from "./settings.ts";

const RUNTIME_MS = 5_000;
/** Certificates and stamps bear this much. */
const CLOCK_OFF_MS_MAX = 5 * 60_000;

export const DIAGNOSE_COMMAND: CommandSpec = {
  name: "diagnose",
  summary: "Look for what is wrong with this node; exit 1 when something is",
  flags: [
    ...CONFIG_FLAGS,
    { name: "output", short: "o", value: "FORMAT", help: "json, or text" },
  ],
  run: diagnose,
};

async function diagnose(invocation: Invocation): Promise<number> {
  const asJson = wantsJson(invocation);
  const nowMs = new SystemClock().nowMs();
  let problem: string | undefined;
  let config: EdgeConfig | undefined;
  try {
    config = await readSettings(invocation);
  } catch (error) {
    problem = errorChain(error);
    config = await lastGood(invocation);
  }
  const dataDir = config?.dataDir ?? invocation.flag("data-dir") ?? DEFAULT_DATA_DIR;
  const pki = (name: string) => join(dataDir, "pki", name);
  const looks: Record<string, Look> = {
    config: () =>
      Promise.resolve({ ok: problem === undefined, message: problem ?? configFile(invocation) }),
    program: programLook(dataDir),
    disk: diskLook(dataDir),
    store: storeLook(join(dataDir, "store")),
    certificate: certificateLook({
      certificate: pki("node.crt"),
      privateKey: pki("node.key"),
      authority: pki("ca.crt"),
    }, nowMs),
    clock: nodeClockLook(nowMs, dataDir),
    acts: async () => {
      await readApiToken(dataDir);
      return { ok: true, message: "the token is there" };
    },
  };
  if (config) {
    looks.runtime = runtimeLook(config);
    looks.hub = dialLook(config.cloud.addresses);
  }
  looks.writes = writesLook(dataDir);
  looks.link = linkLook(dataDir);
  return report(await examine(looks), asJson);
}

async function lastGood(invocation: Invocation): Promise<EdgeConfig | undefined> {
  const dataDir = invocation.flag("data-dir") ?? DEFAULT_DATA_DIR;
  try {
    return await loadEdgeConfig(join(dataDir, LAST_GOOD));
  } catch (error) {
    if (isAppError(error, "invalid")) return undefined; // then there is none to fall back on
    throw error;
  }
}

function programLook(dataDir: string): Look {
  return async () => {
    const { api } = await readAddresses(dataDir);
    const { ok, text } = await askProgram(`${api}/readyz?verbose`);
    const failed = text.split("\n").filter((line) => line.startsWith("[-]"));
    return { ok, message: ok ? `runs and is ready on ${api}` : failed.join("; ") };
  };
}

/** The cloud's word on the time counts for more than what the files say. */
function nodeClockLook(nowMs: number, dataDir: string): Look {
  return async () => {
    const seen = await clockLook(nowMs, dataDir)();
    const { api } = await readAddresses(dataDir).catch((): Record<string, string> => ({}));
    if (!seen.ok || !api) return seen;
    const { time }: EdgeStatus = JSON.parse((await askProgram(`${api}/v1/status`)).text);
    const offMs = time?.known ? Math.abs(time.correctionMs) : 0;
    if (offMs <= CLOCK_OFF_MS_MAX) return seen;
    return {
      ok: false,
      message: `${seen.message}, which is ${Math.round(offMs / 1_000)} s away from the cloud's`,
    };
  };
}

/** What is written to the disk in a day, and whether it takes writes at all. */
function writesLook(dataDir: string): Look {
  return async () => {
    const { api } = await readAddresses(dataDir);
    const { store, diskBudget }: EdgeStatus = JSON.parse(
      (await askProgram(`${api}/v1/status`)).text,
    );
    if (store.problem) return { ok: false, message: store.problem.message };
    if (!diskBudget) return { ok: true, message: "not counted" };
    const { state, writtenBytes, limitBytes, measuredSeconds } = diskBudget;
    const hours = (measuredSeconds / 3_600).toFixed(1);
    const megabytes = (bytes: number) => (bytes / 1_000_000).toFixed(1);
    return {
      ok: state !== "exceeded",
      message: `${megabytes(writtenBytes)} MB in ${hours} hours, of ` +
        `${megabytes(limitBytes)} MB a day` +
        (state === "exceeded" ? ": history and snapshots are coarser" : ""),
    };
  };
}

function linkLook(dataDir: string): Look {
  return async () => {
    const { api } = await readAddresses(dataDir);
    const status: EdgeStatus = JSON.parse((await askProgram(`${api}/v1/status`)).text);
    const { state, since, lastError } = status.link;
    const waiting = `${status.outbox.depth} reports wait`;
    const ok = state === "live";
    const why = ok || lastError === undefined ? "" : `: ${lastError}`;
    return { ok, message: `${state} since ${since}${why}; ${waiting}` };
  };
}

function runtimeLook(config: EdgeConfig): Look {
  return async () => {
    const { endpoint } = config.runtime;
    const runtime = new GrpcRuntime(endpoint);
    try {
      const signal = AbortSignal.timeout(RUNTIME_MS);
      const { status } = await runtime.status({ verbose: false }, signal);
      const conditions = status?.conditions ?? [];
      const bad = conditions.filter((condition) => !condition.status);
      if (bad.length === 0) return { ok: true, message: `${endpoint} is ready` };
      const message = bad.map((c) => `${c.type} is not true: ${c.message || c.reason}`).join("; ");
      return { ok: false, message: `${endpoint}: ${message}` };
    } finally {
      await runtime.close();
    }
  };
}
