/**
 * The protocols that are spoken here, by the names manifests use. A protocol's code, and the
 * library it needs, is loaded when the first device of it comes.
 */
import type { CreateDriver } from "./port.ts";

type Load = () => Promise<CreateDriver>;

const modbus: Load = async () => (await import("./drivers/modbus/driver.ts")).createDriver;
const http: Load = async () => (await import("./drivers/http.ts")).createDriver;
const mqtt: Load = async () => (await import("./drivers/mqtt.ts")).createDriver;
const opcua: Load = async () => (await import("./drivers/opcua/driver.ts")).createDriver;
const simulator: Load = async () => (await import("./drivers/simulator.ts")).createDriver;

export interface Protocol {
  /** Devices of one driver share what it holds. */
  driver: string;
  load: Load;
}

/** Names without case, hyphens and underscores. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  modbus: ["modbus", "modbustcp", "modbusrtu", "modbusrtuovertcp"],
  http: ["http", "https", "rest"],
  mqtt: ["mqtt", "mqtts"],
  opcua: ["opcua"],
  simulator: ["simulator", "virtual", "virtualprotocol"],
};

const LOADS: Readonly<Record<string, Load>> = { modbus, http, mqtt, opcua, simulator };

const PROTOCOLS: ReadonlyMap<string, Protocol> = new Map(
  Object.entries(LOADS).flatMap(([driver, load]) =>
    (NAMES[driver] ?? []).map((name) => [name, { driver, load }])
  ),
);

/** Undefined for a protocol that a mapper of its own has to speak. */
export function protocolOf(name: string): Protocol | undefined {
  return PROTOCOLS.get(plainProtocol(name));
}

export function plainProtocol(name: string): string {
  return name.toLowerCase().replaceAll(/[-_ ]/g, "");
}
