/**
 * Says on a device what is wrong between it and its model: the model is not there, or was changed
 * so that the device does not fit it any more. The API server refuses what it can see at a write;
 * this sees the rest. A device that fits has no condition, so that thousands made at once cost
 * nothing; one that was told off is told when it fits. `judgeDevice` is pure.
 *
 *     change of device or model -> dirty -> (settled) -> condition Accepted=False and an event
 */
import { Wakeup } from "../../shared/async/wakeup.ts";
import { type Clock, toTime } from "../../shared/clock.ts";
import { checkAgainstModel } from "../../shared/devices/check_against_model.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import type { Device, DeviceModel } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Condition } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { KubeClient } from "../kube/port.ts";
import { forEachBounded } from "./bounded.ts";
import { deviceKey, isSameForNode } from "./device_index.ts";
import type { EventRecorder } from "./events.ts";
import type { ObjectCache } from "./port.ts";

/** Manifests come in any order: a model a moment behind its devices is nobody's mistake. */
const SETTLE_MS = 2_000;
const WRITES_MAX = 8;
/** Of one pass; ten thousand devices without a model need no ten thousand events. */
const EVENTS_MAX = 100;
const MESSAGE_MAX = 1_024;

export interface Verdict {
  reason: "ModelNotFound" | "ModelMismatch";
  message: string;
}

/** What is wrong between a device and its model; undefined when nothing is. */
export function judgeDevice(device: Device, model: DeviceModel | undefined): Verdict | undefined {
  const name = device.spec.deviceModelRef?.name ?? "";
  if (!model) {
    if (name === "") return undefined; // it was said when it was written
    return { reason: "ModelNotFound", message: `Device model "${name}" does not exist` };
  }
  const problems = checkAgainstModel(device.spec, model.spec).filter(({ isAdvice }) => !isAdvice);
  const [first] = problems;
  if (!first) return undefined;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
  const what = `${first.path}: ${first.reason} ${first.detail}`.trim();
  const message = `Does not fit device model "${name}": ${what}${more}`.slice(0, MESSAGE_MAX);
  return { reason: "ModelMismatch", message };
}

export interface DeviceReviewOptions {
  kube: KubeClient;
  devices: ObjectCache<Device>;
  models: ObjectCache<DeviceModel>;
  events: EventRecorder;
  clock: Clock;
}

export class DeviceReview {
  readonly #options: DeviceReviewOptions;
  readonly #log = roomLogger("cloud", "controllers", "device_review");
  readonly #wakeup = new Wakeup();
  #dirty = new Map<string, { namespace: string | undefined; name: string }>();

  constructor(options: DeviceReviewOptions) {
    this.#options = options;
    const { devices, models } = options;
    devices.subscribe(({ before, after }) => {
      if (after && !(before && isSameForNode(before, after))) this.#mark(after);
    });
    models.subscribe(({ before, after }) => {
      const { namespace, name } = (after ?? before)!.metadata; // a change has at least one side
      for (const device of devices.list()) {
        const isOurs = device.metadata.namespace === namespace &&
          device.spec.deviceModelRef?.name === name;
        if (isOurs) this.#mark(device);
      }
    });
  }

  #mark(device: Device): void {
    const { namespace, name = "" } = device.metadata;
    this.#dirty.set(deviceKey(device), { namespace, name });
    this.#wakeup.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { devices, models, clock } = this.#options;
    await Promise.all([devices.ready(signal), models.ready(signal)]);
    while (true) {
      await this.#wakeup.wait(signal);
      await clock.sleep(SETTLE_MS, signal);
      const dirty = [...this.#dirty.values()];
      this.#dirty = new Map();
      let eventsLeft = EVENTS_MAX;
      await forEachBounded(dirty, WRITES_MAX, async ({ namespace, name }) => {
        const device = devices.get(namespace, name);
        if (device && await this.#judge(device, eventsLeft > 0, signal)) eventsLeft--;
      });
    }
  }

  /** True when something new was found wrong. */
  async #judge(device: Device, withEvent: boolean, signal: AbortSignal): Promise<boolean> {
    const { models, events } = this.#options;
    const name = device.spec.deviceModelRef?.name ?? "";
    const verdict = judgeDevice(device, models.get(device.metadata.namespace, name));
    const known = device.status?.conditions?.find(({ type }) => type === "Accepted");
    const isKnown = verdict
      ? known?.reason === verdict.reason && known.message === verdict.message
      : known === undefined || known.status === "True";
    if (isKnown) return false;
    await this.#tell(device, verdict, signal);
    if (!verdict) return false;
    if (withEvent) await events.record(device, { type: "Warning", ...verdict }, signal);
    return true;
  }

  async #tell(device: Device, verdict: Verdict | undefined, signal: AbortSignal): Promise<void> {
    const { kube, clock } = this.#options;
    const { namespace = "", name = "", uid = "" } = device.metadata;
    const condition: Condition = {
      type: "Accepted",
      status: verdict ? "False" : "True",
      reason: verdict?.reason ?? "ModelFits",
      message: verdict?.message ?? "",
      lastTransitionTime: toTime(clock.nowMs()),
    };
    const others = (device.status?.conditions ?? []).filter(({ type }) => type !== "Accepted");
    const body = { metadata: { uid }, status: { conditions: [...others, condition] } };
    const target = { namespace, name, subresource: "status" };
    try {
      await kube.patch(GVR.devices, target, { type: "merge", body }, signal);
    } catch (error) {
      if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
      if (isAppError(error, "conflict", "not_found")) return; // gone, or another of this name
      this.#log.warn("Cannot tell what is wrong with device; trying again", {
        device: deviceKey(device),
        error: errorChain(error),
      });
      this.#mark(device);
    }
  }
}
