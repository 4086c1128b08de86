/**
 * Composition root of the edge on a real machine: its disk, its runtime, its sockets, put under the
 * rooms that assemble.ts joins. The store is opened first and closed last; everything else may be
 * killed at any await.
 */
import { isAbsolute, join, resolve } from "@std/path";
import { removeAddresses, writeAddresses } from "../shared/addresses.ts";
import { TaskScope } from "../shared/async/task_scope.ts";
import { withResources } from "../shared/async/with_resources.ts";
import type { Clock } from "../shared/clock.ts";
import { formatAddress, parseAddress } from "../shared/config.ts";
import { AppError, errorChain } from "../shared/errors.ts";
import { roomLogger } from "../shared/log.ts";
import type { Random } from "../shared/random.ts";
import { DenoDisk } from "../shared/store/deno_disk.ts";
import { openKeyFile } from "../shared/store/key_file.ts";
import type { LocalApi } from "./api/app.ts";
import { openApiToken, openLocalTls } from "./api_files.ts";
import { assembleEdge, type EdgeSettings } from "./assemble.ts";
import { GrpcRuntime } from "./cri/grpc_runtime.ts";
import { readIdentity, writeCertificate } from "./identity_files.ts";
import { TLS_TRANSPORT } from "./link/transport.ts";
import { Machine } from "./node/machine.ts";
import { readHost } from "./pods/host.ts";
import { SystemMounter } from "./pods/volumes/mounter.ts";
import { trimAfterStart } from "./trim.ts";

export type { EdgeSettings };

export interface SystemPorts {
  clock: Clock;
  random: Random;
}

export interface EdgeAddresses {
  api: string;
  /** Absent when it cannot be listened there; nothing else depends on it. */
  apiTls?: string;
}

const log = roomLogger("edge");

/** Runs until `signal` aborts; `onReady` is told the addresses once the local API listens. */
export async function runEdge(
  settings: EdgeSettings,
  ports: SystemPorts,
  onReady: (addresses: EdgeAddresses) => void,
  signal: AbortSignal,
): Promise<void> {
  await withResources((stack) => serve({ settings, ports, onReady, signal }, stack));
}

interface Serving {
  settings: EdgeSettings;
  ports: SystemPorts;
  onReady: (addresses: EdgeAddresses) => void;
  signal: AbortSignal;
}

async function serve(
  { settings, ports, onReady, signal }: Serving,
  stack: AsyncDisposableStack,
): Promise<void> {
  const config = { ...settings.config, dataDir: absolute(settings.config.dataDir) };
  const runtime = new GrpcRuntime(config.runtime.endpoint);
  stack.defer(() => runtime.close());
  const machine = new Machine({ dataDir: config.dataDir });
  const { dataDir } = config;
  const acts = new Attempt();
  const token = await acts.make(() => openApiToken(dataDir, ports.random));
  const edge = await assembleEdge({ ...settings, config }, {
    ...ports,
    disk: new DenoDisk(),
    storeKey: await openStoreKey(dataDir, ports.random),
    runtime,
    mounter: new SystemMounter(),
    host: await readHost(),
    cgroupDir: "/sys/fs/cgroup",
    readMachine: () => machine.read(),
    readIdentity: () => readIdentity(config.dataDir),
    keepCertificate: (certificate) => writeCertificate(config.dataDir, certificate),
    transport: TLS_TRANSPORT,
    apiToken: token,
    apiProblem: () => acts.problem,
  }, stack);
  const server = serveLocalApi(config.api.listen, edge.api);
  stack.defer(() => server.close());
  const tls = await acts.make(async () => {
    const names = tlsNames(config.api.tlsListen);
    const { certificate: cert, privateKey: key } = await openLocalTls(dataDir, names, ports.random);
    return serveLocalApi(config.api.tlsListen, edge.api, { cert, key });
  });
  if (tls) stack.defer(() => tls.close());
  const addresses: EdgeAddresses = {
    api: `http://${server.address}`,
    ...(tls ? { apiTls: `https://${tls.address}` } : {}),
  };
  await writeAddresses(dataDir, { ...addresses });
  stack.defer(() => removeAddresses(dataDir));
  const scope = stack.use(new TaskScope(signal));
  await edge.start(scope);
  scope.spawn("memory", (s) => trimAfterStart(ports.clock, s));
  log.info("Edge runs", { node: config.nodeName, ...addresses });
  onReady(addresses);
  await scope.join();
}

async function openStoreKey(dataDir: string, random: Random): Promise<Uint8Array> {
  await Deno.mkdir(dataDir, { recursive: true, mode: 0o700 });
  return await openKeyFile(join(dataDir, "store.key"), random);
}

/** What acts need besides the rest: without it the node runs, reads are served, and it is said. */
class Attempt {
  problem: string | undefined;

  async make<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.problem = errorChain(error);
      log.error("Acts through the local API are not possible", { error: this.problem });
      return undefined;
    }
  }
}

/** The names kubectl may use for the listener; it verifies them. */
function tlsNames(listen: string): string[] {
  const { hostname } = parseAddress(listen);
  const any = ["0.0.0.0", "::", ""].includes(hostname);
  return [...new Set(["localhost", "127.0.0.1", any ? Deno.hostname() : hostname])];
}

function serveLocalApi(
  listen: string,
  api: LocalApi,
  tls?: { cert: string; key: string },
): { address: string; close(): Promise<void> } {
  const { hostname, port } = parseAddress(listen);
  const arrival = { tls: tls !== undefined };
  try {
    const server = Deno.serve(
      { hostname, port, onListen: () => {}, ...tls },
      (request) => api.fetch(request, arrival),
    );
    return {
      address: formatAddress(server.addr),
      // open watches and followed logs would hold a graceful shutdown for ever
      close: async () => {
        const closed = server.shutdown();
        await Promise.race([closed, AbortSignal.timeout(1_000)]);
      },
    };
  } catch (cause) {
    throw new AppError("unavailable", `Cannot listen on ${listen}`, {}, { cause });
  }
}

function absolute(path: string): string {
  return isAbsolute(path) ? path : resolve(Deno.cwd(), path);
}
