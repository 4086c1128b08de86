/**
 * DeviceManagerService: what mappers call. Each call is checked, given to the twin engine, and
 * answered when what it changed is on disk. Codes: INVALID_ARGUMENT names the field or the rule,
 * NOT_FOUND the device or property, RESOURCE_EXHAUSTED beyond the bounds.
 */
import type { ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AppError, errorChain } from "../../shared/errors.ts";
import {
  DeviceManagerService,
  type MapperRegisterRequest,
  type ReportDeviceStatesRequest,
  type ReportDeviceStatusRequest,
} from "../../shared/gen/v1beta1/api_pb.ts";
import { roomLogger } from "../../shared/log.ts";
import { toConnectError } from "../../shared/wire/rpc_errors.ts";
import type { Rejection, Twins } from "../twins/port.ts";
import type { DeviceName } from "../twins/port.ts";
import { type MapperRecord, readMapper, readReport, readState } from "./reports.ts";
import type { Snapshot } from "./snapshot.ts";
import type { DmiHandler } from "./socket.ts";

/** What Go's gRPC takes by default; thousands of twins, or sixty of the largest. */
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
/** Rejections named one by one. */
const NAMED_MAX = 10;

const log = roomLogger("edge", "dmi");

export interface ServiceOptions {
  twins: () => Twins | undefined;
  register: (mapper: MapperRecord, withData: boolean) => Promise<Snapshot>;
}

export class DeviceManager {
  readonly #options: ServiceOptions;

  constructor(options: ServiceOptions) {
    this.#options = options;
  }

  handler(): DmiHandler {
    return connectNodeAdapter({
      routes: (router) => void router.service(DeviceManagerService, this.#routes()),
      grpc: true,
      grpcWeb: false,
      connect: false,
      readMaxBytes: MESSAGE_BYTES_MAX,
    });
  }

  #routes(): ServiceImpl<typeof DeviceManagerService> {
    return {
      mapperRegister: (request) => answered("MapperRegister", () => this.#register(request)),
      reportDeviceStatus: (request) => answered("ReportDeviceStatus", () => this.#report(request)),
      reportDeviceStates: (request) => answered("ReportDeviceStates", () => this.#state(request)),
    };
  }

  async #register({ withData, mapper }: MapperRegisterRequest): Promise<Snapshot> {
    return await this.#options.register(readMapper(mapper), withData);
  }

  /** What can be taken is taken: one property the model does not know costs the others nothing. */
  async #report(request: ReportDeviceStatusRequest): Promise<Record<never, never>> {
    const { device, rounds } = readReport(request);
    const twins = this.#twins(device);
    // posted in one turn: they are one commit, and in order
    const outcomes = await Promise.all(
      rounds.map((values) => twins.report(device, { twins: values, partial: true })),
    );
    refuse(device, outcomes.flatMap(({ rejections }) => rejections));
    return {};
  }

  async #state(request: ReportDeviceStatesRequest): Promise<Record<never, never>> {
    const { device, state } = readState(request);
    await this.#twins(device).reportState(device, state);
    return {};
  }

  #twins({ namespace, name }: DeviceName): Twins {
    const twins = this.#options.twins();
    if (twins) return twins;
    throw new AppError("not_found", `devices "${namespace}/${name}" not found`);
  }
}

async function answered<T>(call: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof AppError)) log.error(`${call} failed`, { error: errorChain(error) });
    throw toConnectError(error);
  }
}

function refuse({ namespace, name }: DeviceName, rejections: readonly Rejection[]): void {
  const [first] = rejections;
  if (!first) return;
  const named = rejections.slice(0, NAMED_MAX).map(({ reason }) => reason);
  if (rejections.length > NAMED_MAX) named.push(`and ${rejections.length - NAMED_MAX} more`);
  const code = rejections.every(({ rule }) => rule === "unknown_property")
    ? "not_found"
    : "invalid";
  throw new AppError(code, `Device ${namespace}/${name}: ${named.join("; ")}`);
}
