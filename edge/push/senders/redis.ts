/**
 * `pushMethod.dbMethod.redis`: a sorted set a device, named by it, of samples in JSON under their
 * stamps, as KubeEdge's mappers have it. `poolsize` and `minIdleConns` are not needed: one
 * connection takes commands in batches, in order.
 */
import type { Clock } from "../../../shared/clock.ts";
import { AppError } from "../../../shared/errors.ts";
import { withDeadline } from "../deadline.ts";
import { sampleJson } from "../formats.ts";
import { type Credentials, type Delivery, type Destination, DONE } from "../port.ts";
import type { Sample, Sender } from "../port.ts";
import { encodeCommand, type Reply, ReplyReader, RespError } from "../resp.ts";

const TIMEOUT_MS = 10_000;
/** Errors of a command that the server will answer again and again. */
const FOR_GOOD = ["WRONGTYPE", "ERR"];

export class RedisSender implements Sender {
  readonly batchMax = 200;
  readonly #connection: Deno.Conn;
  readonly #replies = new ReplyReader();
  readonly #clock: Clock;
  readonly #buffer = new Uint8Array(16 * 1024);
  #closed = false;

  constructor(connection: Deno.Conn, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  async send(samples: readonly Sample[], signal: AbortSignal): Promise<Delivery[]> {
    const commands = samples.map((sample) => [
      "ZADD",
      sample.device,
      String(Math.round(sample.atMs)),
      sampleJson(sample),
    ]);
    let replies: Reply[];
    try {
      replies = await this.run(commands, signal);
    } catch (error) {
      signal.throwIfAborted();
      const reason = error instanceof Error ? error.message : String(error);
      return samples.map(() => ({ kind: "later", reason }));
    }
    return replies.map(toDelivery);
  }

  /** One reply a command, in their order. Errors: what ends the connection. */
  async run(commands: readonly string[][], signal: AbortSignal): Promise<Reply[]> {
    return await withDeadline(this.#clock, TIMEOUT_MS, async () => {
      for (const command of commands) await this.#write(encodeCommand(command));
      const replies: Reply[] = [];
      while (replies.length < commands.length) replies.push(await this.#reply());
      return replies;
    }, signal);
  }

  /** Also ends what waits for an answer. */
  close(): Promise<void> {
    if (!this.#closed) this.#connection.close();
    this.#closed = true;
    return Promise.resolve();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }

  async #reply(): Promise<Reply> {
    for (;;) {
      const reply = this.#replies.next();
      if (reply !== undefined) return reply;
      const count = await this.#connection.read(this.#buffer);
      if (count === null) throw new AppError("unavailable", "the server hung up");
      this.#replies.add(this.#buffer.subarray(0, count));
    }
  }
}

function toDelivery(reply: Reply): Delivery {
  if (!(reply instanceof RespError)) return DONE;
  const isForGood = FOR_GOOD.includes(reply.message.split(" ")[0] ?? "");
  return { kind: isForGood ? "refused" : "later", reason: reply.message };
}

export async function openRedis(
  { address, scope = {} }: Destination,
  { username, password }: Credentials,
  clock: Clock,
): Promise<RedisSender> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const { hostname, port } = new URL(`tcp://${address}`);
  const connection = await Deno.connect({ hostname: bare(hostname), port: Number(port), signal });
  const sender = new RedisSender(connection, clock);
  const greeting: string[][] = [];
  if (password !== undefined) {
    greeting.push(username === undefined ? ["AUTH", password] : ["AUTH", username, password]);
  }
  greeting.push(["SELECT", scope["db"] ?? "0"]);
  try {
    const refusal = (await sender.run(greeting, signal)).find((reply) =>
      reply instanceof RespError
    );
    if (refusal instanceof RespError) throw new AppError("unavailable", refusal.message);
  } catch (error) {
    await sender.close();
    throw error;
  }
  return sender;
}

function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}
