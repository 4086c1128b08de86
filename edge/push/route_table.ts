/**
 * Which properties are pushed, where to, and how often: read from the definitions of devices, one
 * device at a time, and kept in memory only for those that push.
 */
import { deviceText, type PushDevice, type Pushed, type PushTwins } from "./port.ts";
import { destinationKey, routesOf } from "./routes.ts";

/** Nothing is sampled more often. */
const CYCLE_MS_MIN = 100;

export class RouteTable {
  readonly #twins: PushTwins;
  readonly #onProblem: (device: string, problem: string) => void;
  readonly #devices = new Map<string, Map<string, Pushed>>();

  constructor(twins: PushTwins, onProblem: (device: string, problem: string) => void) {
    this.#twins = twins;
    this.#onProblem = onProblem;
  }

  /** Looks at the device's definition anew; true when it pushes. */
  learn(device: PushDevice): boolean {
    const definition = this.#twins.definition(device);
    const pushed = new Map<string, Pushed>();
    for (const property of definition?.properties ?? []) {
      if (!property.pushMethod) continue;
      const { routes, problems } = routesOf(property.pushMethod);
      for (const problem of problems) {
        this.#onProblem(deviceText(device), `property ${property.name}: ${problem}`);
      }
      if (routes.length === 0) continue;
      const { name, type, reportCycleMs: cycleMs } = property;
      pushed.set(name, {
        device: { namespace: device.namespace, name: device.name },
        uid: definition?.uid ?? "",
        property: name,
        type,
        protocol: definition?.protocol.name ?? "",
        routes,
        ...(cycleMs === undefined ? {} : { cycleMs: Math.max(cycleMs, CYCLE_MS_MIN) }),
      });
    }
    if (pushed.size > 0) this.#devices.set(deviceText(device), pushed);
    else this.#devices.delete(deviceText(device));
    return pushed.size > 0;
  }

  forget(device: PushDevice): void {
    this.#devices.delete(deviceText(device));
  }

  /** Forgets devices that `isKnown` does not know. */
  retain(isKnown: (device: string) => boolean): void {
    for (const device of [...this.#devices.keys()]) {
      if (!isKnown(device)) this.#devices.delete(device);
    }
  }

  of(device: PushDevice, property: string): Pushed | undefined {
    return this.#devices.get(deviceText(device))?.get(property);
  }

  ofDevice(device: PushDevice): Pushed[] {
    return [...this.#devices.get(deviceText(device))?.values() ?? []];
  }

  *all(): Iterable<Pushed> {
    for (const pushed of this.#devices.values()) yield* pushed.values();
  }

  /** Cycles there are, ms. */
  cycles(): Set<number> {
    const cycles = new Set<number>();
    for (const { cycleMs } of this.all()) if (cycleMs !== undefined) cycles.add(cycleMs);
    return cycles;
  }

  /** Keys of destinations in use. */
  destinations(): Set<string> {
    const keys = new Set<string>();
    for (const { routes } of this.all()) {
      for (const { destination } of routes) keys.add(destinationKey(destination));
    }
    return keys;
  }
}
