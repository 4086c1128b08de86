/**
 * Slices of systemd over D-Bus, for nodes whose runtime leaves cgroups to systemd. The connection
 * is made when the first is asked for. What is there already gets its new properties.
 */
import { AppError, isAppError } from "../../shared/errors.ts";
import type { DBusConnection } from "../../shared/dbus/connection.ts";
import type { DBusValue } from "../../shared/dbus/marshal.ts";

const SYSTEMD = {
  destination: "org.freedesktop.systemd1",
  path: "/org/freedesktop/systemd1",
  interface: "org.freedesktop.systemd1.Manager",
} as const;
const UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit";

export class SystemdSlices {
  readonly #busPath: string | undefined;
  #bus: Promise<DBusConnection> | undefined;

  /** The system's bus when left out. */
  constructor(busPath?: string) {
    this.#busPath = busPath;
  }

  /** AppError "unavailable" where no systemd answers. */
  async ensure(unit: string, properties: readonly DBusValue[]): Promise<void> {
    const bus = await this.#connect();
    try {
      await bus.call({
        ...SYSTEMD,
        member: "StartTransientUnit",
        signature: "ssa(sv)a(sa(sv))",
        body: [unit, "replace", properties, []],
      });
    } catch (error) {
      if (!isAppError(error) || !error.message.includes(UNIT_EXISTS)) throw error;
      // only what may change at run time; the rest was set when it was made
      const changeable = properties.filter((each) =>
        Array.isArray(each) && !["Description", "DefaultDependencies"].includes(String(each[0]))
      );
      await bus.call({
        ...SYSTEMD,
        member: "SetUnitProperties",
        signature: "sba(sv)",
        body: [unit, true, changeable],
      });
    }
  }

  /** Absent is done. */
  async stop(unit: string): Promise<void> {
    const bus = await this.#connect();
    try {
      await bus.call({ ...SYSTEMD, member: "StopUnit", signature: "ss", body: [unit, "replace"] });
    } catch (error) {
      if (!isAppError(error) || !error.message.includes(NO_SUCH_UNIT)) throw error;
    }
  }

  async close(): Promise<void> {
    const bus = await this.#bus?.catch(() => undefined); // there was none
    this.#bus = undefined;
    bus?.close();
    await bus?.ended;
  }

  #connect(): Promise<DBusConnection> {
    this.#bus ??= this.#open();
    return this.#bus;
  }

  /** A bus that goes away is asked for again the next time. */
  async #open(): Promise<DBusConnection> {
    try {
      const { DBusConnection } = await import("../../shared/dbus/connection.ts");
      const bus = await DBusConnection.open(this.#busPath);
      void bus.ended.then(() => this.#bus = undefined); // never rejects
      return bus;
    } catch (error) {
      this.#bus = undefined;
      if (error instanceof AppError) throw error;
      throw new AppError("unavailable", "Cannot reach systemd", {}, { cause: error });
    }
  }
}
