/** What the cloud is told of a device: its state and all its twins, whole. Pure. */
import type { PropertyType, TwinStatus, TwinValue } from "../../shared/k8s/devices.ts";
import type { Report } from "../../shared/wire/report.ts";
import { toTime } from "../../shared/clock.ts";
import type { DeviceName, Twin } from "./model.ts";
import type { DeviceRecord } from "./rows.ts";

/** Of values in one report: an object of the API holds 1.5 MiB. Those beyond it are left out. */
const REPORT_CHARS_MAX = 1024 * 1024;

export interface KnownTwin extends Pick<Twin, "desired" | "reported"> {
  property: string;
  type: PropertyType;
}

export function deviceReport(
  { uid, life, quiet }: DeviceRecord,
  device: DeviceName,
  views: readonly KnownTwin[],
): Report {
  let chars = 0;
  let omitted = 0;
  const twins: TwinStatus[] = [];
  for (const view of views) {
    const { property, reported, desired } = view;
    if (quiet.includes(property) || (!reported && !desired)) continue;
    chars += (reported?.value.length ?? 0) + (desired?.value.length ?? 0);
    if (chars > REPORT_CHARS_MAX) omitted++;
    else twins.push(twinStatus(view));
  }
  const { state, lastOnlineMs } = life;
  return {
    kind: "device_status",
    device: { namespace: device.namespace, name: device.name, uid },
    status: {
      twins,
      ...(quiet.includes("") ? {} : { state }),
      ...(lastOnlineMs === undefined ? {} : { lastOnlineTime: toTime(lastOnlineMs) }),
      ...(omitted === 0 ? {} : { extensions: { omittedTwins: omitted } }),
    },
  };
}

/** Metadata as KubeEdge's cloud writes it: `timestamp` in ms, and `type`. */
export function twinStatus({ property, type, reported, desired }: KnownTwin): TwinStatus {
  const withMetadata = ({ value, metadata, atMs }: TwinValue & { atMs: number }): TwinValue => ({
    value,
    metadata: { timestamp: String(atMs), type: type.toLowerCase(), ...metadata },
  });
  return {
    propertyName: property,
    ...(reported ? { reported: withMetadata(reported) } : {}),
    ...(desired ? { observedDesired: withMetadata(desired) } : {}),
  };
}
