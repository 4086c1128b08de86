/** `get KIND [NAME]`: what this node holds, as a table or whole. */
import { stringify } from "yaml";
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { UsageError } from "../../shared/cli/command.ts";
import { writeOut } from "../../shared/cli/run_program.ts";
import { AppError } from "../../shared/errors.ts";
import { groupVersionPath, GVR } from "../../shared/k8s/gvr.ts";
import type { KubeList, KubeObject } from "../../shared/k8s/types.ts";
import { getHistory } from "./get_history.ts";
import { LocalApiClient, SERVER_FLAGS } from "./local_api.ts";
import { align } from "./table.ts";

interface Kind {
  plural: string;
  namespaced: boolean;
  /** "/api/v1" when left out. */
  root?: string;
}

const DEVICES_ROOT = groupVersionPath(GVR.devices);
const DEVICES: Kind = { plural: "devices", namespaced: true, root: DEVICES_ROOT };
const DEVICE_MODELS: Kind = { plural: "devicemodels", namespaced: true, root: DEVICES_ROOT };

const KINDS: Record<string, Kind> = {
  pods: { plural: "pods", namespaced: true },
  pod: { plural: "pods", namespaced: true },
  po: { plural: "pods", namespaced: true },
  nodes: { plural: "nodes", namespaced: false },
  node: { plural: "nodes", namespaced: false },
  no: { plural: "nodes", namespaced: false },
  configmaps: { plural: "configmaps", namespaced: true },
  configmap: { plural: "configmaps", namespaced: true },
  cm: { plural: "configmaps", namespaced: true },
  secrets: { plural: "secrets", namespaced: true },
  secret: { plural: "secrets", namespaced: true },
  events: { plural: "events", namespaced: true },
  event: { plural: "events", namespaced: true },
  ev: { plural: "events", namespaced: true },
  devices: DEVICES,
  device: DEVICES,
  devicemodels: DEVICE_MODELS,
  devicemodel: DEVICE_MODELS,
};

/** No kind of object: what happened here; its name is what it happened to. */
const HISTORY = "history";

const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

interface Table {
  columnDefinitions: { name: string; priority?: number }[];
  rows: { cells: unknown[]; object?: KubeObject }[];
}

export const GET_COMMAND: CommandSpec = {
  name: "get",
  summary: "Show pods, nodes, devices, configmaps, secrets (names), events or history of this node",
  operands: "KIND [NAME]",
  operandsMin: 1,
  operandsMax: 2,
  flags: [
    { name: "namespace", short: "n", value: "NS", help: "Only this namespace (default: all)" },
    { name: "selector", short: "l", value: "SELECTOR", help: "Only objects with these labels" },
    { name: "output", short: "o", value: "FORMAT", help: "wide, name, json or yaml" },
    ...SERVER_FLAGS,
  ],
  run: get,
};

async function get(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const [word = "", name] = invocation.operands;
  const kind = Object.hasOwn(KINDS, word) ? KINDS[word] : undefined;
  if (!kind && word !== HISTORY) {
    throw new UsageError(`unknown kind "${word}"; known: ${knownKinds()}`);
  }
  const output = invocation.flag("output") ?? "table";
  if (!["table", "wide", "name", "json", "yaml"].includes(output)) {
    throw new UsageError(`unknown output "${output}"; known: wide, name, json, yaml`);
  }
  const client = await LocalApiClient.find(invocation);
  if (!kind) return await getHistory(client, { subject: name, output }, signal);
  const path = listPath(invocation, kind, name);
  if (output === "table" || output === "wide") {
    const table: Table = await (await client.get(path, signal, TABLE)).json();
    notFoundUnless(name === undefined || table.rows.length > 0, kind.plural, name);
    writeOut(renderTable(table, kind.namespaced, output === "wide"));
    return 0;
  }
  const list: KubeList = await (await client.get(path, signal)).json();
  notFoundUnless(name === undefined || list.items.length > 0, kind.plural, name);
  writeOut(renderObjects(list, output, kind.plural, name));
  return 0;
}

function listPath(
  invocation: Invocation,
  kind: Kind,
  name: string | undefined,
): string {
  const namespace = invocation.flag("namespace");
  const scope = kind.namespaced && namespace !== undefined
    ? `/namespaces/${encodeURIComponent(namespace)}`
    : "";
  const params = new URLSearchParams();
  const selector = invocation.flag("selector");
  if (selector !== undefined) params.set("labelSelector", selector);
  if (name !== undefined) params.set("fieldSelector", `metadata.name=${name}`);
  return `${kind.root ?? "/api/v1"}${scope}/${kind.plural}?${params}`;
}

function notFoundUnless(found: boolean, plural: string, name: string | undefined): void {
  if (!found) throw new AppError("not_found", `${plural} "${name}" not found`);
}

function renderObjects(
  list: KubeList,
  output: string,
  plural: string,
  name: string | undefined,
): string {
  if (output === "name") {
    return list.items.map((item) => `${plural}/${item.metadata.name}\n`).join("");
  }
  const value = name !== undefined && list.items.length === 1 ? list.items[0] : list;
  return output === "json" ? JSON.stringify(value, null, 2) + "\n" : stringify(value);
}

function renderTable(table: Table, namespaced: boolean, wide: boolean): string {
  const shown = table.columnDefinitions
    .map((column, index) => ({ name: column.name, index, wide: (column.priority ?? 0) > 0 }))
    .filter((column) => wide || !column.wide);
  const head = shown.map((column) => column.name.toUpperCase());
  const rows = table.rows.map((row) => {
    const cells = shown.map((column) => String(row.cells[column.index] ?? ""));
    return namespaced ? [row.object?.metadata.namespace ?? "", ...cells] : cells;
  });
  if (rows.length === 0) return "No resources found on this node.\n";
  return align([namespaced ? ["NAMESPACE", ...head] : head, ...rows]);
}

function knownKinds(): string {
  const plurals = Object.values(KINDS).map((kind) => kind.plural);
  return [...new Set(plurals), HISTORY].join(", ");
}
