/**
 * `diagnose`, the part both programs share: looks at what an operator would look at first, changes
 * nothing but one small file it writes and removes, and says of each thing what is wrong. A look
 * that fails is a finding, never an end.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { statfs } from "node:fs/promises";
import { join } from "@std/path";
import { parseAddress } from "../config.ts";
import { toTime } from "../clock.ts";
import { errorChain } from "../errors.ts";
import { SET_ASIDE_PREFIX } from "../store/names.ts";
import { writeOut } from "./run_program.ts";

export interface Finding {
  name: string;
  ok: boolean;
  message: string;
}

export type Look = () => Promise<{ ok: boolean; message: string }>;

const DIAL_MS = 3_000;
const FREE_BYTES_MIN = 100 * 1024 * 1024;
const FREE_SHARE_MIN = 0.05;
const DAY_MS = 86_400_000;
/** A certificate is renewed long before; one this near to its end was not. */
const EXPIRES_SOON_MS = 7 * DAY_MS;
/** No program of ours is older. */
const EARLIEST_MS = Date.parse("2026-01-01T00:00:00Z");
/** Clocks of one machine may be put right a little while files are written. */
const CLOCK_SLACK_MS = 5 * 60_000;

/** Looks one after the other, so that the output reads like the list. */
export async function examine(looks: Readonly<Record<string, Look>>): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [name, look] of Object.entries(looks)) {
    try {
      findings.push({ name, ...await look() });
    } catch (error) {
      findings.push({ name, ok: false, message: errorChain(error) });
    }
  }
  return findings;
}

/** Prints the findings and gives the exit status: 1 when anything is wrong. */
export function report(findings: readonly Finding[], asJson: boolean): number {
  const ok = findings.every((finding) => finding.ok);
  if (asJson) {
    writeOut(JSON.stringify({ ok, findings }, null, 2) + "\n");
    return ok ? 0 : 1;
  }
  const width = Math.max(...findings.map(({ name }) => name.length));
  for (const { name, ok: well, message } of findings) {
    writeOut(`${well ? "ok   " : "WRONG"} ${name.padEnd(width)}  ${message}\n`);
  }
  return ok ? 0 : 1;
}

/** Room and inodes of the file system, and whether a file can be written and made durable. */
export function diskLook(dataDir: string): Look {
  return async () => {
    const { bsize, blocks, bavail, files, ffree } = await statfs(dataDir);
    const free = bsize * bavail;
    const share = blocks === 0 ? 1 : bavail / blocks;
    const text = `${mebibytes(free)} MiB (${Math.round(share * 100)} %) free on ${dataDir}`;
    const probe = join(dataDir, ".diagnose.tmp");
    await Deno.writeTextFile(probe, "probe\n");
    await Deno.remove(probe);
    if (free < FREE_BYTES_MIN || share < FREE_SHARE_MIN) {
      return { ok: false, message: `${text}; that is too little` };
    }
    if (files > 0 && ffree / files < FREE_SHARE_MIN) {
      return { ok: false, message: `${ffree} of ${files} inodes free on ${dataDir}` };
    }
    return { ok: true, message: text };
  };
}

/** What the store has set aside as damaged, and whether there is a store at all. */
export function storeLook(storeDir: string): Look {
  return async () => {
    const names = (await Array.fromAsync(Deno.readDir(storeDir))).map(({ name }) => name);
    const damaged = names.filter((name) => name.startsWith(SET_ASIDE_PREFIX)).sort();
    const journals = names.filter((name) => name.startsWith("journal-")).length;
    if (damaged.length > 0) {
      const message = `damage was set aside in ${storeDir}: ${damaged.join(", ")}; ` +
        `take the files away once they are looked at`;
      return { ok: false, message };
    }
    return { ok: true, message: `${journals} journals in ${storeDir}, no damage` };
  };
}

export interface CertificateFiles {
  certificate: string;
  privateKey?: string;
  /** The certificate must be signed by this one. */
  authority?: string;
}

export function certificateLook(files: CertificateFiles, nowMs: number): Look {
  return async () => {
    const certificate = new X509Certificate(await Deno.readTextFile(files.certificate));
    const fromMs = Date.parse(certificate.validFrom);
    const toMs = Date.parse(certificate.validTo);
    const dates = `${files.certificate}: ${toTime(fromMs)} to ${toTime(toMs)}`;
    const bad = (why: string) => ({ ok: false, message: `${dates}; ${why}` });
    if (files.privateKey) {
      const key = createPrivateKey(await Deno.readTextFile(files.privateKey));
      if (!certificate.checkPrivateKey(key)) return bad(`${files.privateKey} is not its key`);
    }
    if (files.authority) {
      const authority = new X509Certificate(await Deno.readTextFile(files.authority));
      if (!certificate.verify(authority.publicKey)) {
        return bad(`it is not signed by ${files.authority}`);
      }
    }
    if (nowMs < fromMs) return bad("it is not valid yet by this machine's clock");
    if (nowMs > toMs) return bad("it has run out by this machine's clock");
    if (nowMs > toMs - EXPIRES_SOON_MS) return bad("it runs out soon and was not renewed");
    return { ok: true, message: dates };
  };
}

/** Whether the clock can be right: not before this program, not before its own newest file. */
export function clockLook(nowMs: number, dataDir: string): Look {
  return async () => {
    const said = toTime(nowMs);
    if (nowMs < EARLIEST_MS) {
      return { ok: false, message: `the clock says ${said}, before this program was made` };
    }
    for await (const { name, isFile } of Deno.readDir(dataDir)) {
      const { mtime } = isFile ? await Deno.stat(join(dataDir, name)) : { mtime: null };
      if (mtime && mtime.getTime() > nowMs + CLOCK_SLACK_MS) {
        const message = `the clock says ${said}, but ${name} was written ${
          toTime(mtime.getTime())
        }`;
        return { ok: false, message };
      }
    }
    return { ok: true, message: `the clock says ${said}` };
  };
}

/** Whether anything listens at one of `addresses` (HOST:PORT). */
export function dialLook(addresses: readonly string[]): Look {
  return async () => {
    const failures: string[] = [];
    for (const address of addresses) {
      try {
        await dial(address);
        return { ok: true, message: `${address} answers` };
      } catch (error) {
        failures.push(`${address}: ${errorChain(error)}`);
      }
    }
    return { ok: false, message: failures.join("; ") || "no address is known" };
  };
}

async function dial(address: string): Promise<void> {
  const { hostname, port } = parseAddress(address);
  const signal = AbortSignal.timeout(DIAL_MS);
  const connection = await Deno.connect({ hostname, port, signal });
  connection.close();
}

/** JSON of a local address of the program; the error names the address. */
export async function askProgram(url: string): Promise<{ ok: boolean; text: string }> {
  const response = await fetch(url, { signal: AbortSignal.timeout(DIAL_MS) });
  return { ok: response.ok, text: await response.text() };
}

function mebibytes(bytes: number): number {
  return Math.floor(bytes / (1024 * 1024));
}
