/**
 * Users of the embedded broker as an operator keeps them: `skerry-edge mqtt-password`, on a file
 * that mosquitto's programs read and write too, and a broker that takes what changed as it runs.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { connectAsync } from "mqtt";
import { freePort, mosquittoPub, MqttNode, startMosquitto } from "../support/mqtt.ts";
import { must, run } from "../support/process.ts";
import { findPrograms } from "../support/programs.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

const edge = findPrograms().edge;

async function withDir(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-mqtt-it-" });
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function asUser(name: string, password: string): string[] {
  return ["-u", name, "-P", password];
}

testWith(
  ["mosquitto"],
  "mqtt-password: users come, change and go at a running broker",
  async () => {
    await withDir(async (dir) => {
      const file = join(dir, "users");
      const password = async (stdin: string, ...args: string[]) =>
        await run(edge, ["mqtt-password", "--file", file, ...args], { stdin });
      assertEquals((await password("first word\nnot read\n", "ann")).code, 0);
      assertEquals((await Deno.stat(file)).mode! & 0o777, 0o600); // Linux has one
      await must("mosquitto_passwd", ["-b", file, "bob", "other"]);
      await using bus = await MqttNode.start(dir, { usersFile: file });
      const port = await bus.port();
      const code = async (...args: string[]) =>
        (await mosquittoPub(port, "a", "b", asUser(args[0] ?? "", args[1] ?? ""))).code;
      assertEquals([await code("ann", "first word"), await code("bob", "other")], [0, 0]);
      const url = `mqtt://127.0.0.1:${port}`;
      const login = { username: "ann", password: "first word", reconnectPeriod: 0 };
      const held = await connectAsync(url, login);
      const kept = await connectAsync(url, { ...login, username: "bob", password: "other" });
      const gone = new Promise<void>((resolve) => held.once("close", () => resolve()));
      const changed = await password("second", "ann", "-o", "json");
      assertEquals(JSON.parse(changed.stdout), { user: "ann", file, done: "changed" });
      assert(await code("ann", "first word") !== 0, "the old word is no good");
      assertEquals(await code("ann", "second"), 0);
      await gone; // whoever is in by the old one is let go
      assert(kept.connected);
      assertEquals((await password("", "--list")).stdout, "ann\nbob\n");
      assertEquals((await password("", "--delete", "ann")).code, 0);
      assert(await code("ann", "second") !== 0);
      const again = await password("", "--delete", "ann");
      assertEquals(again.code, 1);
      assert(/no user "ann"/.test(again.stderr), again.stderr);
      for (const client of [held, kept]) await client.endAsync(true);
    });
  },
);

testWith(["mosquitto"], "mqtt-password: mosquitto takes the file, and bad input none", async () => {
  await withDir(async (dir) => {
    const file = join(dir, "users");
    const password = async (stdin: string, ...args: string[]) =>
      await run(edge, ["mqtt-password", "--file", file, ...args], { stdin });
    for (const [stdin, name] of [["", "ann"], ["x\n", "a:b"], ["x".repeat(2_000), "ann"]]) {
      const { code, stderr } = await password(stdin ?? "", name ?? "");
      assertEquals([code, stderr.trim().split("\n").length], [1, 1]);
    }
    assertEquals(await Deno.stat(file).catch(() => "none"), "none");
    await password("wörd", "ann");
    await Deno.writeTextFile(file, "nonsense\n", { append: true });
    const { code, stderr } = await password("x", "bob");
    assert(code === 1 && /line 2 of the users file/.test(stderr), stderr);
    await Deno.writeTextFile(file, (await Deno.readTextFile(file)).replace("nonsense\n", ""));
    const port = freePort();
    const lines = ["allow_anonymous false", `password_file ${file}`];
    const mosquitto = await startMosquitto(dir, port, lines);
    try {
      const send = async (word: string) =>
        (await mosquittoPub(port, "a", "b", asUser("ann", word))).code;
      assertEquals(await send("wörd"), 0);
      assert(await send("word") !== 0);
    } finally {
      await mosquitto.stop();
    }
  });
});

testWith(["mosquitto"], "mqtt-password: asked for at a terminal, twice and unseen", async () => {
  await withDir(async (dir) => {
    const file = join(dir, "users");
    const at = async (typed: string[]) => {
      const record = await Deno.makeTempFile({ dir });
      const child = new Deno.Command("script", {
        args: ["-qefc", `${edge} mqtt-password ann --file ${file}`, record],
        stdin: "piped",
        stdout: "null",
        stderr: "null",
      }).spawn();
      const keys = child.stdin.getWriter();
      try {
        for (const [index, word] of typed.entries()) {
          const prompt = index === 0 ? "Password for user ann: " : "Again: ";
          await until(async () => (await Deno.readTextFile(record)).includes(prompt), {
            what: prompt,
            timeoutMs: 60_000,
          });
          await keys.write(new TextEncoder().encode(word));
        }
        const { code } = await child.status;
        return { code, text: await Deno.readTextFile(record) };
      } finally {
        await keys.close().catch(() => {}); // it has ended
        await child.status;
      }
    };
    const differs = await at(["secret\r", "secreT\r"]);
    assertEquals(differs.code, 2);
    assert(/the two passwords differ/.test(differs.text), differs.text);
    const good = await at(["secrex\x7ft\r", "secret\r"]);
    assertEquals(good.code, 0, good.text);
    assert(!/secre/.test(good.text), "it is shown");
    await using bus = await MqttNode.start(dir, { usersFile: file });
    const port = await bus.port();
    assertEquals((await mosquittoPub(port, "a", "b", asUser("ann", "secret"))).code, 0);
  });
});
