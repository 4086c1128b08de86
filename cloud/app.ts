/**
 * Composition root of the cloud: the only file that builds everything. Start order: store, keys,
 * API server, controllers, hub; the hub takes sessions only when every projection is served,
 * because a half-loaded world would look like deletions. What was started is ended in reverse.
 */
import { join } from "@std/path";
import { removeAddresses, writeAddresses } from "../shared/addresses.ts";
import { TaskScope } from "../shared/async/task_scope.ts";
import { withResources } from "../shared/async/with_resources.ts";
import type { Clock } from "../shared/clock.ts";
import { formatAddress, type HostPort, parseAddress } from "../shared/config.ts";
import { AppError } from "../shared/errors.ts";
import { writeFileAtomic } from "../shared/files.ts";
import { type GroupVersionResource, GVR } from "../shared/k8s/gvr.ts";
import { roomLogger } from "../shared/log.ts";
import type { Random } from "../shared/random.ts";
import { DenoDisk } from "../shared/store/deno_disk.ts";
import { type DurableStore, openStore } from "../shared/store/durable_store.ts";
import { VERSION } from "../shared/version.ts";
import { createAdminApp } from "./admin/app.ts";
import { type ApiServer, createApiServer } from "./apiserver/app.ts";
import type { KindInfo } from "./apiserver/kinds/kind_info.ts";
import { allKinds } from "./apiserver/kinds/registry.ts";
import { SYSTEM } from "./apiserver/authorize.ts";
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
  await withResources((stack) => serve({ config, ports, onReady, signal }, stack));
}

interface Serving {
  config: CloudConfig;
  ports: SystemPorts;
  onReady: (addresses: CloudAddresses) => void;
  signal: AbortSignal;
}

async function serve(
  { config, ports, onReady, signal }: Serving,
  stack: AsyncDisposableStack,
): Promise<void> {
  const { dataDir } = config;
  const { clock, random } = ports;
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

  const controllers = buildControllers(config, ports, api, store);
  const hub = buildHub(pki, controllers, tls, ports);
  late.hub = hub;
  controllers.attachSessions(hub.sessions);
  const scope = stack.use(new TaskScope(signal));
  scope.spawn("controllers", (s) => controllers.run(s));
  await controllers.ready(scope.signal);

  const serverTls = { cert: tls.certificate, key: tls.privateKey, ca: pki.authority.certificate };
  const addresses = await listen(config, { api, hub, store, clock, tls: serverTls }, stack);
  await writeAddresses(dataDir, { ...addresses });
  stack.defer(() => removeAddresses(dataDir));
  const caCertificate = pki.authority.certificate;
  const kubeconfig = formatKubeconfig({ server: addresses.api, caCertificate, token: adminToken });
  await writeFileAtomic(join(dataDir, "admin.kubeconfig"), kubeconfig, 0o600);
  log.info("Cloud serves", { ...addresses });
  onReady(addresses);
  await scope.join();
}

function buildControllers(
  config: CloudConfig,
  { clock, random }: SystemPorts,
  api: ApiServer,
  store: DurableStore,
): Controllers {
  const kube = inProcessKube(api.fetchAs(SYSTEM));
  const namespaced = allKinds().filter((kind) => kind.namespaced).map(toGvr);
  return new Controllers({
    kube,
    store,
    clock,
    random,
    follow: (gvr) => new Informer(kube, gvr, { clock, random }),
    namespacedResources: () => Promise.resolve(namespaced),
    settings: { nodeGraceMs: config.nodes.graceSeconds * 1_000 },
  });
}

interface Listening extends AdminSources {
  tls: { cert: string; key: string; ca: string };
}

/** Opens the three listeners; each is closed by the stack. */
async function listen(
  config: CloudConfig,
  sources: Listening,
  stack: AsyncDisposableStack,
): Promise<CloudAddresses> {
  const { api, hub, tls } = sources;
  const { hostname: host, port } = parseAddress(config.api.listen);
  const apiBound = await serveApi({ app: api.app, address: { host, port }, tls });
  stack.defer(() => apiBound.close());
  const hubBound = await hub.listen(config.hub.listen);
  stack.defer(() => hub.close());
  const admin = serveAdmin(config.admin.listen, sources);
  stack.defer(() => admin.close());
  const { address } = apiBound;
  return {
    api: `https://${reachable({ hostname: address.host, port: address.port })}`,
    hub: reachable({ hostname: hubBound.host, port: hubBound.port }),
    admin: `http://${admin.address}`,
  };
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

function toGvr({ group, version, plural }: KindInfo): GroupVersionResource {
  return { group, version, resource: plural };
}

function countObjects(api: ApiServer): Record<string, number> {
  return Object.fromEntries(
    Object.values(GVR).map((gvr) => [gvr.resource, api.storage.count(gvr)]),
  );
}

/** An address that can be dialled from this machine: "any address" becomes loopback. */
function reachable(bound: HostPort): string {
  const any: Record<string, string> = { "0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1" };
  return formatAddress({ hostname: any[bound.hostname] ?? bound.hostname, port: bound.port });
}
