/**
 * `scripts/demo`: tells the story and ends, or with `--keep` leaves a background process that holds
 * it up until `--stop`. Whatever happens, what was started is ended and the folder removed; a
 * failure says at which step, with the last lines of every log.
 */
import { SystemClock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import { missingParts } from "../../tests/support/requirements.ts";
import { Site } from "../../tests/support/site.ts";
import { leftovers } from "../../tests/support/site_sweep.ts";
import { actOnKept, followKept, hold, type Kept } from "./keep.ts";
import { tellStory } from "./story.ts";
import { Teller } from "./teller.ts";

const USAGE = `Usage: scripts/demo [--keep | --cut | --heal | --stop]

Without a flag: starts a private containerd, the cloud and an edge, takes a pod from kubectl to a
container and back over a link that goes away, and leaves nothing running.

  --keep   leave it up and say how to use it
  --cut    cut the link of the one that is up
  --heal   heal it
  --stop   end the one that is up`;

interface TourOptions {
  keep: boolean;
}

async function tour({ keep }: TourOptions): Promise<number> {
  const clock = new SystemClock();
  const startMs = clock.monotonicMs();
  const missing = missingParts(["root", "containerd", "cni", "busybox", "curl", "ip"]);
  if (missing.length > 0) {
    throw new AppError("unavailable", `Cannot run the demo: it needs ${missing.join(", ")}`);
  }
  const dir = await Deno.makeTempDir({ prefix: "skerry-demo-" });
  const teller = new Teller(dir, (line) => console.log(line));
  const site = new Site(dir, { nodeName: "skerry-1" });
  const stop = stopSignal();
  let code = 0;
  try {
    teller.plain(
      "Skerry: a pod from plain kubectl to a real container, and a link that goes away.",
    );
    teller.plain(`D=${dir}`);
    await Promise.race([tellStory({ site, teller, keep }), stop.requested]);
    if (keep) await hold(site, teller, stop.requested);
  } catch (error) {
    code = 1;
    await explain(error, site, teller);
  }
  stop.end();
  const bridge = site.bridge;
  await site[Symbol.asyncDispose]();
  const left = await leftovers(dir, bridge);
  for (const what of left) teller.plain(`Left over: ${what}`);
  const seconds = ((clock.monotonicMs() - startMs) / 1000).toFixed(1);
  if (left.length === 0) {
    const what = code === 0 ? "Done" : "Ended";
    teller.plain(
      `\n${what} in ${seconds} s. Nothing is left: no process, mount, bridge or folder.`,
    );
  }
  return left.length > 0 ? 1 : code;
}

async function explain(error: unknown, site: Site, teller: Teller): Promise<void> {
  if (error instanceof AppError && error.code === "canceled") {
    teller.plain("\nInterrupted; cleaning up.");
    return;
  }
  console.error(`\n${await site.tails()}`);
  console.error(`\nscripts/demo: step ${teller.step} failed: ${errorChain(error)}`);
}

/** A promise that rejects on the first SIGINT or SIGTERM. */
function stopSignal(): { requested: Promise<never>; end(): void } {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(new AppError("canceled", "Stopped by signal"));
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(name, stop);
  }
  void promise.catch(() => {}); // whoever races with it hears of it
  return {
    requested: promise,
    end: () => {
      for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
        Deno.removeSignalListener(name, stop);
      }
    },
  };
}

const ACTS: Readonly<Record<string, Kept>> = { "--cut": "cut", "--heal": "heal", "--stop": "stop" };

function choose(args: readonly string[]): (() => Promise<number>) | undefined {
  const [flag] = args;
  if (args.length === 0) return () => tour({ keep: false });
  if (args.length > 1 || flag === undefined) return undefined;
  if (flag === "--host") return () => tour({ keep: true });
  if (flag === "--keep") return followKept;
  const act = ACTS[flag];
  return act && (() => actOnKept(act));
}

if (import.meta.main) {
  const command = choose(Deno.args);
  if (!command) {
    const help = Deno.args[0] === "--help" || Deno.args[0] === "-h";
    if (help) console.log(USAGE);
    else console.error(USAGE);
    Deno.exit(help ? 0 : 2);
  }
  try {
    Deno.exit(await command());
  } catch (error) {
    console.error(`scripts/demo: ${errorChain(error)}`);
    Deno.exit(1);
  }
}
