/**
 * Client of one mapper: gRPC over the mapper's own Unix socket, one connection, opened by
 * `connect`, also after it was lost. Nothing is repeated here; outcomes say whether the mapper
 * answered ("refused"), was silent ("silent"), or could not be reached ("away").
 */
import {
  type CallOptions,
  type Client,
  Code,
  ConnectError,
  createClient,
} from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import net from "node:net";
import { AppError, errorChain } from "../../shared/errors.ts";
import {
  type Device,
  DeviceMapperService,
  type DeviceModel,
} from "../../shared/gen/v1beta1/api_pb.ts";
import { UNIX_AUTHORITY, UnixSessions } from "../../shared/wire/unix_sessions.ts";
import type { DeviceName } from "../twins/port.ts";
import { openGuardedSocket } from "./guarded_socket.ts";

/** As KubeEdge gives a mapper; building a device may need its bus. */
export const CALL_MS = 10_000;
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
/** Of a mapper's words, kept and shown. */
const WORDS_CHARS_MAX = 500;

export type MapperCall =
  | { kind: "register_device" | "update_device"; device: Device }
  | { kind: "create_model" | "update_model"; model: DeviceModel }
  | { kind: "remove_device" | "remove_model"; name: DeviceName };

export type CallOutcome =
  | { kind: "done" }
  /** It answered, and said no. */
  | { kind: "refused"; code: Code; message: string }
  | { kind: "silent" }
  | { kind: "away"; message: string };

export interface MapperClient {
  /** Undefined when a connection stands; else why it does not. */
  connect(signal: AbortSignal): Promise<string | undefined>;
  readonly isConnected: boolean;
  call(call: MapperCall, signal: AbortSignal): Promise<CallOutcome>;
  close(): Promise<void>;
}

export class GrpcMapperClient implements MapperClient {
  readonly #address: string;
  readonly #sessions: UnixSessions;
  readonly #client: Client<typeof DeviceMapperService>;
  readonly #closed = new AbortController();
  /** Opened, and not yet taken by the session. */
  #socket: net.Socket | undefined;

  constructor(address: string, onLost: () => void) {
    this.#address = address;
    this.#sessions = new UnixSessions(() => this.#takeSocket(), onLost);
    const transport = createGrpcTransport({
      baseUrl: UNIX_AUTHORITY,
      sessionManager: this.#sessions,
      readMaxBytes: MESSAGE_BYTES_MAX,
      acceptCompression: [], // both ends are on one machine
    });
    this.#client = createClient(DeviceMapperService, transport);
  }

  get isConnected(): boolean {
    return ["open", "idle"].includes(this.#sessions.state());
  }

  async connect(signal: AbortSignal): Promise<string | undefined> {
    if (this.isConnected) return undefined;
    try {
      const given = AbortSignal.any([signal, this.#closed.signal]);
      this.#socket ??= await openGuardedSocket(this.#address, given);
    } catch (error) {
      signal.throwIfAborted();
      return this.#away(error);
    }
    const state = await this.#sessions.connect();
    signal.throwIfAborted();
    if (state !== "error") return undefined;
    return this.#away(this.#sessions.error());
  }

  async call(call: MapperCall, signal: AbortSignal): Promise<CallOutcome> {
    try {
      await this.#send(call, { timeoutMs: CALL_MS, signal });
      return { kind: "done" };
    } catch (error) {
      signal.throwIfAborted();
      return this.#outcome(error);
    }
  }

  async close(): Promise<void> {
    this.#closed.abort(new AppError("canceled", "The mapper has registered anew"));
    this.#socket?.destroy();
    await this.#sessions.close();
  }

  #takeSocket(): net.Socket {
    const socket = this.#socket;
    this.#socket = undefined;
    // without one the session fails at once; `connect` opens the next
    return socket ?? new net.Socket().destroy(new Error("not connected"));
  }

  async #send(call: MapperCall, options: CallOptions): Promise<unknown> {
    switch (call.kind) {
      case "register_device":
        return await this.#client.registerDevice({ device: call.device }, options);
      case "update_device":
        return await this.#client.updateDevice({ device: call.device }, options);
      case "create_model":
        return await this.#client.createDeviceModel({ model: call.model }, options);
      case "update_model":
        return await this.#client.updateDeviceModel({ model: call.model }, options);
      case "remove_device": {
        const { namespace: deviceNamespace, name: deviceName } = call.name;
        return await this.#client.removeDevice({ deviceName, deviceNamespace }, options);
      }
      case "remove_model": {
        const { namespace: modelNamespace, name: modelName } = call.name;
        return await this.#client.removeDeviceModel({ modelName, modelNamespace }, options);
      }
    }
  }

  #outcome(thrown: unknown): CallOutcome {
    const error = ConnectError.from(thrown);
    // only a status that came from the other side carries the answer's trailers
    if (error.metadata.has("grpc-status")) {
      const message = error.rawMessage.slice(0, WORDS_CHARS_MAX);
      return { kind: "refused", code: error.code, message };
    }
    switch (error.code) {
      case Code.DeadlineExceeded:
        return { kind: "silent" };
      case Code.Unimplemented: // HTTP 404: whatever listens there has no such service
      case Code.ResourceExhausted: // an answer longer than our limit
      case Code.InvalidArgument: // an answer that is no message
        return { kind: "refused", code: error.code, message: "it is no mapper's answer" };
      default:
        return { kind: "away", message: this.#away(error.cause ?? error) };
    }
  }

  #away(error: unknown): string {
    return `Cannot reach ${this.#address}: ${errorChain(error)}`.slice(0, WORDS_CHARS_MAX);
  }
}
