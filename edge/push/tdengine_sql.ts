/**
 * TDengine statements, as KubeEdge's mappers write them: a super table a device, named
 * `<namespace>_<device>`, with the columns ts, deviceid, propertyname, data and type, and a table a
 * property. There those tables are named by the property alone, so that devices share them; here
 * the device's name goes before. Pure.
 */
import type { Sample } from "./port.ts";

/** Longest name of a table there. */
const NAME_MAX = 192;
/** Of a value, in a table made here. */
const DATA_BYTES = 4_096;

/** By name, what makes the super table of each device. */
export function createTables(samples: readonly Sample[]): Map<string, string> {
  const tables = new Map<string, string>();
  for (const sample of samples) {
    const name = superTable(sample);
    const columns = `ts TIMESTAMP, deviceid BINARY(512), propertyname BINARY(256), ` +
      `data BINARY(${DATA_BYTES}), type BINARY(64)`;
    // the tag's name is KubeEdge's
    const sql = `CREATE STABLE IF NOT EXISTS \`${name}\` (${columns}) TAGS (localtion BINARY(256))`;
    tables.set(name, sql);
  }
  return tables;
}

export function insertInto(samples: readonly Sample[]): string {
  const parts = samples.map((sample) => {
    const { namespace, device, property, value, type, atMs } = sample;
    const parent = superTable(sample);
    const table = legal(`${namespace}_${device}_${property}`);
    const values = [`${namespace}/${device}`, property, value, type].map(quoted).join(",");
    return `\`${table}\` USING \`${parent}\` TAGS (${quoted(legal(property))}) ` +
      `VALUES (${Math.round(atMs)},${values})`;
  });
  return `INSERT INTO ${parts.join(" ")}`;
}

function superTable({ namespace, device }: Sample): string {
  return legal(`${namespace}_${device}`);
}

/** Names that must be cut keep apart by the end that is left of them. */
function legal(name: string): string {
  const safe = name.replace(/[^A-Za-z0-9_]/g, "_").toLowerCase();
  return safe.length <= NAME_MAX ? safe : safe.slice(-NAME_MAX);
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, (character) => `\\${character}`)}'`;
}
