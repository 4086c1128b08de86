/**
 * Composition root of the cloud: the only file that builds everything. Start order: store, keys, API
 * server, controllers, hub; the hub takes sessions only when every projection is served, because a
 * half-loaded world would look like deletions. What was started is ended in reverse.
 */
import { join } from "@std/path";
import { removeAddresses, writeAddresses } from "../shared/addresses.ts";
import { TaskScope } from "../shared/async/task_scope.ts";
import type { Clock } from "../shared/clock.ts";
import { formatAddress, type HostPort, parseAddress } from "../shared/config.ts";
import { AppError } from "../shared/errors.ts";
import { writeFileAtomic } from "../shared/files.ts";
import { GVR } from "../shared/k8s/gvr.ts";
import { roomLogger } from "../shared/log.ts";
import type { Random } from "../shared/random.ts";
import { DenoDisk } from "../shared/store/deno_disk.ts";
import { type DurableStore, openStore } from "../shared/store/durable_store.ts";
import { VERSION } from "../shared/version.ts";
import { createAdminApp } from "./admin/app.ts";
import { type ApiServer, createApiServer } from "./apiserver/app.ts";
import { serveApi } from "./apiserver/server.ts";
import { formatKubeconfig } from "./cli/kubeconfig.ts";
import type { CloudConfig } from "./config.ts";
import { Controllers } from "./controllers/controllers.ts";
import { HubServer } from "./hub/server.ts";
import { inProcessKube } from "./kube/in_process.ts";
import { Informer } from "./kube/informer.ts";
import { AdminAuthenticator, loadAdminToken } from "./pki/admin_token.ts";
import { localNames, openPki, type Pki } from "./pki/pki.ts";
import { NodeTunnel } from "./tunnel/node_tunnel.ts";

/** The identity of the cloud's own rooms at the API. */
const SYSTEM_USER = { username: "system:skerry", groups: ["system:masters"] };
const DAY_MS = 86_400_000;

export interface SystemPorts {
  clock: Clock;
  random: Random;
}

export interface CloudAddresses {
  api: string;
  hub: string;
  admin: string;
}

const log = roomLogger("cloud");

/** Serves until `signal` aborts; `onReady` is told the addresses once everything listens. */
export async function runCloud(
  config: CloudConfig,
  ports: SystemPorts,
  onReady: (addresses: CloudAddresses) => void,
  signal: AbortSignal,
): Promise<void> {
  const { dataDir } = config;
  const { clock, random } = ports;
  await using stack = new AsyncDisposableStack();
  const store = await openStore({ dir: join(dataDir, "store"), disk: new DenoDisk(), clock });
  stack.defer(() => store.close());
  const nodeLifetimeMs = config.nodes.certificateDays * DAY_MS;
  const pki = await openPki({ dataDir, clock, random, nodeLifetimeMs });
  const adminToken = await loadAdminToken(dataDir, random);
  const tls = await pki.signer.issueServer(localNames(config.hub.names));

  const late: { hub?: HubServer } = {};
  const api = await createApiServer({
    store,
    clock,
    random,
    version: VERSION,
    authenticator: new AdminAuthenticator(adminToken),
    nodeProxy: {
      fetch: (node, request) => {
        if (!late.hub) throw new AppError("unavailable", `Cannot reach node ${node}: no hub yet`);
        return late.hub.sessions.fetch(node, request);
      },
    },
  });
  stack.defer(() => api.close());

  const kube = inProcessKube(api.fetchAs(SYSTEM_USER));
  const controllers = new Controllers({
    kube,
    store,
    clock,
    random,
    follow: (gvr) => new Informer(kube, gvr, { clock, random }),
    settings: { nodeGraceMs: config.nodes.graceSeconds * 1_000 },
  });
  const hub = buildHub(pki, controllers, tls, ports);
  late.hub = hub;
  controllers.attachSessions(hub.sessions);

  await using scope = new TaskScope(signal);
  scope.spawn("controllers", (s) => controllers.run(s));
  await controllers.ready(scope.signal);

  const apiBound = await serveApi({
    app: api.app,
    address: { host: parseAddress(config.api.listen).hostname, port: portOf(config.api.listen) },
    tls: { cert: tls.certificate, key: tls.privateKey, ca: pki.authority.certificate },
  });
  stack.defer(() => apiBound.close());
  const hubBound = await hub.listen(config.hub.listen);
  stack.defer(() => hub.close());
  const admin = serveAdmin(config.admin.listen, { api, hub, store, clock });
  stack.defer(() => admin.close());

  const addresses: CloudAddresses = {
    api: `https://${reachable({ hostname: apiBound.address.host, port: apiBound.address.port })}`,
    hub: reachable({ hostname: hubBound.host, port: hubBound.port }),
    admin: `http://${admin.address}`,
  };
  await writeAddresses(dataDir, { ...addresses });
  stack.defer(() => removeAddresses(dataDir));
  const caCertificate = pki.authority.certificate;
  const kubeconfig = formatKubeconfig({ server: addresses.api, caCertificate, token: adminToken });
  await writeFileAtomic(join(dataDir, "admin.kubeconfig"), kubeconfig, 0o600);
  log.info("Cloud serves", { ...addresses });
  onReady(addresses);
  await scope.join();
}

function buildHub(
  pki: Pki,
  controllers: Controllers,
  tls: { certificate: string; privateKey: string },
  { clock, random }: SystemPorts,
): HubServer {
  return new HubServer({
    tls: { ...tls, authority: pki.authority.certificate },
    identities: pki.enrollment,
    source: controllers.desired,
    sink: controllers.sink,
    openTunnel: () => new NodeTunnel(),
    clock,
    random,
  });
}

interface AdminSources {
  api: ApiServer;
  hub: HubServer;
  store: DurableStore;
  clock: Clock;
}

function serveAdmin(
  listen: string,
  { api, hub, store, clock }: AdminSources,
): { address: string; close(): Promise<void> } {
  const startedAtMs = clock.nowMs();
  const app = createAdminApp(() => ({
    version: VERSION,
    startedAtMs,
    nowMs: clock.nowMs(),
    sessions: hub.sessions.list(),
    objects: countObjects(api),
    storeSequence: store.lastSequence,
    damage: store.recovery.damage.map((damage) => `${damage.what} in ${damage.file}`),
    checks: [{ name: "store", ok: true }, { name: "controllers", ok: true }],
  }));
  const { hostname, port } = parseAddress(listen);
  const server = Deno.serve(
    { hostname, port, onListen: () => {} },
    (request) => app.fetch(request),
  );
  return { address: formatAddress(server.addr), close: () => server.shutdown() };
}

function countObjects(api: ApiServer): Record<string, number> {
  return Object.fromEntries(
    Object.values(GVR).map((gvr) => [gvr.resource, api.storage.count(gvr)]),
  );
}

function portOf(listen: string): number {
  return parseAddress(listen).port;
}

/** An address that can be dialled from this machine: "any address" becomes loopback. */
function reachable(bound: HostPort): string {
  const any: Record<string, string> = { "0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1" };
  return formatAddress({ hostname: any[bound.hostname] ?? bound.hostname, port: bound.port });
}
