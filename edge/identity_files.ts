/**
 * The node's identity on disk, `<data-dir>/pki`: the authority's certificate, the node's own and
 * its key (0600). Written by `join`, the certificate again by each renewal, each file whole or not
 * at all.
 */
import { join } from "@std/path";
import { AppError } from "../shared/errors.ts";
import { writeFileAtomic } from "../shared/files.ts";

export interface NodeIdentity {
  certificate: string;
  privateKey: string;
  authority: string;
}

const FILES = { authority: "ca.crt", certificate: "node.crt", privateKey: "node.key" } as const;

export async function readIdentity(dataDir: string): Promise<NodeIdentity> {
  const [authority, certificate, privateKey] = await Promise.all([
    readPart(dataDir, FILES.authority),
    readPart(dataDir, FILES.certificate),
    readPart(dataDir, FILES.privateKey),
  ]);
  return { authority, certificate, privateKey };
}

export async function writeIdentity(dataDir: string, identity: NodeIdentity): Promise<void> {
  const dir = join(dataDir, "pki");
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  await writeFileAtomic(join(dir, FILES.authority), identity.authority, 0o644);
  await writeFileAtomic(join(dir, FILES.privateKey), identity.privateKey, 0o600);
  await writeFileAtomic(join(dir, FILES.certificate), identity.certificate, 0o644);
}

export async function writeCertificate(dataDir: string, certificate: string): Promise<void> {
  await writeFileAtomic(join(dataDir, "pki", FILES.certificate), certificate, 0o644);
}

async function readPart(dataDir: string, name: string): Promise<string> {
  const file = join(dataDir, "pki", name);
  try {
    return await Deno.readTextFile(file);
  } catch (cause) {
    throw new AppError("invalid", `Cannot read the node's identity ${file}`, { file }, { cause });
  }
}
