/**
 * Gives devices of v1alpha2 that select their node by labels a node, and another when theirs no
 * longer fits. A node that somebody else has named, then or later, is left alone. `chooseNode` is
 * pure: the node a device has stays while it fits; else the first by name that fits; else, by
 * KubeEdge's reading of a selector, the node whose name is its first value.
 */
import { forEachBounded } from "./bounded.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import { labelSelectorOf } from "../../shared/devices/alpha/device.ts";
import type { AlphaSelector } from "../../shared/devices/alpha/shapes.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import { deepEqual } from "../../shared/json/json.ts";
import type { Device } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Node, NodeSelectorTerm } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { KubeClient } from "../kube/port.ts";
import { deviceKey } from "./device_index.ts";
import { meetsTerms } from "./node_affinity.ts";
import type { ObjectCache } from "./port.ts";

const WRITES_MAX = 16;
/** The node chosen here: a device on any other was put there by someone. */
export const PLACED_ANNOTATION = "devices.skerry.dev/placed-on";

export function chooseNode(
  selector: AlphaSelector,
  nodes: readonly Node[],
  current: string | undefined,
): string | undefined {
  const terms = selector.nodeSelectorTerms as NodeSelectorTerm[]; // operators are checked in use
  const fitting = nodes.filter((node) => meetsTerms(terms, node)).map(nameOf).sort();
  if (current !== undefined && fitting.includes(current)) return current;
  if (fitting.length > 0) return fitting[0];
  const named = selector.nodeSelectorTerms[0]?.matchExpressions?.[0]?.values?.[0];
  return nodes.map(nameOf).find((name) => name === named) ?? current;
}

function mayPlace({ metadata, spec }: Device): boolean {
  return !spec.nodeName || spec.nodeName === metadata.annotations?.[PLACED_ANNOTATION];
}

function nameOf(node: Node): string {
  return node.metadata.name ?? "";
}

export interface DevicePlacementOptions {
  kube: KubeClient;
  devices: ObjectCache<Device>;
  nodes: ObjectCache<Node>;
}

export class DevicePlacement {
  readonly #options: DevicePlacementOptions;
  readonly #log = roomLogger("cloud", "controllers", "device_placement");
  readonly #wakeup = new Wakeup();
  /** Devices that select by labels; few, as only v1alpha2 manifests do. */
  readonly #selecting = new Map<string, Device>();

  constructor(options: DevicePlacementOptions) {
    this.#options = options;
    options.devices.subscribe(({ before, after }) => {
      const key = deviceKey((after ?? before)!); // a change has at least one side
      if (!after || !labelSelectorOf(after)) this.#selecting.delete(key);
      else {
        this.#selecting.set(key, after);
        this.#wakeup.wake();
      }
    });
    options.nodes.subscribe(({ before, after }) => {
      if (this.#selecting.size === 0) return;
      const isSame = before && after && deepEqual(before.metadata.labels, after.metadata.labels);
      if (!isSame) this.#wakeup.wake();
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { devices, nodes } = this.#options;
    await Promise.all([devices.ready(signal), nodes.ready(signal)]);
    while (true) {
      await this.#wakeup.wait(signal);
      const known = [...nodes.list()];
      const moves = [...this.#selecting.values()].flatMap((device) => {
        const selector = mayPlace(device) ? labelSelectorOf(device) : undefined;
        const node = selector && chooseNode(selector, known, device.spec.nodeName);
        return node === undefined || node === device.spec.nodeName ? [] : [{ device, node }];
      });
      await forEachBounded(moves, WRITES_MAX, (move) => this.#move(move, signal));
    }
  }

  async #move({ device, node }: { device: Device; node: string }, signal: AbortSignal) {
    const { namespace = "", name = "", resourceVersion = "" } = device.metadata;
    const annotations = { [PLACED_ANNOTATION]: node };
    const body = { metadata: { resourceVersion, annotations }, spec: { nodeName: node } };
    try {
      await this.#options.kube.patch(
        GVR.devices,
        { namespace, name },
        { type: "merge", body },
        signal,
      );
      this.#log.info("Device placed", { device: deviceKey(device), node });
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      // changed or gone meanwhile: that change wakes us again
      if (isAppError(error, "conflict", "not_found")) return;
      this.#log.warn("Cannot place device; the next change of a node tries again", {
        device: deviceKey(device),
        error: errorChain(error),
      });
    }
  }
}
