/** Real servers that devices push to, each private: own folder, own free port. */
import { join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import { type Child, startChild } from "./process.ts";
import { until } from "./until.ts";

const DATABASE = "site";
const USER = "pusher";
const PASSWORD = "s3cret";

export const MARIADB = { database: DATABASE, user: USER, password: PASSWORD } as const;

export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** Resolves when something listens there. */
async function listening(port: number, child: Child): Promise<void> {
  await until(async () => {
    if (!child.running) throw new AppError("unavailable", `${child.name} ended`);
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    connection.close();
    return true;
  }, { what: `${child.name} on port ${port}`, timeoutMs: 60_000 });
}

export async function startRedis(dir: string, port: number, password: string): Promise<Child> {
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", dir];
  args.push("--appendonly", "yes", "--requirepass", password);
  const child = await startChild({ name: "redis", command: "redis-server", args, logDir: dir });
  await listening(port, child);
  return child;
}

export async function startMosquitto(dir: string, port: number): Promise<Child> {
  const config = join(dir, "mosquitto.conf");
  await Deno.writeTextFile(config, `listener ${port} 127.0.0.1\nallow_anonymous true\n`);
  const args = ["-c", config];
  const child = await startChild({ name: "mosquitto", command: "mosquitto", args, logDir: dir });
  await listening(port, child);
  return child;
}

/** With a database and a user of it. */
export async function startMariadb(dir: string, port: number): Promise<Child> {
  const data = join(dir, "mariadb");
  const socket = join(dir, "mariadb.sock");
  const user = Deno.uid() === 0 ? ["--user=root"] : [];
  await run("mariadb-install-db", [
    "--no-defaults",
    `--datadir=${data}`,
    "--auth-root-authentication-method=normal",
    "--skip-test-db",
    ...user,
  ]);
  const child = await startChild({
    name: "mariadb",
    command: "mariadbd",
    args: [
      "--no-defaults",
      `--datadir=${data}`,
      `--socket=${socket}`,
      `--port=${port}`,
      "--bind-address=127.0.0.1",
      ...user,
    ],
    logDir: dir,
  });
  await listening(port, child);
  await sql(
    dir,
    [
      `CREATE DATABASE ${DATABASE}`,
      `CREATE USER '${USER}'@'127.0.0.1' IDENTIFIED BY '${PASSWORD}'`,
      `GRANT ALL ON ${DATABASE}.* TO '${USER}'@'127.0.0.1'`,
    ].join(";"),
  );
  return child;
}

/** As root, over the socket; what was selected, a line a row. */
export async function sql(dir: string, statement: string): Promise<string> {
  const socket = join(dir, "mariadb.sock");
  return await run("mariadb", [
    "--no-defaults",
    "-uroot",
    `--socket=${socket}`,
    "-N",
    "-B",
    "-e",
    statement,
  ]);
}

/** What redis-cli answers. */
export async function redisCli(port: number, password: string, words: string[]): Promise<string> {
  const login = ["-p", String(port), "--no-auth-warning", "-a", password];
  return await run("redis-cli", [...login, ...words]);
}

async function run(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const said = new TextDecoder().decode(stderr);
  if (!success) throw new AppError("unavailable", `${command} failed: ${said.slice(-2_000)}`);
  return new TextDecoder().decode(stdout).trim();
}
