/**
 * Devices called by their name alone, as clients of older KubeEdge do: the one in namespace
 * "default", else the only one of that name. Who was called so is remembered: what happens to it is
 * then published under the short name too.
 */
import type { DeviceName, Twins } from "../twins/port.ts";
import type { DeviceId } from "./topics.ts";

/** As many as a node holds devices. */
const CALLED_MAX = 10_000;
const AMBIGUOUS = "";

export class DeviceNames {
  /** Name to namespace; made when a name is first looked for. */
  #index: Map<string, string> | undefined;
  readonly #called = new Set<string>();

  /** Devices came or went. */
  forget(): void {
    this.#index = undefined;
  }

  resolve(twins: Twins, { namespace, name }: DeviceId): DeviceName | undefined {
    if (namespace !== undefined) {
      return twins.get({ namespace, name }) && { namespace, name };
    }
    const found = this.#find(twins, name);
    if (found && this.#called.size < CALLED_MAX) {
      this.#called.add(`${found.namespace}/${found.name}`);
    }
    return found;
  }

  /** The names to publish under. */
  idsOf({ namespace, name }: DeviceName): DeviceId[] {
    const full = { namespace, name };
    return this.#called.has(`${namespace}/${name}`) ? [full, { name }] : [full];
  }

  #find(twins: Twins, name: string): DeviceName | undefined {
    if (twins.get({ namespace: "default", name })) return { namespace: "default", name };
    this.#index ??= indexOf(twins);
    const namespace = this.#index.get(name);
    return namespace && twins.get({ namespace, name }) ? { namespace, name } : undefined;
  }
}

function indexOf(twins: Twins): Map<string, string> {
  const index = new Map<string, string>();
  for (const { namespace, name } of twins.list()) {
    index.set(name, index.has(name) ? AMBIGUOUS : namespace);
  }
  return index;
}
