/** The routes of devices, for the OpenAPI description. */
import type { Route } from "../openapi.ts";

const DEVICE = "/v1/devices/{namespace}/{name}";
const JSON_TYPE = "application/json";

export const DEVICE_ROUTES: Route[] = [
  {
    path: "/v1/devices",
    summary: "Devices of this node; with watch, or Accept: text/event-stream, their changes",
    type: JSON_TYPE,
    params: [
      ["namespace", "Only of this namespace."],
      ["limit", "At most N of them."],
      ["continue", "`continue` of the page before."],
      ["watch", "true: Server-Sent Events as things change; the first is `resync`."],
    ],
  },
  { path: "/v1/devices/watch", summary: "Changes of all devices", type: "text/event-stream" },
  {
    path: DEVICE,
    summary: "One device with its twins, and `mapper` (protocol, state, reason, problems by " +
      "property) where a built-in mapper speaks to it; also as a stream",
    type: JSON_TYPE,
  },
  {
    method: "patch",
    path: DEVICE,
    summary: 'Report its state: {"state": "online"}',
    type: JSON_TYPE,
  },
  { path: `${DEVICE}/twins`, summary: "What is desired and reported of it", type: JSON_TYPE },
  {
    method: "patch",
    path: `${DEVICE}/twins`,
    summary: 'Report values: {"reported": {property: value or {value, metadata}}, "timestamp"}; ' +
      "200 once it is on disk. PUT does the same",
    type: JSON_TYPE,
  },
  { path: `${DEVICE}/twins/{property}`, summary: "One of them", type: JSON_TYPE },
  {
    method: "patch",
    path: `${DEVICE}/twins/{property}`,
    summary: 'Set what it shall be: {"desired": value, "version"?}, an intent that the cloud ' +
      'merges, 202 once it is on disk; or report it: {"reported": value}',
    type: JSON_TYPE,
    params: [["by", "Who asks."]],
  },
  {
    path: `${DEVICE}/methods`,
    summary: "Its methods, each with the properties that a call writes",
    type: JSON_TYPE,
  },
  {
    method: "post",
    path: `${DEVICE}/methods/{method}`,
    summary: 'Call one: {"properties": {property: value}}; sets what each of them shall be, as ' +
      "intents that the cloud merges, 202 once they are on disk",
    type: JSON_TYPE,
    params: [["by", "Who asks."]],
  },
  {
    path: `${DEVICE}/history`,
    summary: "What changed, oldest first, or thinned by step",
    type: JSON_TYPE,
    params: [
      ["property", "Only of this property."],
      ["kind", "reported, desired, state, added or removed."],
      ["from", "From this RFC 3339 time on."],
      ["to", "Before this RFC 3339 time."],
      ["step", "One item per so much time and property: 10s, 5m, 1h."],
      ["aggregate", "With step, of min, max, avg, last, count; separated by commas."],
      ["limit", "At most N items, 1000 at most."],
      ["after", "`next` of the page before; with a step it is the next `from`, in ms."],
    ],
  },
  {
    path: `${DEVICE}/at`,
    summary: "All its twins as they were at a time",
    type: JSON_TYPE,
    params: [["time", "RFC 3339."]],
  },
];
