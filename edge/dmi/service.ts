/**
 * DeviceManagerService: what mappers call. Each call is checked, given to the twin engine, and
 * answered when what it changed is on disk. Codes: INVALID_ARGUMENT names the field or the rule,
 * NOT_FOUND the device or property, RESOURCE_EXHAUSTED beyond the bounds.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { AppError } from "../../shared/errors.ts";
import {
  DeviceManagerService,
  type MapperRegisterRequest,
  type ReportDeviceStatesRequest,
  type ReportDeviceStatusRequest,
} from "../../shared/gen/v1beta1/api_pb.ts";
import type { Rejection, Twins } from "../twins/port.ts";
import type { DeviceName } from "../twins/port.ts";
import { type MapperRecord, readMapper, readReport, readState } from "./reports.ts";
import type { Snapshot } from "./snapshot.ts";
import type { UnaryMethod, UnaryMethods } from "./unary.ts";

/** What Go's gRPC takes by default; thousands of twins, or sixty of the largest. */
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
/** Rejections named one by one. */
const NAMED_MAX = 10;

export interface ServiceOptions {
  twins: () => Twins | undefined;
  /** Is to answer within `timeoutMs`, with less than all if need be. */
  register: (mapper: MapperRecord, withData: boolean, timeoutMs: number) => Promise<Snapshot>;
}

export class DeviceManager {
  readonly #options: ServiceOptions;

  constructor(options: ServiceOptions) {
    this.#options = options;
  }

  methods(): UnaryMethods {
    const { method } = DeviceManagerService;
    return {
      requestBytesMax: MESSAGE_BYTES_MAX,
      byPath: new Map([
        unary(method.mapperRegister, (request, timeoutMs) => this.#register(request, timeoutMs)),
        unary(method.reportDeviceStatus, (request) => this.#report(request)),
        unary(method.reportDeviceStates, (request) => this.#state(request)),
      ]),
    };
  }

  async #register(
    { withData, mapper }: MapperRegisterRequest,
    timeoutMs: number,
  ): Promise<Snapshot> {
    return await this.#options.register(readMapper(mapper), withData, timeoutMs);
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

/** A method with its path, from bytes to bytes. */
function unary<I extends DescMessage, O extends DescMessage>(
  { parent, name, input, output }: DescMethodUnary<I, O>,
  work: (request: MessageShape<I>, timeoutMs: number) => Promise<MessageInitShape<O>>,
): [path: string, method: UnaryMethod] {
  const method: UnaryMethod = async (bytes, timeoutMs) => {
    const answer = await work(readMessage(input, bytes), timeoutMs);
    return toBinary(output, create(output, answer));
  };
  return [`/${parent.typeName}/${name}`, method];
}

function readMessage<M extends DescMessage>(message: M, bytes: Uint8Array): MessageShape<M> {
  try {
    return fromBinary(message, bytes);
  } catch (cause) {
    throw new AppError("invalid", `Cannot read the bytes as ${message.typeName}`, {}, { cause });
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
