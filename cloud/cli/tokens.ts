/**
 * `token create`, `token list`, `token revoke`: files in the data folder, also while `run` runs.
 */
import { join } from "@std/path";
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { parseDurationMs } from "../../shared/cli/duration.ts";
import { writeError, writeOut } from "../../shared/cli/run_program.ts";
import { SystemClock, toTime } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { SystemRandom } from "../../shared/random.ts";
import { openAuthority } from "../pki/authority.ts";
import { type TokenInfo, TokenStore } from "../pki/token_store.ts";
import { CONFIG_FLAGS, readSettings } from "./settings.ts";

const OUTPUT_FLAG = { name: "output", short: "o", value: "FORMAT", help: "json, or plain text" };

export const TOKEN_COMMANDS: CommandSpec[] = [
  {
    name: "token create",
    summary: "Make a join token and print it",
    flags: [
      ...CONFIG_FLAGS,
      { name: "node", value: "NAME", help: "Only this node may use it" },
      { name: "ttl", value: "DURATION", help: "How long it is good for (default 24h)" },
      { name: "uses", value: "N", help: "How often it may be used (default 1)" },
      OUTPUT_FLAG,
    ],
    run: createToken,
  },
  {
    name: "token list",
    summary: "List join tokens, without their secrets",
    flags: [...CONFIG_FLAGS, OUTPUT_FLAG],
    run: listTokens,
  },
  {
    name: "token revoke",
    summary: "Make a join token worthless",
    operands: "ID",
    operandsMin: 1,
    operandsMax: 1,
    flags: CONFIG_FLAGS,
    run: revokeToken,
  },
];

async function createToken(invocation: Invocation): Promise<number> {
  const json = wantsJson(invocation);
  const ttlMs = parseDurationMs(invocation.flag("ttl") ?? "24h", "--ttl");
  const uses = Number(invocation.flag("uses") ?? "1");
  const { dataDir } = await readSettings(invocation);
  const ports = { clock: new SystemClock(), random: new SystemRandom() };
  const authority = await openAuthority({ dir: join(dataDir, "pki"), ...ports });
  const node = invocation.flag("node");
  const { token, info } = await openTokens(dataDir).create({
    authorityHash: authority.hash,
    ttlMs,
    uses,
    ...(node === undefined ? {} : { node }),
  });
  writeOut(json ? JSON.stringify({ token, ...toJson(info) }, null, 2) + "\n" : token + "\n");
  return 0;
}

async function listTokens(invocation: Invocation): Promise<number> {
  const json = wantsJson(invocation);
  const tokens = await openTokens((await readSettings(invocation)).dataDir).list();
  if (json) {
    writeOut(JSON.stringify({ items: tokens.map(toJson) }, null, 2) + "\n");
    return 0;
  }
  const rows = [["ID", "NODE", "EXPIRES", "USES LEFT"]];
  for (const each of tokens) {
    const left = `${each.usesLeft}/${each.uses}`;
    rows.push([each.id, each.node ?? "<any>", toTime(each.expiresAtMs), left]);
  }
  writeOut(
    rows.map((row) => row.map((cell) => cell.padEnd(22)).join("").trimEnd() + "\n").join(""),
  );
  return 0;
}

async function revokeToken(invocation: Invocation): Promise<number> {
  const [id = ""] = invocation.operands;
  if (!await openTokens((await readSettings(invocation)).dataDir).revoke(id)) {
    throw new AppError("not_found", `Cannot revoke token: there is no token ${id}`);
  }
  writeError(`Token ${id} revoked`);
  return 0;
}

function openTokens(dataDir: string): TokenStore {
  const ports = { clock: new SystemClock(), random: new SystemRandom() };
  return new TokenStore({ dir: join(dataDir, "tokens"), ...ports });
}

function wantsJson(invocation: Invocation): boolean {
  const format = invocation.flag("output") ?? "text";
  if (format !== "json" && format !== "text") {
    throw new AppError(
      "invalid",
      `Cannot print tokens: --output must be json or text, got ${format}`,
    );
  }
  return format === "json";
}

function toJson(info: TokenInfo): object {
  const { createdAtMs, expiresAtMs, ...rest } = info;
  return { ...rest, createdAt: toTime(createdAtMs), expiresAt: toTime(expiresAtMs) };
}
