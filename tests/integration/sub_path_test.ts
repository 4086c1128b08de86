/**
 * A subPath while someone who can write to the volume swaps its folder for a link as fast as the
 * machine can: what is shown always lies in the volume, or nothing is shown.
 */
import { assert, assertEquals } from "@std/assert";
import { PodVolumes, VolumeError } from "../../edge/pods/volumes/pod_volumes.ts";
import { SystemMounter } from "../../edge/pods/volumes/mounter.ts";
import { AppError } from "../../shared/errors.ts";
import { startChild } from "../support/process.ts";
import { testWith } from "../support/requirements.ts";

const ROUNDS = 60;

testWith(["root"], "a subPath never shows what lies outside its volume", async () => {
  const dir = await Deno.makeTempDir({ prefix: "skerry-subpath-" });
  const [volume, outside] = [`${dir}/volume`, `${dir}/outside`];
  for (const folder of [volume, outside]) await Deno.mkdir(folder);
  await Deno.writeTextFile(`${outside}/secret`, "host");
  await Deno.mkdir(`${volume}/real`);
  await Deno.symlink(outside, `${volume}/link`);
  // renameat2 with RENAME_EXCHANGE would be quicker; renames of two names do as well
  const script = `cd ${volume}; while :; do mv real part; mv part real; ` +
    "mv link part; mv part link; done";
  const mounter = new SystemMounter();
  const volumes = new PodVolumes(`${dir}/pods`, mounter);
  const swapper = await startChild({
    name: "swapper",
    command: "sh",
    args: ["-c", script],
    logDir: dir,
  });
  const seen = { shown: 0, refused: 0 };
  try {
    const prepared = new Map([["v", { path: volume, readOnly: false }]]);
    const container = {
      name: "c",
      image: "i",
      volumeMounts: [{ name: "v", mountPath: "/m", subPath: "part" }],
    };
    for (let round = 0; round < ROUNDS; round++) {
      try {
        const [mount] = await volumes.mounts("uid-1", container, prepared, new Map());
        const names = await Array.fromAsync(Deno.readDir(mount?.hostPath ?? ""));
        assertEquals(names.some(({ name }) => name === "secret"), false);
        seen.shown++;
      } catch (error) {
        const isRefusal = error instanceof AppError || error instanceof VolumeError ||
          error instanceof Deno.errors.NotFound || error instanceof Deno.errors.AlreadyExists;
        if (!isRefusal) throw error;
        seen.refused++;
      }
    }
  } finally {
    await swapper.stop();
    await mounter.unmountBelow(dir);
    await Deno.remove(dir, { recursive: true });
  }
  console.log(JSON.stringify(seen));
  assert(seen.shown > 0);
});
