/**
 * A hub in a process of its own, for measuring: real listener, real keys, real sessions; reports
 * are counted and forgotten. Arguments: data folder. Writes `<folder>/hub.json` when it listens,
 * and `<folder>/readings.json` when it ends.
 */
import { HubServer } from "../../../cloud/hub/server.ts";
import { openPki } from "../../../cloud/pki/pki.ts";
import { NodeTunnel } from "../../../cloud/tunnel/node_tunnel.ts";
import { SystemClock } from "../../../shared/clock.ts";
import { writeFileAtomic } from "../../../shared/files.ts";
import { SystemRandom } from "../../../shared/random.ts";
import { CountingSink, EmptySource } from "./doubles.ts";

const TOKEN_MS = 3_600_000;

/** What the hub's file says. */
export interface HubFacts {
  port: number;
  /** Good for many nodes. */
  token: string;
  /** PEMs of the authority, and of a server certificate for other servers to show. */
  authority: string;
  server: { certificate: string; privateKey: string };
}

if (import.meta.main) {
  const [dir = "."] = Deno.args;
  const ports = { clock: new SystemClock(), random: new SystemRandom() };
  const pki = await openPki({ dataDir: dir, ...ports });
  const authority = pki.authority.certificate;
  const sink = new CountingSink();
  const hub = new HubServer({
    ...ports,
    tls: { ...await pki.signer.issueHub(), authority },
    identities: pki.enrollment,
    source: new EmptySource(),
    sink,
    openTunnel: () => new NodeTunnel(),
  });
  const { port } = await hub.listen("127.0.0.1:0");
  const { token } = await pki.tokens.create({
    authorityHash: pki.authority.hash,
    ttlMs: TOKEN_MS,
    uses: 1_000,
  });
  const server = await pki.signer.issueServer(["127.0.0.1", "localhost"]);
  const facts: HubFacts = { port, token, authority, server };
  await writeFileAtomic(`${dir}/hub.json`, JSON.stringify(facts), 0o600);
  Deno.addSignalListener("SIGTERM", () => {
    const told = hub.close().then(() =>
      writeFileAtomic(`${dir}/readings.json`, JSON.stringify(sink.readings), 0o600)
    );
    void told.then(() => Deno.exit(0), () => Deno.exit(1));
  });
}
