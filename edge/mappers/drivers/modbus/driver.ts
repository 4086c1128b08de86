/**
 * Modbus TCP, RTU on a serial line, and RTU over TCP. configData of the device: `ip` and `port`, or
 * `serialPort`, `baudRate`, `dataBits`, `parity`, `stopBits`; `slaveID`. Of a property: `register`,
 * `offset`, `limit`, `scale`, `isSwap`, `isRegisterSwap` as in KubeEdge, and `encoding`, `signed`.
 */
import { Buffer } from "node:buffer";
import { AppError } from "../../../../shared/errors.ts";
import type { Connection, CreateDriver, DriverDevice, Point, Reading } from "../../port.ts";
import type { WriteOutcome } from "../../port.ts";
import { type Address, addressOf, lineOf, unitOf } from "./address.ts";
import { type Bus, Buses, type Client } from "./bus.ts";
import { decode, encode } from "./codec.ts";
import { answerBytes, planReads, type ReadRequest, slice } from "./plan_reads.ts";

export const createDriver: CreateDriver = () => {
  const buses = new Buses();
  return {
    open: async (device, signal) => {
      const [line, unit] = [lineOf(device), unitOf(device)];
      return new ModbusConnection(device, unit, await buses.open(line, signal));
    },
  };
};

class ModbusConnection implements Connection {
  readonly #bus: Bus;
  readonly #unit: number;
  readonly #addresses = new Map<string, Address | Error>();
  /** Properties the device does not give together with their neighbours. */
  readonly #apart = new Set<string>();

  constructor(device: DriverDevice, unit: number, bus: Bus) {
    this.#bus = bus;
    this.#unit = unit;
    for (const point of device.points) this.#addresses.set(point.name, tryAddress(point));
  }

  get lost(): AbortSignal {
    return this.#bus.lost;
  }

  async read(
    points: readonly Point[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Reading>> {
    const readings = new Map<string, Reading>();
    const addresses: Address[] = [];
    for (const { name } of points) {
      const address = this.#addresses.get(name);
      if (address instanceof Error) readings.set(name, address);
      else if (address) addresses.push(address);
    }
    for (const request of planReads(addresses, this.#apart)) {
      await this.#readInto(readings, request, signal);
    }
    return readings;
  }

  async write(point: Point, value: string, signal: AbortSignal): Promise<WriteOutcome> {
    const address = this.#addresses.get(point.name) ?? new AppError("not_found", "No such point");
    if (address instanceof Error) throw address;
    const { register, offset, count } = address;
    const { bytes, expected } = encode(address, value);
    await this.#ask(signal, async (client) => {
      if (register === "CoilRegister") {
        const bits = Array.from(bytes, (bit) => bit === 1);
        if (count === 1) await client.writeCoil(offset, bits[0] === true);
        else await client.writeCoils(offset, bits);
      } else if (register === "HoldingRegister") {
        const buffer = Buffer.from(bytes);
        if (count === 1) await client.writeRegister(offset, buffer.readUInt16BE(0));
        else await client.writeRegisters(offset, buffer);
      } else {
        throw new AppError("invalid", `Cannot write ${point.name}: ${register} is read-only`);
      }
    });
    return { kind: "verify", expected };
  }

  async close(): Promise<void> {
    await this.#bus.close();
  }

  async #readInto(
    readings: Map<string, Reading>,
    request: ReadRequest,
    signal: AbortSignal,
  ): Promise<void> {
    const { addresses } = request;
    const bytes = await this.#tryRead(request, signal);
    if (!(bytes instanceof Error)) {
      for (const address of addresses) {
        readings.set(address.point.name, tryDecode(address, slice(request, bytes, address)));
      }
    } else if (addresses.length === 1) {
      for (const { point } of addresses) readings.set(point.name, bytes);
    } else {
      // one register that is not there spoils the answer for its neighbours
      for (const address of addresses) {
        const { register, offset, count, point } = address;
        this.#apart.add(point.name);
        await this.#readInto(readings, { register, offset, count, addresses: [address] }, signal);
      }
    }
  }

  async #tryRead(request: ReadRequest, signal: AbortSignal): Promise<Uint8Array | Error> {
    try {
      const { buffer } = await this.#ask(signal, (client) => readOn(client, request));
      const wanted = answerBytes(request);
      if (buffer.length === wanted) return buffer;
      return new AppError("invalid", `Device answered ${buffer.length} bytes instead of ${wanted}`);
    } catch (error) {
      if (error instanceof AppError && error.code === "invalid") return error;
      throw error;
    }
  }

  async #ask<T>(signal: AbortSignal, work: (client: Client) => Promise<T>): Promise<T> {
    try {
      return await this.#bus.run(this.#unit, signal, work);
    } catch (error) {
      if (error instanceof AppError || signal.aborted) throw error;
      const message = error instanceof Error ? error.message : String(error);
      // an exception and a whole frame of another length are answers; what else comes says that the
      // line cannot be trusted
      if (error instanceof Error && "modbusCode" in error) throw new AppError("invalid", message);
      if (message.startsWith("Data length error")) {
        const reason = "Device answered in another length: it may have no such register";
        throw new AppError("invalid", `${reason} (${message})`);
      }
      throw new AppError("unavailable", message || "Modbus failed");
    }
  }
}

function readOn(
  client: Client,
  { register, offset, count }: ReadRequest,
): Promise<{ buffer: Uint8Array }> {
  switch (register) {
    case "CoilRegister":
      return client.readCoils(offset, count);
    case "DiscreteInputRegister":
      return client.readDiscreteInputs(offset, count);
    case "InputRegister":
      return client.readInputRegisters(offset, count);
    case "HoldingRegister":
      return client.readHoldingRegisters(offset, count);
  }
}

function tryAddress(point: Point): Address | Error {
  try {
    return addressOf(point);
  } catch (error) {
    return error instanceof Error ? error : new AppError("internal", String(error));
  }
}

function tryDecode(address: Address, bytes: Uint8Array): Reading {
  try {
    return decode(address, bytes);
  } catch (error) {
    return error instanceof Error ? error : new AppError("internal", String(error));
  }
}
