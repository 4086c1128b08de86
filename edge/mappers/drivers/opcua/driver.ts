/**
 * OPC UA over opc.tcp: reads and writes the Value attribute of nodes. configData of a property:
 * `nodeID` ("ns=2;s=Temperature"). Of the device: `url`, `userName`, `password`; `securityPolicy`
 * (None, Basic256Sha256, Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss), `securityMode` (None, Sign,
 * SignAndEncrypt); `certificate` and `privateKey`, files of the node or PEM, else a pair of the
 * node's own (papers.ts); `serverCertificate`, else the one shown first (trust.ts).
 */
import { join } from "@std/path";
import type { NodeId } from "node-opcua-nodeid";
import type { DataType, Variant } from "node-opcua-variant";
import type { Clock } from "../../../../shared/clock.ts";
import { AppError } from "../../../../shared/errors.ts";
import { within } from "../../deadline.ts";
import type { Connection, CreateDriver, DriverDevice, Point, Reading } from "../../port.ts";
import type { WriteOutcome } from "../../port.ts";
import { badSetting, textSetting, valueText } from "../../settings.ts";
import { type Library, loadLibrary } from "./load_library.ts";
import { namedPapers, ownPapers, type Papers } from "./papers.ts";
import { openSession, type Session } from "./session.ts";
import { trustServer } from "./trust.ts";
import { fromVariant, toVariantValue } from "./values.ts";

/** What servers usually take in one request. */
const NODES_MAX = 500;
const CLOSE_MS = 1_000;
const NEITHER = 3;

export const createDriver: CreateDriver = ({ clock, random, dataDir, nodeName }) => {
  const dir = dataDir === undefined ? undefined : join(dataDir, "opcua");
  let own: Promise<Papers> | undefined;
  const papers = async (config: DriverDevice["config"]): Promise<Papers> => {
    const named = await namedPapers(config);
    if (named) return named;
    if (dir === undefined) throw badSetting("certificate", "set on this node", undefined);
    own ??= ownPapers(dir, nodeName ?? "edge").catch((error) => {
      own = undefined;
      throw error;
    });
    return await own;
  };
  const trusted = dir === undefined ? undefined : join(dir, "trusted");
  return {
    open: async (device, signal) => {
      const parts = {
        library: await loadLibrary(),
        random,
        papers,
        trust: (
          shown: Parameters<typeof trustServer>[0],
          url: string,
          config: DriverDevice["config"],
        ) => trustServer(shown, { url, config, clock, dir: trusted }),
      };
      return new OpcUaConnection(device, await openSession(device, parts, signal), clock);
    },
  };
};

class OpcUaConnection implements Connection {
  readonly #clock: Clock;
  readonly #session: Session;
  readonly #nodes = new Map<string, NodeId | Error>();
  /** The type of a node, as it was read last: a value is written in it. */
  readonly #types = new Map<string, DataType>();

  constructor({ points }: DriverDevice, session: Session, clock: Clock) {
    this.#clock = clock;
    this.#session = session;
    for (const point of points) this.#nodes.set(point.name, tryNode(session.library, point));
  }

  get lost(): AbortSignal {
    return this.#session.channel.lost;
  }

  async read(
    points: readonly Point[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Reading>> {
    const { library, ask } = this.#session;
    const readings = new Map<string, Reading>();
    const wanted: { point: Point; nodeId: NodeId }[] = [];
    for (const point of points) {
      const nodeId = this.#nodes.get(point.name);
      if (nodeId instanceof Error) readings.set(point.name, nodeId);
      else if (nodeId) wanted.push({ point, nodeId });
    }
    for (let at = 0; at < wanted.length; at += NODES_MAX) {
      const part = wanted.slice(at, at + NODES_MAX);
      const response = await ask(
        new library.ReadRequest({
          maxAge: 0,
          timestampsToReturn: NEITHER,
          nodesToRead: part.map(({ nodeId }) => ({
            nodeId,
            attributeId: library.AttributeIds.Value,
          })),
        }),
        signal,
      );
      const results = response instanceof library.ReadResponse ? response.results ?? [] : [];
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
    const { library, ask } = this.#session;
    const { DataType, VariantArrayType } = library;
    const nodeId = this.#nodes.get(point.name);
    if (!nodeId || nodeId instanceof Error) throw nodeId ?? badSetting("nodeID", "set", undefined);
    // what type it is, the node says
    if (!this.#types.has(point.name)) await this.read([point], signal);
    const dataType = this.#types.get(point.name) ?? DataType.String;
    const arrayType = VariantArrayType.Scalar;
    const variant = { dataType, arrayType, value: toVariantValue(library, dataType, value) };
    const response = await ask(
      new library.WriteRequest({
        nodesToWrite: [{
          nodeId,
          attributeId: library.AttributeIds.Value,
          value: { value: variant },
        }],
      }),
      signal,
    );
    const status = response instanceof library.WriteResponse ? response.results?.[0] : undefined;
    if (!status || status.isNotGood()) {
      throw new AppError("invalid", `Server refused: ${status?.name ?? "it gave no result"}`);
    }
    const expected = dataType === DataType.Float ? String(Math.fround(Number(value))) : value;
    return { kind: "verify", expected };
  }

  async close(): Promise<void> {
    const { channel, ask, library } = this.#session;
    if (!channel.lost.aborted) {
      // a server that does not answer forgets the session by itself
      const request = new library.CloseSessionRequest({ deleteSubscriptions: true });
      const deadline = { clock: this.#clock, ms: CLOSE_MS, what: "end of the session" };
      await within(deadline, channel.lost, (signal) => ask(request, signal)).catch(() => {});
    }
    await channel.close();
  }

  #reading(point: Point, variant: Variant): Reading {
    try {
      this.#types.set(point.name, variant.dataType);
      return valueText(point, fromVariant(this.#session.library, variant));
    } catch (error) {
      return error instanceof Error ? error : new AppError("internal", String(error));
    }
  }
}

function tryNode({ resolveNodeId }: Library, { config }: Point): NodeId | Error {
  const text = textSetting(config["nodeID"]) ?? "";
  try {
    return resolveNodeId(text);
  } catch {
    return badSetting("nodeID", "like ns=2;s=Temperature", text);
  }
}
