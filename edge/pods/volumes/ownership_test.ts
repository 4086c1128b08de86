import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AppError } from "../../../shared/errors.ts";
import { changePolicy, giveToGroup } from "./ownership.ts";

/** Another group than the files are made with, which only root may give; else our own. */
const GID = Deno.uid() === 0 ? 4_242 : Deno.gid() ?? 0;

async function inVolume(work: (dir: string) => Promise<void>): Promise<void> {
  const top = await Deno.makeTempDir({ prefix: "skerry-own-" });
  try {
    await Deno.mkdir(`${top}/volume/a/b`, { recursive: true, mode: 0o755 });
    await Deno.writeTextFile(`${top}/volume/a/b/file`, "x", { mode: 0o600 });
    await Deno.writeTextFile(`${top}/outside`, "x", { mode: 0o600 });
    await work(`${top}/volume`);
  } finally {
    await Deno.remove(top, { recursive: true });
  }
}

function ownerOf(path: string): [number | null, string] {
  const { gid, mode } = Deno.lstatSync(path);
  return [gid, ((mode ?? 0) & 0o7777).toString(8)];
}

Deno.test("giveToGroup() gives folders and files to the group, with its rights", () =>
  inVolume(async (dir) => {
    await Deno.chmod(dir, 0o700);
    await giveToGroup(dir, GID, "OnRootMismatch");
    assertEquals(ownerOf(dir), [GID, "2770"]);
    assertEquals(ownerOf(`${dir}/a`), [GID, "2775"]);
    assertEquals(ownerOf(`${dir}/a/b/file`), [GID, "660"]);
  }));

Deno.test("Always walks again what OnRootMismatch leaves alone", () =>
  inVolume(async (dir) => {
    await giveToGroup(dir, GID, "Always");
    await Deno.writeTextFile(`${dir}/a/later`, "x");
    await Deno.chmod(`${dir}/a/later`, 0o600);
    await giveToGroup(dir, GID, "OnRootMismatch");
    assertEquals(ownerOf(`${dir}/a/later`)[1], "600");
    await giveToGroup(dir, GID, "Always");
    assertEquals(ownerOf(`${dir}/a/later`), [GID, "660"]);
    await Deno.writeTextFile(`${dir}/a/last`, "x");
    await Deno.chmod(`${dir}/a/last`, 0o600);
    await Deno.chmod(dir, 0o755); // the setgid bit is lost: the top is not as it was given
    await giveToGroup(dir, GID, "OnRootMismatch");
    assertEquals(ownerOf(`${dir}/a/last`), [GID, "660"]);
  }));

Deno.test("links, pipes and what they lead to are safe", () =>
  inVolume(async (dir) => {
    const before = ownerOf(`${dir}/../outside`);
    await Deno.symlink("../outside", `${dir}/file`);
    await Deno.symlink("..", `${dir}/up`);
    await Deno.symlink("gone", `${dir}/dangling`);
    await new Deno.Command("mkfifo", { args: [`${dir}/pipe`] }).output();
    await giveToGroup(dir, GID, "Always");
    assertEquals(ownerOf(`${dir}/../outside`), before);
    assertEquals(ownerOf(`${dir}/pipe`)[0], GID, "a pipe nobody writes holds nothing up");
  }));

Deno.test("a folder that is swapped for a link meanwhile leads the walk nowhere", () =>
  inVolume(async (dir) => {
    const secret = `${dir}/../secret`;
    await Deno.mkdir(secret);
    await Deno.writeTextFile(`${secret}/file`, "x", { mode: 0o600 });
    const before = ownerOf(`${secret}/file`);
    let isOver = false;
    const swapping = (async () => {
      for (let round = 0; !isOver; round++) {
        await Deno.rename(`${dir}/a/b`, `${dir}/a/was`);
        await Deno.symlink("../../secret", `${dir}/a/b`);
        await Deno.remove(`${dir}/a/b`);
        await Deno.rename(`${dir}/a/was`, `${dir}/a/b`);
      }
    })();
    for (let round = 0; round < 100; round++) await giveToGroup(dir, GID, "Always");
    isOver = true;
    await swapping;
    assertEquals(ownerOf(`${secret}/file`), before);
  }));

Deno.test("a volume too deep to be walked is refused with what to do", () =>
  inVolume(async (dir) => {
    await Deno.mkdir(`${dir}/${"d/".repeat(300)}`, { recursive: true });
    const error = await assertRejects(() => giveToGroup(dir, GID, "Always"), AppError);
    assertEquals(error.code, "exhausted");
    assertEquals(error.message.includes("fsGroupChangePolicy OnRootMismatch"), true);
  }));

Deno.test("changePolicy() is Always unless the pod says otherwise", () => {
  assertEquals([undefined, "", "Always"].map(changePolicy), ["Always", "Always", "Always"]);
  assertEquals(changePolicy("OnRootMismatch"), "OnRootMismatch");
  assertThrows(() => changePolicy("Never"), AppError, 'Always or OnRootMismatch, got "Never"');
});
