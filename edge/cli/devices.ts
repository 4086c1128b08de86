/** Devices, their twins and methods: shown, explained, set and called through the local API. */
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { UsageError } from "../../shared/cli/command.ts";
import { writeOut } from "../../shared/cli/run_program.ts";
import { AppError } from "../../shared/errors.ts";
import type { MethodItem } from "../api/devices/methods.ts";
import type { DeviceWhy } from "../api/devices/why.ts";
import type { Intent } from "../intents/port.ts";
import { type Line, render } from "./describe.ts";
import { renderWhy, wantsJson } from "./explain.ts";
import { LocalApiClient, SERVER_FLAGS } from "./local_api.ts";
import { align } from "./table.ts";

interface ValueView {
  value: string;
  version: number;
  time: string;
  source?: string;
}

interface TwinItem {
  property: string;
  type: string;
  accessMode: string;
  pending: boolean;
  desired?: ValueView;
  reported?: ValueView;
}

interface DeviceItem {
  namespace: string;
  name: string;
  uid: string;
  model: string;
  state: string;
  stateSince: string;
  lastOnlineTime?: string;
  lastSeen?: string;
  protocol?: string;
  labels?: Record<string, string>;
  methods?: string[];
  twins?: TwinItem[];
}

const OUTPUT_FLAG = { name: "output", short: "o", value: "FORMAT", help: "json, or text" };
const NAMESPACE_FLAG = {
  name: "namespace",
  short: "n",
  value: "NS",
  help: "Namespace (default: the device's, if unique)",
};
const VALUE_CHARS_SHOWN = 60;
const NONE = "<none>";

const ONE_DEVICE = {
  operands: "DEVICE",
  operandsMin: 1,
  operandsMax: 1,
  flags: [NAMESPACE_FLAG, OUTPUT_FLAG, ...SERVER_FLAGS],
};

export const DEVICE_COMMANDS: CommandSpec[] = [
  {
    name: "get twins",
    summary: "What is desired and reported of a device",
    ...ONE_DEVICE,
    run: getTwins,
  },
  {
    name: "describe device",
    summary: "A device with its twins, and why it is not as it should be",
    ...ONE_DEVICE,
    run: describeDevice,
  },
  {
    name: "why device",
    summary: "Why a device is not as it should be, in sentences",
    ...ONE_DEVICE,
    run: whyDevice,
  },
  {
    name: "set twin",
    summary: "Set what a property of a device shall be; done here, merged by the cloud",
    operands: "DEVICE PROPERTY VALUE",
    operandsMin: 3,
    operandsMax: 3,
    flags: [NAMESPACE_FLAG, OUTPUT_FLAG, ...SERVER_FLAGS],
    run: setTwin,
  },
  {
    name: "get methods",
    summary: "What can be called on a device, and what each method writes",
    ...ONE_DEVICE,
    run: getMethods,
  },
  {
    name: "call method",
    summary: "Call a method of a device: sets its properties; done here, merged by the cloud",
    operands: "DEVICE METHOD PROPERTY=VALUE...",
    operandsMin: 3,
    operandsMax: 1_000,
    flags: [NAMESPACE_FLAG, OUTPUT_FLAG, ...SERVER_FLAGS],
    run: callMethod,
  },
];

async function getTwins(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const asJson = wantsJson(invocation);
  const client = await LocalApiClient.find(invocation);
  const { path } = await findDevice(client, invocation, signal);
  const { items }: { items: TwinItem[] } = await (await client.get(`${path}/twins`, signal)).json();
  writeOut(asJson ? JSON.stringify(items, null, 2) + "\n" : align(twinTable(items)));
  return 0;
}

async function describeDevice(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const asJson = wantsJson(invocation);
  const client = await LocalApiClient.find(invocation);
  const { path, device } = await findDevice(client, invocation, signal);
  const whole: DeviceItem = await (await client.get(path, signal)).json();
  if (asJson) {
    writeOut(JSON.stringify(whole, null, 2) + "\n");
    return 0;
  }
  const why = await askWhy(client, device, signal);
  const table = align(twinTable(whole.twins ?? [])).split("\n").filter(Boolean);
  writeOut(render([...deviceLines(whole), ["Why", why.summary]]));
  writeOut(`Twins:\n${table.map((line) => `  ${line}\n`).join("")}`);
  return 0;
}

async function whyDevice(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const asJson = wantsJson(invocation);
  const client = await LocalApiClient.find(invocation);
  const { device } = await findDevice(client, invocation, signal);
  const why = await askWhy(client, device, signal);
  writeOut(asJson ? JSON.stringify(why, null, 2) + "\n" : renderWhy(why));
  return 0;
}

async function setTwin(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const asJson = wantsJson(invocation);
  const [, property = "", value = ""] = invocation.operands;
  const client = await LocalApiClient.find(invocation);
  const { path, device } = await findDevice(client, invocation, signal);
  const answer = await client.act(
    "PATCH",
    `${path}/twins/${encodeURIComponent(property)}?${whoAsks()}`,
    signal,
    { desired: value },
  );
  const intent: Intent = await answer.json();
  const done = `device/${device.name}: ${property} shall be ${shown(value)} (${intent.id})\n`;
  writeOut(asJson ? JSON.stringify(intent, null, 2) + "\n" : done);
  return 0;
}

async function getMethods(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const asJson = wantsJson(invocation);
  const client = await LocalApiClient.find(invocation);
  const { path } = await findDevice(client, invocation, signal);
  const answer = await client.get(`${path}/methods`, signal);
  const { items }: { items: MethodItem[] } = await answer.json();
  const rows = items.map(({ name, properties, description = "" }) => [
    name,
    properties.map(({ property, type }) => `${property} (${type.toLowerCase()})`).join(", "),
    description,
  ]);
  if (asJson) writeOut(JSON.stringify(items, null, 2) + "\n");
  else if (rows.length === 0) writeOut("The device has no methods.\n");
  else writeOut(align([["METHOD", "WRITES", "DESCRIPTION"], ...rows]));
  return 0;
}

async function callMethod(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const asJson = wantsJson(invocation);
  const [, method = "", ...given] = invocation.operands;
  const properties = Object.fromEntries(given.map((each) => {
    const at = each.indexOf("=");
    if (at < 1) throw new UsageError(`a property is PROPERTY=VALUE, got ${each}`);
    return [each.slice(0, at), each.slice(at + 1)];
  }));
  const client = await LocalApiClient.find(invocation);
  const { path, device } = await findDevice(client, invocation, signal);
  const act = `${path}/methods/${encodeURIComponent(method)}?${whoAsks()}`;
  const answer = await client.act("POST", act, signal, { properties });
  const { items }: { items: Intent[] } = await answer.json();
  const told = Object.entries(properties).map(([property, value], i) =>
    `device/${device.name}: ${property} shall be ${shown(value)} (${items[i]?.id})\n`
  );
  writeOut(asJson ? JSON.stringify(items, null, 2) + "\n" : told.join(""));
  return 0;
}

function whoAsks(): URLSearchParams {
  const by = Deno.env.get("SUDO_USER") ?? Deno.env.get("USER") ?? `uid ${Deno.uid()}`;
  return new URLSearchParams({ by });
}

/** An operand is NAME where that is unique here, or NAMESPACE/NAME. */
async function findDevice(
  client: LocalApiClient,
  invocation: Invocation,
  signal: AbortSignal,
): Promise<{ path: string; device: { namespace: string; name: string } }> {
  const [operand = ""] = invocation.operands;
  const [first = "", second, ...rest] = operand.split("/");
  if (rest.length > 0) throw new UsageError(`a device is NAME or NAMESPACE/NAME, got ${operand}`);
  const name = second ?? first;
  const namespace = second === undefined ? invocation.flag("namespace") : first;
  const found = namespace === undefined ? await unique(client, name, signal) : { namespace, name };
  const path = `/v1/devices/${encodeURIComponent(found.namespace)}/${encodeURIComponent(name)}`;
  return { path, device: found };
}

async function unique(
  client: LocalApiClient,
  name: string,
  signal: AbortSignal,
): Promise<{ namespace: string; name: string }> {
  const { items }: { items: DeviceItem[] } = await (await client.get("/v1/devices", signal)).json();
  const found = items.filter((item) => item.name === name);
  if (found.length === 1) return found[0]!;
  if (found.length === 0) throw new AppError("not_found", `devices "${name}" not found`);
  const namespaces = found.map((item) => item.namespace).join(", ");
  throw new AppError(
    "invalid",
    `Cannot choose device ${name}: it is in the namespaces ${namespaces}; name one with -n`,
  );
}

async function askWhy(
  client: LocalApiClient,
  { namespace, name }: { namespace: string; name: string },
  signal: AbortSignal,
): Promise<DeviceWhy> {
  const path = [namespace, name].map(encodeURIComponent).join("/");
  return await (await client.get(`/v1/why/device/${path}`, signal)).json();
}

export function twinTable(items: readonly TwinItem[]): string[][] {
  const head = ["PROPERTY", "TYPE", "DESIRED", "REPORTED", "FOLLOWED", "REPORTED AT"];
  const rows = items.map(({ property, type, desired, reported, pending }) => [
    property,
    type.toLowerCase(),
    desired ? shown(desired.value) + (desired.source === "site" ? " (site)" : "") : NONE,
    reported ? shown(reported.value) : NONE,
    desired ? (pending ? "no" : "yes") : "",
    reported?.time ?? "",
  ]);
  return [head, ...rows];
}

function deviceLines(device: DeviceItem): Line[] {
  const { namespace, name, uid, model, state, stateSince, lastOnlineTime, lastSeen } = device;
  const labels = Object.entries(device.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return [
    ["Name", name],
    ["Namespace", namespace],
    ["UID", uid],
    ["Model", model],
    ["Protocol", device.protocol ?? ""],
    ["Labels", labels.join(", ")],
    ["Methods", (device.methods ?? []).join(", ")],
    ["State", `${state} since ${stateSince}`],
    ["Last online", lastOnlineTime ?? ""],
    ["Last heard of", lastSeen ?? ""],
  ];
}

/** One line of a table holds it: text with line ends, and long text, are cut down. */
function shown(value: string): string {
  const text = /^[^\s"\\]+$/.test(value) ? value : JSON.stringify(value);
  return text.length <= VALUE_CHARS_SHOWN ? text : `${text.slice(0, VALUE_CHARS_SHOWN)}…`;
}
