/**
 * OPC UA over opc.tcp, without security or with a user and password in plain: reads and writes the
 * Value attribute of nodes. configData of the device: `url`, `userName`, `password`; of a property:
 * `nodeID` ("ns=2;s=Temperature"). The channel, its encoding and the services are node-opcua's; the
 * session is kept here, because node-opcua's client also brings what writes files and locks them.
 */
import { Buffer } from "node:buffer";
import {
  ClientSecureChannelLayer,
  MessageSecurityMode,
  type Request,
  type Response,
  SecurityPolicy,
} from "node-opcua-secure-channel";
import { type NodeId, resolveNodeId } from "node-opcua-nodeid";
import { AttributeIds, ReadRequest, ReadResponse } from "node-opcua-service-read";
import {
  ActivateSessionRequest,
  AnonymousIdentityToken,
  CloseSessionRequest,
  CreateSessionRequest,
  CreateSessionResponse,
  UserNameIdentityToken,
} from "node-opcua-service-session";
import { WriteRequest, WriteResponse } from "node-opcua-service-write";
import { DataType, type Variant, VariantArrayType } from "node-opcua-variant";
import type { Clock } from "../../../shared/clock.ts";
import { AppError, errorChain } from "../../../shared/errors.ts";
import type { Random } from "../../../shared/random.ts";
import { within } from "../deadline.ts";
import type { Connection, CreateDriver, DriverDevice, Point, Reading } from "../port.ts";
import type { WriteOutcome } from "../port.ts";
import { badSetting, isTrue, needText, textSetting, valueText } from "../settings.ts";

/** What servers usually take in one request. */
const NODES_MAX = 500;
const CLOSE_MS = 1_000;
const SESSION_MS = 600_000;
const NEITHER = 3;
const ANONYMOUS = 0;
const USER_NAME = 1;

export const createDriver: CreateDriver = ({ clock, random }) => ({
  open: async (device, signal) => {
    const { config } = device;
    const mode = textSetting(config["securityMode"])?.toLowerCase() ?? "none";
    if (mode !== "none") throw badSetting("securityMode", "None", mode);
    const channel = new Channel(needText(config, "url"));
    try {
      await channel.open(signal);
      const session = await openSession(channel, device, { random, signal });
      return new OpcUaConnection(device, session, clock);
    } catch (error) {
      await channel.close();
      throw error;
    }
  },
});

/** node-opcua's channel with promises; lost when it closes by itself. */
class Channel {
  readonly #url: string;
  readonly #lost = new AbortController();
  readonly #layer: ClientSecureChannelLayer;
  #closed = false;

  constructor(url: string) {
    this.#url = url;
    this.#layer = new ClientSecureChannelLayer({
      securityMode: MessageSecurityMode.None,
      securityPolicy: SecurityPolicy.None,
      transportTimeout: 10_000,
      // the device is connected anew by its mapper, with its back-off
      connectionStrategy: { maxRetry: 0, initialDelay: 100, maxDelay: 100 },
    });
    this.#layer.on("close", (error) => this.#lose(error));
  }

  get url(): string {
    return this.#url;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async open(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#layer.create(this.#url, (error) => error ? reject(this.#unavailable(error)) : resolve());
    await promise.finally(() => signal.removeEventListener("abort", onAbort));
  }

  /** An AppError "unavailable" for whatever the server does not answer well. */
  async ask(request: Request, signal: AbortSignal): Promise<Response> {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const ends = [signal, this.lost];
    const onAbort = () => reject((signal.aborted ? signal : this.lost).reason);
    for (const end of ends) end.addEventListener("abort", onAbort, { once: true });
    this.#layer.performMessageTransaction(request, (error, response) => {
      if (error || !response) return reject(this.#unavailable(error));
      const { serviceResult } = response.responseHeader;
      if (serviceResult.isNotGood()) reject(this.#unavailable(serviceResult.name));
      else resolve(response);
    });
    return await promise.finally(() => {
      for (const end of ends) end.removeEventListener("abort", onAbort);
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // the session has said goodbye; a farewell of the channel would leave a timer behind that waits
    // for an answer there is none to
    await new Promise<void>((resolve) => this.#layer.abortConnection(() => resolve()));
    this.#layer.dispose();
  }

  #lose(cause: unknown): void {
    this.#lost.abort(this.#unavailable(cause ?? "the connection ended"));
  }

  #unavailable(cause: unknown): AppError {
    const why = errorChain(cause).split("\n")[0]?.slice(0, 200) ?? "";
    return new AppError("unavailable", `OPC UA server ${this.#url}: ${why}`);
  }
}

interface Session {
  channel: Channel;
  ask(request: Request, signal: AbortSignal): Promise<Response>;
}

async function openSession(
  channel: Channel,
  { config, namespace, name }: DriverDevice,
  { random, signal }: { random: Random; signal: AbortSignal },
): Promise<Session> {
  const created = await channel.ask(
    new CreateSessionRequest({
      clientDescription: {
        applicationUri: `urn:skerry:${namespace}:${name}`,
        productUri: "urn:skerry",
        applicationName: { text: "Skerry" },
        applicationType: 1,
      },
      endpointUrl: channel.url,
      sessionName: `skerry ${namespace}/${name}`,
      clientNonce: Buffer.from(random.bytes(32)),
      requestedSessionTimeout: SESSION_MS,
      maxResponseMessageSize: 4 * 1024 * 1024,
    }),
    signal,
  );
  if (!(created instanceof CreateSessionResponse)) {
    throw new AppError("unavailable", `OPC UA server ${channel.url} gave no session`);
  }
  const ask = async (request: Request, s: AbortSignal) => {
    request.requestHeader.authenticationToken = created.authenticationToken;
    return await channel.ask(request, s);
  };
  await ask(
    new ActivateSessionRequest({ userIdentityToken: identity(created, config), localeIds: [] }),
    signal,
  );
  return { channel, ask };
}

function identity({ serverEndpoints }: CreateSessionResponse, config: DriverDevice["config"]) {
  const userName = textSetting(config["userName"] ?? config["username"]);
  const wanted = userName === undefined ? ANONYMOUS : USER_NAME;
  const plain = (serverEndpoints ?? []).filter(({ securityMode }) =>
    securityMode === MessageSecurityMode.None
  );
  const tokens = plain.flatMap(({ userIdentityTokens }) => userIdentityTokens ?? [])
    .filter(({ tokenType }) => tokenType === wanted);
  if (userName === undefined) {
    // some servers name no policy and take it all the same
    return new AnonymousIdentityToken({ policyId: tokens[0]?.policyId ?? "anonymous" });
  }
  const isOpen = (uri: string | null) => !uri || uri.endsWith("#None");
  const open = tokens.find(({ securityPolicyUri }) => isOpen(securityPolicyUri));
  if (!open) {
    const message = "Cannot log in: the server takes no password without encryption";
    throw new AppError("invalid", message);
  }
  const password = Buffer.from(textSetting(config["password"]) ?? "");
  return new UserNameIdentityToken({ policyId: open.policyId, userName, password });
}

class OpcUaConnection implements Connection {
  readonly #clock: Clock;
  readonly #session: Session;
  readonly #nodes = new Map<string, NodeId | Error>();
  /** The type of a node, as it was read last: a value is written in it. */
  readonly #types = new Map<string, DataType>();

  constructor({ points }: DriverDevice, session: Session, clock: Clock) {
    this.#clock = clock;
    this.#session = session;
    for (const point of points) this.#nodes.set(point.name, tryNode(point));
  }

  get lost(): AbortSignal {
    return this.#session.channel.lost;
  }

  async read(
    points: readonly Point[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Reading>> {
    const readings = new Map<string, Reading>();
    const wanted: { point: Point; nodeId: NodeId }[] = [];
    for (const point of points) {
      const nodeId = this.#nodes.get(point.name);
      if (nodeId instanceof Error) readings.set(point.name, nodeId);
      else if (nodeId) wanted.push({ point, nodeId });
    }
    for (let at = 0; at < wanted.length; at += NODES_MAX) {
      const part = wanted.slice(at, at + NODES_MAX);
      const response = await this.#session.ask(
        new ReadRequest({
          maxAge: 0,
          timestampsToReturn: NEITHER,
          nodesToRead: part.map(({ nodeId }) => ({ nodeId, attributeId: AttributeIds.Value })),
        }),
        signal,
      );
      const results = response instanceof ReadResponse ? response.results ?? [] : [];
      for (const [index, { point }] of part.entries()) {
        const result = results[index];
        if (!result) readings.set(point.name, new AppError("invalid", "Server left it out"));
        else if (result.statusCode.isBad()) {
          readings.set(point.name, new AppError("invalid", result.statusCode.name));
        } else readings.set(point.name, this.#reading(point, result.value));
      }
    }
    return readings;
  }

  async write(point: Point, value: string, signal: AbortSignal): Promise<WriteOutcome> {
    const nodeId = this.#nodes.get(point.name);
    if (!nodeId || nodeId instanceof Error) throw nodeId ?? badSetting("nodeID", "set", undefined);
    // what type it is, the node says
    if (!this.#types.has(point.name)) await this.read([point], signal);
    const dataType = this.#types.get(point.name) ?? DataType.String;
    const arrayType = VariantArrayType.Scalar;
    const variant = { dataType, arrayType, value: toVariantValue(dataType, value) };
    const response = await this.#session.ask(
      new WriteRequest({
        nodesToWrite: [{ nodeId, attributeId: AttributeIds.Value, value: { value: variant } }],
      }),
      signal,
    );
    const status = response instanceof WriteResponse ? response.results?.[0] : undefined;
    if (!status || status.isNotGood()) {
      throw new AppError("invalid", `Server refused: ${status?.name ?? "it gave no result"}`);
    }
    const expected = dataType === DataType.Float ? String(Math.fround(Number(value))) : value;
    return { kind: "verify", expected };
  }

  async close(): Promise<void> {
    const { channel, ask } = this.#session;
    if (!channel.lost.aborted) {
      // a server that does not answer forgets the session by itself
      const request = new CloseSessionRequest({ deleteSubscriptions: true });
      const deadline = { clock: this.#clock, ms: CLOSE_MS, what: "end of the session" };
      await within(deadline, channel.lost, (signal) => ask(request, signal)).catch(() => {});
    }
    await channel.close();
  }

  #reading(point: Point, variant: Variant): Reading {
    try {
      this.#types.set(point.name, variant.dataType);
      return valueText(point, fromVariant(variant));
    } catch (error) {
      return error instanceof Error ? error : new AppError("internal", String(error));
    }
  }
}

function tryNode({ config }: Point): NodeId | Error {
  const text = textSetting(config["nodeID"]) ?? "";
  try {
    return resolveNodeId(text);
  } catch {
    return badSetting("nodeID", "like ns=2;s=Temperature", text);
  }
}

function fromVariant({ dataType, arrayType, value }: Variant): unknown {
  if (arrayType !== VariantArrayType.Scalar) {
    return JSON.stringify(Array.from(value, (each) => plain(dataType, each)));
  }
  return plain(dataType, value);
}

function plain(dataType: DataType, value: unknown): unknown {
  if ((dataType === DataType.Int64 || dataType === DataType.UInt64) && Array.isArray(value)) {
    const [high, low] = value;
    const bits = (BigInt(high) << 32n) | BigInt(low);
    return dataType === DataType.Int64 ? BigInt.asIntN(64, bits) : bits;
  }
  if (dataType === DataType.Float && typeof value === "number") {
    return Number(value.toPrecision(9)) === Math.fround(value)
      ? value
      : Number(value.toPrecision(7));
  }
  if (value instanceof Date) return value.toISOString();
  if (dataType === DataType.LocalizedText && typeof value === "object" && value !== null) {
    return Reflect.get(value, "text") ?? "";
  }
  return value;
}

function toVariantValue(dataType: DataType, text: string): unknown {
  switch (dataType) {
    case DataType.Boolean:
      return isTrue(text);
    case DataType.Int64:
    case DataType.UInt64: {
      const bits = BigInt.asUintN(64, BigInt(text));
      return [Number(bits >> 32n), Number(bits & 0xffff_ffffn)];
    }
    case DataType.String:
      return text;
    case DataType.ByteString:
      return Buffer.from(text, "base64");
    case DataType.LocalizedText:
      return { text };
    default:
      break;
  }
  const number = Number(text);
  const isNumber = dataType >= DataType.SByte && dataType <= DataType.Double;
  if (isNumber && Number.isFinite(number)) return number;
  throw new AppError("invalid", `Cannot write a node of type ${DataType[dataType]}`);
}
