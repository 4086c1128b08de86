/** How an event changes what is known. Pure: an event carries all of what it made so. */
import type { DeviceFacts, DeviceLife, Twin, TwinEvent } from "./model.ts";

/** Facts on top of others; what is under them stays as it is. */
export class Evolved implements DeviceFacts {
  readonly #base: DeviceFacts;
  readonly #twins = new Map<string, Twin>();
  #life: DeviceLife | undefined;

  constructor(base: DeviceFacts) {
    this.#base = base;
  }

  get life(): DeviceLife {
    return this.#life ?? this.#base.life;
  }

  /** Undefined when no event has changed it. */
  get changedLife(): DeviceLife | undefined {
    return this.#life;
  }

  /** By property. */
  get changedTwins(): ReadonlyMap<string, Twin> {
    return this.#twins;
  }

  rules(property: string): ReturnType<DeviceFacts["rules"]> {
    return this.#base.rules(property);
  }

  twin(property: string): Twin {
    return this.#twins.get(property) ?? this.#base.twin(property);
  }

  apply(event: TwinEvent): void {
    if (event.kind === "state") this.#life = event.after;
    else this.put(event.property, event.after);
  }

  put(property: string, twin: Twin): void {
    this.#twins.set(property, twin);
  }
}
