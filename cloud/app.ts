/**
 * Composition root of the cloud on a real machine: its disk, keys and listeners, put under the
 * rooms that assemble.ts joins. The listeners open only when every projection is served. What was
 * started is ended in reverse.
 */
import { join } from "@std/path";
import { removeAddresses, writeAddresses } from "../shared/addresses.ts";
import { TaskScope } from "../shared/async/task_scope.ts";
import { withResources } from "../shared/async/with_resources.ts";
import type { Clock } from "../shared/clock.ts";
import { formatAddress, type HostPort, parseAddress } from "../shared/config.ts";
import { writeFileAtomic } from "../shared/files.ts";
import { GVR } from "../shared/k8s/gvr.ts";
import { type HttpListener, openHttpListener } from "../shared/http_listener.ts";
import { roomLogger } from "../shared/log.ts";
import type { Random } from "../shared/random.ts";
import { DenoDisk } from "../shared/store/deno_disk.ts";
import type { DurableStore } from "../shared/store/durable_store.ts";
import type { DiskProblem } from "../shared/store/port.ts";
import { VERSION } from "../shared/version.ts";
import { createAdminApp } from "./admin/app.ts";
import type { ApiServer } from "./apiserver/app.ts";
import { findKind } from "./apiserver/kinds/registry.ts";
import { serveApi } from "./apiserver/server.ts";
import { assembleCloud } from "./assemble.ts";
import { formatKubeconfig } from "./cli/kubeconfig.ts";
import type { CloudConfig } from "./config.ts";
import type { LossGuard } from "./controllers/loss_guard.ts";
import { HubServer } from "./hub/server.ts";
import { AdminAuthenticator, openAdminToken } from "./pki/admin_token.ts";
import { localNames, openPki } from "./pki/pki.ts";
import { openTokenSigner } from "./pki/token_signer.ts";
import type { Rules } from "./rules/rules.ts";

const DAY_MS = 86_400_000;

export interface SystemPorts {
  clock: Clock;
  random: Random;
  /** The operator goes on without what a damaged store lost. */
  acceptDataLoss?: boolean;
}

export interface CloudAddresses {
  api: string;
  hub: string;
  admin: string;
  /** Where rules take requests; absent where that is off. */
  rest?: string;
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
  const nodeLifetimeMs = config.nodes.certificateDays * DAY_MS;
  const pki = await openPki({ dataDir, clock, random, nodeLifetimeMs });
  const adminToken = await openAdminToken(dataDir, random);
  const tls = await pki.signer.issueServer(localNames(config.hub.names));
  const hubTls = { ...await pki.signer.issueHub(), authority: pki.authority.certificate };
  const cloud = await assembleCloud(config, {
    ...ports,
    disk: new DenoDisk(),
    hasNodes: !await pki.nodes.isEmpty(),
    authenticator: new AdminAuthenticator(adminToken),
    serviceAccounts: {
      signer: await openTokenSigner(dataDir, random),
      caCertificate: pki.authority.certificate,
    },
    identities: pki.enrollment,
    openHub: (options) => new HubServer({ ...options, tls: hubTls }),
  }, stack);
  const { store, api, hub, lossGuard, rules } = cloud;
  const scope = stack.use(new TaskScope(signal));
  await cloud.start(scope);

  const serverTls = { cert: tls.certificate, key: tls.privateKey, ca: pki.authority.certificate };
  const addresses = await listen(
    config,
    { api, hub, store, lossGuard, rules, clock, tls: serverTls },
    stack,
  );
  const caCertificate = pki.authority.certificate;
  const kubeconfig = formatKubeconfig({ server: addresses.api, caCertificate, token: adminToken });
  await writeFileAtomic(join(dataDir, "admin.kubeconfig"), kubeconfig, 0o600);
  await writeAddresses(dataDir, { ...addresses });
  stack.defer(() => removeAddresses(dataDir));
  log.info("Cloud serves", { ...addresses });
  onReady(addresses);
  await scope.join();
}

interface Listening extends AdminSources {
  rules: Rules;
  tls: { cert: string; key: string; ca: string };
}

/** Opens the listeners; each is closed by the stack. */
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
  const rest = openRest(config.rest.listen, sources);
  if (rest) stack.defer(() => rest.close());
  const { address } = apiBound;
  return {
    api: `https://${reachable({ hostname: address.host, port: address.port })}`,
    hub: reachable({ hostname: hubBound.host, port: hubBound.port }),
    admin: `http://${admin.address}`,
    ...(rest ? { rest: `https://${reachable(parseAddress(rest.address))}` } : {}),
  };
}

function openRest(listen: string, { rules, tls, clock }: Listening): HttpListener | undefined {
  if (listen === "") return undefined;
  const handler = (request: Request) => rules.fetch(request);
  return openHttpListener({ listen, handler, tls: { cert: tls.cert, key: tls.key }, clock });
}

interface AdminSources {
  api: ApiServer;
  hub: HubServer;
  store: DurableStore;
  lossGuard: LossGuard;
  clock: Clock;
}

function serveAdmin(
  listen: string,
  { api, hub, store, lossGuard, clock }: AdminSources,
): HttpListener {
  const startedAtMs = clock.nowMs();
  const app = createAdminApp(() => ({
    version: VERSION,
    startedAtMs,
    nowMs: clock.nowMs(),
    sessions: hub.sessions.list(),
    traffic: hub.traffic,
    objects: countObjects(api),
    storeSequence: store.lastSequence,
    damage: store.recovery.damage.map((damage) => `${damage.what} in ${damage.file}`),
    checks: [
      storeCheck(lossGuard),
      diskCheck(store.problem),
      { name: "controllers", ok: true },
    ],
  }));
  return openHttpListener({ listen, handler: (request) => app.fetch(request), clock });
}

/** A store that lost records serves, and is not well until somebody says what to do about it. */
function storeCheck(
  { loss, kept }: LossGuard,
): { name: string; ok: boolean; message?: string } {
  if (!loss) return { name: "store", ok: true };
  const newer = kept.flatMap(({ node, keys }) => keys.map((key) => `${key} at ${node}`));
  const some = newer.length === 0
    ? ""
    : `; ${newer.length} are newer there, such as ${newer.slice(0, 3).join(", ")}`;
  const message = `records were lost on ${loss.since} (${loss.damage.join("; ")}); nodes keep ` +
    `what is unknown here until a start with --accept-data-loss${some}`;
  return { name: "store", ok: false, message };
}

/** While the disk takes no writes, the API refuses them and goes on reading. */
function diskCheck(
  problem: DiskProblem | undefined,
): { name: string; ok: boolean; message?: string } {
  if (!problem) return { name: "disk", ok: true };
  return { name: "disk", ok: false, message: problem.message };
}

function countObjects(api: ApiServer): Record<string, number> {
  // views have no objects of their own
  const stored = Object.values(GVR).filter(({ group, version, resource }) =>
    findKind(group, version, resource)?.view === undefined
  );
  return Object.fromEntries(stored.map((gvr) => [gvr.resource, api.storage.count(gvr)]));
}

/** An address that can be dialled from this machine: "any address" becomes loopback. */
function reachable(bound: HostPort): string {
  const any: Record<string, string> = { "0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1" };
  return formatAddress({ hostname: any[bound.hostname] ?? bound.hostname, port: bound.port });
}
