/**
 * Shutdown over a real D-Bus daemon of its own, with a stand-in for logind on it: the messages, the
 * child that holds the lock, and what happens where there is no logind.
 */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { DBusConnection } from "../../shared/dbus/connection.ts";
import { AppError } from "../../shared/errors.ts";
import { openLogind } from "../../edge/node/shutdown/logind.ts";
import { PrivateBus } from "../support/dbus.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

const MANAGER = "org.freedesktop.login1.Manager";

/** Answers what is asked of logind and of systemd; a reload takes the written delay. */
async function standIn(bus: PrivateBus): Promise<DBusConnection> {
  const connection = await DBusConnection.open(bus.path);
  let delay = 5_000_000n;
  connection.onCall = ({ member }) => {
    if (member === "Get") return { signature: "v", body: [{ type: "t", value: delay }] };
    if (member !== "KillUnit") return undefined;
    const text = Deno.readTextFileSync(`${bus.dir}/conf/99-skerry-edge.conf`);
    delay = BigInt(/InhibitDelayMaxSec=(\d+)/.exec(text)?.[1] ?? 0) * 1_000_000n;
    return { signature: "", body: [] };
  };
  await connection.requestName("org.freedesktop.login1");
  await connection.requestName("org.freedesktop.systemd1");
  return connection;
}

testWith(["dbus-daemon"], "a shutdown is heard of and held back over a real bus", async () => {
  await using bus = await PrivateBus.start();
  const login = await standIn(bus);
  const logind = await openLogind({
    busPath: bus.path,
    configDir: `${bus.dir}/conf`,
    inhibitCommand: ["cat"],
  });
  try {
    assertEquals(await logind.allowDelay(3_000), 5_000);
    assertEquals(await logind.allowDelay(45_500), 46_000);
    const heard: boolean[] = [];
    await logind.onPrepare((isGoingDown) => heard.push(isGoingDown));
    const lock = await logind.inhibit();
    for (const isGoingDown of [true, false]) {
      await login.emit({
        path: "/org/freedesktop/login1",
        interface: MANAGER,
        member: "PrepareForShutdown",
        signature: "b",
        body: [isGoingDown],
      });
    }
    await until(() => heard.length === 2, { what: "both signals" });
    assertEquals(heard, [true, false]);
    await lock.release();
    login.close();
  } finally {
    logind.close();
    login.close();
    await logind.ended;
  }
});

testWith(["dbus-daemon"], "a bus without logind, a lock that is refused, and no bus", async () => {
  await using bus = await PrivateBus.start();
  const none = await assertRejects(() => openLogind({ busPath: bus.path }), AppError);
  assertStringIncludes(none.message, "org.freedesktop.login1");
  const login = await standIn(bus);
  const logind = await openLogind({ busPath: bus.path, inhibitCommand: ["false"] });
  await assertRejects(() => logind.inhibit(), AppError, "refused");
  logind.close();
  login.close();
  await assertRejects(() => openLogind({ busPath: `${bus.dir}/nothing` }), AppError, "D-Bus");
});
