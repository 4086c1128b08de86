/** A protocol without a wire, for tests: a device that can be slow, refuse, lie, or be away. */
import { TaskScope } from "../../shared/async/task_scope.ts";
import { Changes } from "../../shared/async/wakeup.ts";
import { AppError } from "../../shared/errors.ts";
import type { DeviceProperty } from "../../shared/k8s/devices.ts";
import { SeededRandom } from "../../shared/random.ts";
import { named, TwinWorld } from "../twins/testing.ts";
import { MapperRoom } from "./mapper_room.ts";
import type { Connection, Driver, MappedStatus, Point, Reading } from "./port.ts";

export class FakeDevice implements Driver {
  readonly values = new Map<string, Reading>();
  /** What was asked, in order: "open", "read a,b", "write a=1", "close". */
  readonly calls: string[] = [];
  away = false;
  /** Answers nothing until its signal aborts, and not even then when "deaf". */
  hangs: false | true | "deaf" = false;
  /** Takes what is written and stays as it is. */
  lies = false;
  opened = 0;
  #lost = new AbortController();

  open(_device: unknown, signal: AbortSignal): Promise<Connection> {
    this.calls.push("open");
    signal.throwIfAborted();
    if (this.away) return Promise.reject(new AppError("unavailable", "No route to it"));
    this.opened++;
    this.#lost = new AbortController();
    return Promise.resolve({
      lost: this.#lost.signal,
      read: (points, s) => this.#read(points, s),
      write: async (point, value, s) => {
        this.calls.push(`write ${point.name}=${value}`);
        await this.#answer(s);
        if (point.config["refuses"]) throw new AppError("invalid", "It will not");
        if (!this.lies) this.values.set(point.name, value);
        return { kind: "verify", expected: value };
      },
      close: () => {
        this.calls.push("close");
        this.opened--;
        return Promise.resolve();
      },
    });
  }

  lose(): void {
    this.#lost.abort(new AppError("unavailable", "The line went dead"));
  }

  async #read(points: readonly Point[], signal: AbortSignal) {
    this.calls.push(`read ${points.map(({ name }) => name).join()}`);
    await this.#answer(signal);
    if (this.away) throw new AppError("unavailable", "It does not answer");
    const found = points.map(({ name }) => [name, this.values.get(name)] as const);
    return new Map(found.filter((each): each is [string, Reading] => each[1] !== undefined));
  }

  async #answer(signal: AbortSignal): Promise<void> {
    if (!this.hangs) return;
    const { promise, reject } = Promise.withResolvers<void>();
    if (this.hangs !== "deaf") signal.addEventListener("abort", () => reject(signal.reason));
    await promise;
  }
}

/** A node with devices of the protocol "fake" and the real twins, in virtual time. */
export class MapperWorld {
  readonly world = new TwinWorld();
  readonly devices = new Map<string, FakeDevice>();
  /** "Warning DeviceUnreachable a: No route to it". */
  readonly events: string[] = [];
  readonly external = { taken: false, changes: new Changes() };
  readonly room: MapperRoom;
  readonly #scope = new TaskScope();

  constructor() {
    this.world.open();
    this.room = new MapperRoom({
      twins: this.world.twins,
      clock: this.world.clock,
      random: new SeededRandom(1),
      events: {
        record: ({ involvedObject: { name }, type, reason, message }) => {
          this.events.push(`${type} ${reason} ${name}: ${message}`);
          return Promise.resolve();
        },
      },
      external: { has: () => this.external.taken, changes: this.external.changes },
      protocols: (name) =>
        name !== "fake" ? undefined : {
          driver: "fake",
          load: () =>
            Promise.resolve(() => ({
              open: (device, signal) => this.device(device.name).open(device, signal),
            })),
        },
    });
    this.#scope.spawn("mappers", (signal) => this.room.run(signal));
  }

  device(name: string): FakeDevice {
    const known = this.devices.get(name) ?? new FakeDevice();
    this.devices.set(name, known);
    return known;
  }

  /** With these properties of type INT. */
  async put(
    name: string,
    properties: Record<string, Partial<DeviceProperty>>,
    protocol = "fake",
  ): Promise<void> {
    const names = Object.keys(properties);
    this.world.putModel(
      names.map((each) => ({ name: each, type: "INT", accessMode: "ReadWrite" })),
    );
    this.world.putDevice(name, (device) => {
      device.spec.protocol = { protocolName: protocol };
      device.spec.properties = names.map((each) => ({ name: each, ...properties[each] }));
    });
    await this.world.engine.sync();
  }

  reported(name: string, property: string): string | undefined {
    return this.world.twins.twin(named(name), property)?.reported?.value;
  }

  state(name: string): string | undefined {
    return this.world.twins.get(named(name))?.life.state;
  }

  status(name: string): MappedStatus | undefined {
    return this.room.statusOf(named(name));
  }

  async until(state: () => unknown): Promise<void> {
    await this.world.clock.until(state);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }
}
