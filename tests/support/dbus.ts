/** A D-Bus daemon of a test's own, in a folder of its own. */
import { until } from "./until.ts";

export class PrivateBus implements AsyncDisposable {
  readonly dir: string;
  readonly path: string;
  readonly #daemon: Deno.ChildProcess;

  private constructor(dir: string, daemon: Deno.ChildProcess) {
    this.dir = dir;
    this.path = `${dir}/bus`;
    this.#daemon = daemon;
  }

  static async start(): Promise<PrivateBus> {
    const dir = await Deno.makeTempDir({ prefix: "skerry-dbus-" });
    const daemon = new Deno.Command("dbus-daemon", {
      args: ["--session", "--nofork", "--nopidfile", `--address=unix:path=${dir}/bus`],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const bus = new PrivateBus(dir, daemon);
    await until(() => Deno.stat(bus.path).catch(() => undefined), { what: "the bus" });
    return bus;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#daemon.kill("SIGTERM");
    await this.#daemon.status;
    await Deno.remove(this.dir, { recursive: true });
  }
}
