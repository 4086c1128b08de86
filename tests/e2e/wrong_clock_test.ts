/**
 * A whole node whose machine is ten years behind or ahead (libfaketime; the certificates' dates are
 * judged by the same wrong clock): it joins, is live and knows the time; stamps it made before it
 * knew are put right.
 */
import { assert } from "@std/assert";
import { join } from "@std/path";
import { SystemClock } from "../../shared/clock.ts";
import { must, startChild } from "../support/process.ts";
import { findPrograms } from "../support/programs.ts";
import { testWith } from "../support/requirements.ts";
import { EdgeClient } from "../support/site_clients.ts";
import { until } from "../support/until.ts";

interface Status {
  link: { state: string; since: string };
  time: { known: boolean; correctionMs: number };
}

const programs = findPrograms();
const NO_LISTEN = "127.0.0.1:0";
const YEAR_MS = 365 * 86_400_000;

testWith(
  ["faketime"],
  "a node whose clock is ten years off joins and knows the time",
  async (t) => {
    const dir = await Deno.makeTempDir({ prefix: "skerry-clock-" });
    const cloudDir = join(dir, "cloud");
    const listen = ["api", "hub", "admin"].flatMap((name) => [`--${name}-listen`, NO_LISTEN]);
    const cloud = await startChild({
      name: "cloud",
      command: programs.cloud,
      args: ["run", "--data-dir", cloudDir, ...listen],
      logDir: dir,
    });
    try {
      const { hub } = Object(await cloud.waitForJson(join(cloudDir, "addresses.json"), 60_000));
      for (const years of ["-10", "+10"]) {
        await t.step(`${years} years`, async () => {
          const edgeDir = join(dir, `edge${years}`);
          const nodeName = years.startsWith("-") ? "behind" : "ahead";
          const words = ["token", "create", "--data-dir", cloudDir];
          const token = (await must(programs.cloud, words)).trim();
          // by environment, because the wrapper would keep signals to itself
          const preload = await must("faketime", ["-f", `${years}y`, "printenv", "LD_PRELOAD"]);
          const env = {
            LD_PRELOAD: preload.trim(),
            FAKETIME: `${years}y`,
            FAKETIME_DONT_FAKE_MONOTONIC: "1", // timers must go on: only the wall clock lies
          };
          const joinArgs = [
            [
              "join",
              "--cloud",
              String(hub),
              "--token",
              token,
              "--node-name",
              nodeName,
            ],
            ["--no-systemd", "--data-dir", edgeDir, "--pod-logs-dir", join(edgeDir, "logs")],
            ["--api-listen", NO_LISTEN, "--runtime-endpoint", `unix://${join(dir, "none.sock")}`],
          ].flat();
          await must(programs.edge, joinArgs, { env });
          const edge = await startChild({
            name: `edge${years}`,
            command: programs.edge,
            args: ["run", "--data-dir", edgeDir],
            env,
            logDir: dir,
          });
          try {
            const found = await edge.waitForJson(join(edgeDir, "addresses.json"), 60_000);
            const client = new EdgeClient(found);
            const status = await until(async () => {
              const now = await client.get<Status>("/v1/status");
              return now.link.state === "live" && now;
            }, { what: "the link to be live", timeoutMs: 60_000 });
            assert(status.time.known);
            assert(Math.abs(Math.abs(status.time.correctionMs) / YEAR_MS - 10) < 0.1);
            const offMs = Date.parse(status.link.since) - new SystemClock().nowMs();
            assert(Math.abs(offMs) < 30_000, `since is ${offMs} ms off`);
          } finally {
            await edge.stop();
          }
        });
      }
    } finally {
      await cloud.stop();
      await Deno.remove(dir, { recursive: true });
    }
  },
);
