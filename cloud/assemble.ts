/**
 * Joins the rooms of the cloud over whatever machine the ports stand for: the real one (app.ts) or
 * a simulated one. Order: store, API server, controllers, hub; whoever lets sessions in waits for
 * `ready`, because a half-loaded world would look like deletions. Nothing here opens a socket.
 */
import { join } from "@std/path";
import type { TaskScope } from "../shared/async/task_scope.ts";
import type { Clock } from "../shared/clock.ts";
import { AppError } from "../shared/errors.ts";
import type { GroupVersionResource } from "../shared/k8s/gvr.ts";
import type { Random } from "../shared/random.ts";
import type { Disk } from "../shared/store/disk.ts";
import { probeDisk } from "../shared/store/disk_probe.ts";
import { type DurableStore, openStore } from "../shared/store/durable_store.ts";
import { VERSION } from "../shared/version.ts";
import { type ApiServer, createApiServer } from "./apiserver/app.ts";
import { SYSTEM } from "./apiserver/authorize.ts";
import type { KindInfo } from "./apiserver/kinds/kind_info.ts";
import { allKinds } from "./apiserver/kinds/registry.ts";
import type { Authenticator, TokenSigner } from "./apiserver/port.ts";
import { PodTokenIssuer } from "./apiserver/service_accounts/pod_token_issuer.ts";
import { skipLostRevisions } from "./apiserver/storage.ts";
import type { CloudConfig } from "./config.ts";
import { Controllers } from "./controllers/controllers.ts";
import { LossGuard } from "./controllers/loss_guard.ts";
import type { HubOptions } from "./hub/hub.ts";
import type { NodeIdentities, NodeSessions } from "./hub/port.ts";
import { inProcessKube } from "./kube/in_process.ts";
import { Informer } from "./kube/informer.ts";
import { buildRules } from "./rules_room.ts";
import type { Rules } from "./rules/rules.ts";
import { NodeTunnel } from "./tunnel/node_tunnel.ts";

/** The machine under the rooms; `H` is the hub with what carries its calls. */
export interface CloudPorts<H> {
  clock: Clock;
  random: Random;
  disk: Disk;
  authenticator: Authenticator;
  /** With it service accounts have tokens. `caCertificate` (PEM) is of the API's authority. */
  serviceAccounts?: { signer: TokenSigner; caCertificate: string };
  identities: NodeIdentities;
  openHub: (options: HubOptions) => H;
  /** The operator goes on without what a damaged store lost. */
  acceptDataLoss?: boolean;
  /** Nodes are enrolled: an empty store beside them has been lost. */
  hasNodes?: boolean;
}

export interface Cloud<H> {
  store: DurableStore;
  lossGuard: LossGuard;
  api: ApiServer;
  controllers: Controllers;
  hub: H;
  rules: Rules;
  /** Runs the controllers in `scope`; resolves when every projection is served. */
  start(scope: TaskScope): Promise<void>;
}

/** Opens the store and builds everything on it; `stack` ends both. Runs nothing yet. */
export async function assembleCloud<H extends { readonly sessions: NodeSessions }>(
  config: Pick<CloudConfig, "dataDir" | "nodes"> & Partial<Pick<CloudConfig, "rest">>,
  ports: CloudPorts<H>,
  stack: AsyncDisposableStack,
): Promise<Cloud<H>> {
  const { clock, random, disk, authenticator, identities } = ports;
  const store = await openStore({ dir: join(config.dataDir, "store"), disk, clock });
  stack.defer(() => store.close());
  const { acceptDataLoss: accept = false, hasNodes = false } = ports;
  const onLoss = [skipLostRevisions(store)];
  const lossGuard = await LossGuard.open({ store, clock, accept, hasNodes, onLoss });
  const late: { hub?: H } = {};
  const api = await createApiServer({
    store,
    clock,
    random,
    version: VERSION,
    authenticator,
    ...(ports.serviceAccounts ? { tokenSigner: ports.serviceAccounts.signer } : {}),
    nodeProxy: {
      fetch: (node, request) => {
        if (!late.hub) throw new AppError("unavailable", `Cannot reach node ${node}: no hub yet`);
        return late.hub.sessions.fetch(node, request);
      },
    },
  });
  stack.defer(() => api.close());
  const controllers = buildControllers(config, ports, { api, store, lossGuard });
  const kube = inProcessKube(api.fetchAs(SYSTEM));
  const sessions = () => late.hub?.sessions;
  const caFile = config.rest?.caFile ?? "";
  const rules = buildRules({ api, kube, store, caFile, clock, random, sessions });
  const hub = ports.openHub({
    identities,
    source: controllers.desired,
    sink: rules.before(controllers.sink),
    openTunnel: () => new NodeTunnel(),
    clock,
    random,
  });
  late.hub = hub;
  controllers.attachSessions(hub.sessions);
  return {
    store,
    lossGuard,
    api,
    controllers,
    hub,
    rules,
    start: async (scope) => {
      scope.spawn("disk", (signal) => probeDisk(store, clock, signal));
      scope.spawn("controllers", (signal) => controllers.run(signal));
      await controllers.ready(scope.signal);
      await rules.start(scope);
    },
  };
}

function buildControllers<H>(
  config: Pick<CloudConfig, "nodes">,
  { clock, random, serviceAccounts: accounts }: CloudPorts<H>,
  { api, store, lossGuard }: Pick<Cloud<H>, "api" | "store" | "lossGuard">,
): Controllers {
  const kube = inProcessKube(api.fetchAs(SYSTEM));
  const namespaced = allKinds().filter((kind) => kind.namespaced && !kind.view).map(toGvr);
  return new Controllers({
    kube,
    store,
    lossGuard,
    clock,
    random,
    follow: (gvr) => new Informer(kube, gvr, { clock, random }),
    namespacedResources: () => Promise.resolve(namespaced),
    ...(accounts
      ? {
        serviceAccounts: {
          issuer: new PodTokenIssuer(accounts.signer),
          caCertificate: accounts.caCertificate,
        },
      }
      : {}),
    settings: { nodeGraceMs: config.nodes.graceSeconds * 1_000 },
  });
}

function toGvr({ group, version, plural }: KindInfo): GroupVersionResource {
  return { group, version, resource: plural };
}
