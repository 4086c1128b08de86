/** The part of sql.js the store uses; the package ships no declarations. */
export type SqlValue = number | string | Uint8Array<ArrayBuffer> | null;

export interface Statement {
  bind(values: SqlValue[]): boolean;
  step(): boolean;
  get(): SqlValue[];
  run(values?: SqlValue[]): void;
  reset(): void;
  free(): boolean;
}

export interface Database {
  /** Address of SQLite's own handle. */
  readonly db: number;
  run(sql: string, values?: SqlValue[]): Database;
  exec(sql: string): { columns: string[]; values: SqlValue[][] }[];
  prepare(sql: string): Statement;
  /** Copies the database out; frees every statement and resets every pragma. */
  export(): Uint8Array<ArrayBuffer>;
  close(): void;
}

export interface SqlJsStatic {
  Database: new (data?: Uint8Array | null) => Database;
  /** One of SQLite's functions as it was compiled in. */
  cwrap(
    name: string,
    returns: "number",
    takes: readonly ("number" | "string")[],
  ): (...values: (number | string)[]) => number;
}

declare function initSqlJs(config: {
  instantiateWasm(
    imports: WebAssembly.Imports,
    receive: (instance: WebAssembly.Instance) => void,
  ): void;
}): Promise<SqlJsStatic>;

export { initSqlJs as default };
