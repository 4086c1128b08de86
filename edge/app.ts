/**
 * Composition root of the edge on a real machine: its disk, its runtime, its sockets, put under the
 * rooms that assemble.ts joins. The store is opened first and closed last; everything else may be
 * killed at any await.
 */
import { isAbsolute, resolve } from "@std/path";
import { removeAddresses, writeAddresses } from "../shared/addresses.ts";
import { TaskScope } from "../shared/async/task_scope.ts";
import { withResources } from "../shared/async/with_resources.ts";
import type { Clock } from "../shared/clock.ts";
import { formatAddress, parseAddress } from "../shared/config.ts";
import { AppError } from "../shared/errors.ts";
import { roomLogger } from "../shared/log.ts";
import type { Random } from "../shared/random.ts";
import { DenoDisk } from "../shared/store/deno_disk.ts";
import type { LocalApi } from "./api/app.ts";
import { assembleEdge, type EdgeSettings } from "./assemble.ts";
import { GrpcRuntime } from "./cri/grpc_runtime.ts";
import { readIdentity, writeCertificate } from "./identity_files.ts";
import { TLS_TRANSPORT } from "./link/transport.ts";
import { Machine } from "./node/machine.ts";
import { readHost } from "./pods/host.ts";
import { SystemMounter } from "./pods/volumes/mounter.ts";

export type { EdgeSettings };

export interface SystemPorts {
  clock: Clock;
  random: Random;
}

export interface EdgeAddresses {
  api: string;
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
  const edge = await assembleEdge({ ...settings, config }, {
    ...ports,
    disk: new DenoDisk(),
    runtime,
    mounter: new SystemMounter(),
    host: await readHost(),
    readMachine: () => machine.read(),
    readIdentity: () => readIdentity(config.dataDir),
    keepCertificate: (certificate) => writeCertificate(config.dataDir, certificate),
    transport: TLS_TRANSPORT,
  }, stack);
  const server = serveLocalApi(config.api.listen, edge.api);
  stack.defer(() => server.close());
  await writeAddresses(config.dataDir, { api: `http://${server.address}` });
  stack.defer(() => removeAddresses(config.dataDir));
  const scope = stack.use(new TaskScope(signal));
  await edge.start(scope);
  log.info("Edge runs", { node: config.nodeName, api: server.address });
  onReady({ api: `http://${server.address}` });
  await scope.join();
}

function serveLocalApi(listen: string, api: LocalApi): { address: string; close(): Promise<void> } {
  const { hostname, port } = parseAddress(listen);
  try {
    const server = Deno.serve({ hostname, port, onListen: () => {} }, (r) => api.fetch(r));
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
