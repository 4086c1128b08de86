/** Everything under `<data-dir>` that says who may speak to whom, opened in one call. */
import { join } from "@std/path";
import type { Clock } from "../../shared/clock.ts";
import type { Random } from "../../shared/random.ts";
import { type Authority, openAuthority } from "./authority.ts";
import { NodeEnrollment } from "./enrollment.ts";
import { NodeRegistry } from "./node_registry.ts";
import { Signer } from "./signer.ts";
import { TokenStore } from "./token_store.ts";

export interface Pki {
  authority: Authority;
  signer: Signer;
  tokens: TokenStore;
  nodes: NodeRegistry;
  enrollment: NodeEnrollment;
}

export interface PkiOptions {
  dataDir: string;
  clock: Clock;
  random: Random;
  nodeLifetimeMs?: number;
}

/** Makes the authority where it is missing; opens tokens and node records beside it. */
export async function openPki(options: PkiOptions): Promise<Pki> {
  const { dataDir, clock, random, nodeLifetimeMs } = options;
  const authority = await openAuthority({ dir: join(dataDir, "pki"), clock, random });
  const signer = new Signer({
    authority,
    clock,
    random,
    ...(nodeLifetimeMs === undefined ? {} : { nodeLifetimeMs }),
  });
  const tokens = new TokenStore({ dir: join(dataDir, "tokens"), clock, random });
  const nodes = new NodeRegistry({ dir: join(dataDir, "nodes"), random });
  const enrollment = new NodeEnrollment({ authority, signer, tokens, nodes, clock });
  return { authority, signer, tokens, nodes, enrollment };
}

/** Names a server on this machine may be reached by: loopback, host name, every interface. */
export function localNames(configured: readonly string[] = []): string[] {
  const addresses = Deno.networkInterfaces().map((entry) => entry.address);
  return ["localhost", "127.0.0.1", "::1", Deno.hostname(), ...addresses, ...configured];
}
