/**
 * Merges what people at a site desired of devices, by the rules of ADR 0012. An edit is followed
 * when the Device still desires what the site saw (or what the site itself asked for since); else
 * the cloud's word holds. Either way the Device gets a mark with the edit's id, in the same write:
 * by it the node knows, and an edit that arrives twice is merged once.
 */
import { AppError, errorChain, isAppError } from "../../shared/errors.ts";
import type { Device } from "../../shared/k8s/devices.ts";
import { apiVersionOf, GVR } from "../../shared/k8s/gvr.ts";
import type { ObjectReference } from "../../shared/k8s/types.ts";
import type { TwinIntent } from "../../shared/wire/site_intent.ts";
import {
  decisionOnTwin,
  TWIN_EDITS_ANNOTATION,
  type TwinDecision,
  withTwinDecision,
} from "../../shared/wire/twin_edits.ts";
import type { ReportOutcome } from "../hub/port.ts";
import type { KubeClient } from "../kube/port.ts";

const CONFLICT_TRIES = 8;
const VALUE_CHARS_SHOWN = 120;

export interface Note {
  type: "Normal" | "Warning";
  reason: string;
  message: string;
}

export interface SiteTwinsOptions {
  kube: KubeClient;
  /** Writes an event for people. */
  tell: (
    about: ObjectReference,
    intent: { id: string },
    note: Note,
    signal: AbortSignal,
  ) => Promise<void>;
}

export class SiteTwins {
  readonly #options: SiteTwinsOptions;

  constructor(options: SiteTwinsOptions) {
    this.#options = options;
  }

  async apply(node: string, intent: TwinIntent, signal: AbortSignal): Promise<ReportOutcome> {
    const { namespace, name, uid } = intent.device;
    let refusal: string | undefined;
    for (let attempt = 0; attempt < CONFLICT_TRIES; attempt++) {
      const device = await this.#find(namespace, name, signal);
      if (!device) return { kind: "dropped", reason: "device is gone" };
      if (device.metadata.uid !== uid) {
        return { kind: "dropped", reason: "device was recreated under another uid" };
      }
      if (device.spec.nodeName !== node) {
        return { kind: "dropped", reason: "device does not belong to this node" };
      }
      if (decisionOnTwin(device, intent.property, intent.id)) return { kind: "applied" };
      const conflict = refusal ?? conflictWith(device, intent);
      try {
        await this.#write(device, intent, conflict, signal);
      } catch (error) {
        if (isAppError(error, "conflict")) continue;
        if (!isAppError(error, "invalid", "forbidden") || conflict !== undefined) throw error;
        refusal = `the API refused it: ${errorChain(error)}`;
        continue;
      }
      await this.#tell(node, device, intent, conflict, signal);
      return { kind: "applied" };
    }
    throw new AppError("unavailable", `Cannot write device ${namespace}/${name}: too many writers`);
  }

  async #find(namespace: string, name: string, signal: AbortSignal): Promise<Device | undefined> {
    try {
      return await this.#options.kube.get<Device>(GVR.devices, { namespace, name }, signal);
    } catch (error) {
      if (isAppError(error, "not_found")) return undefined;
      throw error;
    }
  }

  /** The version that was judged, or nothing: a later one makes it a conflict of writers. */
  async #write(
    device: Device,
    intent: TwinIntent,
    conflict: string | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { id, property } = intent;
    const decision: TwinDecision = { intent: id, ...(conflict === undefined ? {} : { conflict }) };
    const annotations = {
      ...device.metadata.annotations,
      [TWIN_EDITS_ANNOTATION]: withTwinDecision(device, property, decision),
    };
    const next: Device = {
      ...(conflict === undefined ? desiring(device, intent) : device),
      metadata: { ...device.metadata, annotations },
    };
    await this.#options.kube.update<Device>(GVR.devices, next, signal);
  }

  /** Beside the write: events are for people. */
  async #tell(
    node: string,
    device: Device,
    intent: TwinIntent,
    conflict: string | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { property, value, at, by } = intent;
    const what = `${property} = ${shown(value)}, asked at the site ${at} by ${by}`;
    const about = deviceReference(device);
    if (conflict === undefined) {
      const note: Note = { type: "Normal", reason: "SiteTwinSet", message: `Desired ${what}` };
      await this.#options.tell(about, intent, note, signal);
      return;
    }
    const message = `Not desired: ${what}: ${conflict}`;
    const note: Note = { type: "Warning", reason: "SiteEditConflict", message };
    await this.#options.tell(about, intent, note, signal);
    const named = { ...note, message: `Device ${about.namespace}/${about.name}: ${message}` };
    await this.#options.tell(nodeReference(node), intent, named, signal);
  }
}

/** Why the cloud's word holds; undefined when the edit is followed. */
function conflictWith(
  device: Device,
  { property, value, base, earlier = [] }: TwinIntent,
): string | undefined {
  const now = device.spec.properties?.find(({ name }) => name === property)?.desired?.value ?? null;
  if (now === value || now === base || (now !== null && earlier.includes(now))) return undefined;
  return now === null
    ? "the cloud desires nothing of it any more"
    : `the cloud desires ${shown(now)} since`;
}

function desiring(device: Device, { property, value }: TwinIntent): Device {
  const { properties = [] } = device.spec;
  const desired = { value };
  const known = properties.some(({ name }) => name === property);
  return {
    ...device,
    spec: {
      ...device.spec,
      properties: known
        ? properties.map((each) => each.name === property ? { ...each, desired } : each)
        : [...properties, { name: property, desired }],
    },
  };
}

function deviceReference(device: Device): ObjectReference {
  const { namespace, name, uid } = device.metadata;
  return {
    apiVersion: apiVersionOf(GVR.devices),
    kind: "Device",
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(uid === undefined ? {} : { uid }),
  };
}

export function nodeReference(node: string): ObjectReference {
  return { apiVersion: "v1", kind: "Node", name: node, uid: node };
}

function shown(value: string): string {
  const text = JSON.stringify(value);
  return text.length <= VALUE_CHARS_SHOWN ? text : `${text.slice(0, VALUE_CHARS_SHOWN)}…`;
}
