/**
 * A stand-in for logind on a bus of a test's own, and for `systemd-inhibit`: locks are processes
 * that write their number into a folder as long as they live.
 */
import { join } from "@std/path";
import { DBusConnection } from "../../shared/dbus/connection.ts";
import { PrivateBus } from "./dbus.ts";

/** Locks may hold back this long; more than tests ask for, so that nothing is configured. */
const DELAY_US = 60_000_000n;
const INHIBIT = `#!/bin/sh
touch "$SKERRY_LOCKS/$$"
trap 'rm -f "$SKERRY_LOCKS/$$"' EXIT
cat
`;

export class StandInLogind implements AsyncDisposable {
  readonly #bus: PrivateBus;
  readonly #connection: DBusConnection;

  private constructor(bus: PrivateBus, connection: DBusConnection) {
    this.#bus = bus;
    this.#connection = connection;
  }

  static async start(): Promise<StandInLogind> {
    const bus = await PrivateBus.start();
    const connection = await DBusConnection.open(bus.path);
    connection.onCall = ({ member }) =>
      member === "Get" ? { signature: "v", body: [{ type: "t", value: DELAY_US }] } : undefined;
    await connection.requestName("org.freedesktop.login1");
    for (const folder of ["bin", "locks"]) await Deno.mkdir(join(bus.dir, folder));
    await Deno.writeTextFile(join(bus.dir, "bin/systemd-inhibit"), INHIBIT, { mode: 0o755 });
    return new StandInLogind(bus, connection);
  }

  /** For a program that is to find it in place of the machine's. */
  get env(): Record<string, string> {
    const { dir, path } = this.#bus;
    return {
      DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${path}`,
      SKERRY_LOCKS: join(dir, "locks"),
      PATH: `${join(dir, "bin")}:${Deno.env.get("PATH") ?? ""}`,
    };
  }

  /** How many locks are held. */
  locks(): number {
    return [...Deno.readDirSync(join(this.#bus.dir, "locks"))].length;
  }

  async prepareForShutdown(isGoingDown: boolean): Promise<void> {
    await this.#connection.emit({
      path: "/org/freedesktop/login1",
      interface: "org.freedesktop.login1.Manager",
      member: "PrepareForShutdown",
      signature: "b",
      body: [isGoingDown],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.close();
    await this.#bus[Symbol.asyncDispose]();
  }
}
