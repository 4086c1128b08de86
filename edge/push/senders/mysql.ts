/**
 * `pushMethod.dbMethod.mysql`: a table a property, `<namespace>/<device>/<property>`, with the
 * columns id, ts and field, as KubeEdge's mappers have it. Here stamps keep milliseconds, and names
 * beyond MySQL's 64 characters are cut with a mark that tells them apart.
 */
import type { Connection } from "mysql2/promise";
import type { Clock } from "../../../shared/clock.ts";
import { AppError, errorChain } from "../../../shared/errors.ts";
import { withDeadline } from "../deadline.ts";
import { deliverTogether } from "../deliver.ts";
import { timeText } from "../formats.ts";
import type { Credentials, Delivery, Destination, Sample, Sender } from "../port.ts";

const TIMEOUT_MS = 15_000;
const NAME_MAX = 64;
/** Data that does not fit, or is none of the column's kind. */
const FOR_GOOD = [
  "ER_DATA_TOO_LONG",
  "ER_TRUNCATED_WRONG_VALUE",
  "ER_TRUNCATED_WRONG_VALUE_FOR_FIELD",
  "ER_WRONG_TABLE_NAME",
  "ER_TOO_LONG_IDENT",
];

export class MysqlSender implements Sender {
  readonly batchMax = 200;
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #made = new Set<string>();

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  async send(samples: readonly Sample[], signal: AbortSignal): Promise<Delivery[]> {
    return await deliverTogether(
      samples,
      signal,
      (some, s) => withDeadline(this.#clock, TIMEOUT_MS, () => this.#insert(some), s),
    );
  }

  close(): Promise<void> {
    this.#connection.destroy();
    return Promise.resolve();
  }

  /** In one transaction: what comes again is not there twice. */
  async #insert(samples: readonly Sample[]): Promise<void> {
    try {
      const tables = Map.groupBy(samples, tableName);
      // it would end the transaction
      for (const table of tables.keys()) await this.#makeTable(table);
      await this.#connection.beginTransaction();
      for (const [table, rows] of tables) {
        const values = rows.map(({ value, atMs }) => [timeText(atMs, true), value]);
        await this.#connection.query(`INSERT INTO ${quoted(table)} (ts, field) VALUES ?`, [values]);
      }
      await this.#connection.commit();
    } catch (error) {
      await this.#connection.rollback().catch(() => {}); // the first error counts
      throw judged(error);
    }
  }

  async #makeTable(table: string): Promise<void> {
    if (this.#made.has(table)) return;
    const columns = "id INT AUTO_INCREMENT PRIMARY KEY, ts DATETIME(3) NOT NULL, field TEXT";
    await this.#connection.query(`CREATE TABLE IF NOT EXISTS ${quoted(table)} (${columns})`);
    this.#made.add(table);
  }
}

export async function openMysql(
  { address, scope = {} }: Destination,
  { username, password }: Credentials,
  clock: Clock,
): Promise<MysqlSender> {
  const { createConnection } = await import("mysql2/promise");
  const { hostname, port } = new URL(`tcp://${address}`);
  const user = username ?? scope["user"];
  try {
    const connection = await createConnection({
      host: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port),
      database: scope["database"] ?? "",
      timezone: "Z",
      connectTimeout: TIMEOUT_MS,
      ...(user === undefined || user === "" ? {} : { user }),
      ...(password === undefined ? {} : { password }),
    });
    connection.on("error", () => {}); // told by the statement that fails
    return new MysqlSender(connection, clock);
  } catch (error) {
    throw new AppError("unavailable", `Cannot connect to ${address}: ${errorChain(error)}`);
  }
}

function judged(error: unknown): AppError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return new AppError(FOR_GOOD.includes(code) ? "invalid" : "unavailable", errorChain(error));
}

function tableName({ namespace, device, property }: Sample): string {
  const name = `${namespace}/${device}/${property}`;
  if (name.length <= NAME_MAX) return name;
  const mark = hash32(name).toString(16).padStart(8, "0");
  return `${name.slice(0, NAME_MAX - mark.length - 1)}~${mark}`;
}

/** FNV-1a: tells names with a common beginning apart, no more. */
function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

function quoted(name: string): string {
  return `\`${name.replaceAll("`", "``")}\``;
}
