/**
 * Composition root of the edge on a real machine: its disk, its runtime, its sockets, put under the
 * rooms that assemble.ts joins. The store is opened first and closed last; everything else may be
 * killed at any await.
 */
import { isAbsolute, join, resolve } from "@std/path";
import { TaskScope } from "../shared/async/task_scope.ts";
import { withResources } from "../shared/async/with_resources.ts";
import type { Clock } from "../shared/clock.ts";
import { parseAddress } from "../shared/config.ts";
import { errorChain } from "../shared/errors.ts";
import { type HttpListener, openHttpListener } from "../shared/http_listener.ts";
import { roomLogger } from "../shared/log.ts";
import type { Random } from "../shared/random.ts";
import { DenoDisk } from "../shared/store/deno_disk.ts";
import { openKeyFile } from "../shared/store/key_file.ts";
import { AddressFile } from "./address_file.ts";
import { openApiToken, openLocalTls, skerryGroup } from "./api_files.ts";
import { assembleEdge, type Edge, type EdgeSettings } from "./assemble.ts";
import type { EdgeConfig } from "./config.ts";
import { GrpcRuntime } from "./cri/grpc_runtime.ts";
import { DeviceMappers } from "./device_mappers.ts";
import { Dmi } from "./dmi/dmi.ts";
import { readIdentity, writeCertificate } from "./identity_files.ts";
import { TLS_TRANSPORT } from "./link/transport.ts";
import { MqttRoom } from "./mqtt/room.ts";
import { Machine } from "./node/machine.ts";
import { readHost } from "./pods/host.ts";
import { SystemMounter } from "./pods/volumes/mounter.ts";
import { ServiceBusRoom } from "./service_bus_room.ts";
import { keepNoLargeBuffers, keepTrimmed } from "./trim.ts";

export type { EdgeSettings };

export interface SystemPorts {
  clock: Clock;
  random: Random;
}

export interface EdgeAddresses {
  api: string;
  /** Absent when it cannot be listened there; nothing else depends on it. */
  apiTls?: string;
  /** Of the socket for mappers. */
  dmi: string;
}

const log = roomLogger("edge");

/** Runs until `signal` aborts; `onReady` is told the addresses once the local API listens. */
export async function runEdge(
  settings: EdgeSettings,
  ports: SystemPorts,
  onReady: (addresses: EdgeAddresses) => void,
  signal: AbortSignal,
): Promise<void> {
  keepNoLargeBuffers();
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
    // loaded only on a machine that is to wait for its pods
    openLogind: async () => await (await import("./node/shutdown/logind.ts")).openLogind(),
    readIdentity: () => readIdentity(config.dataDir),
    keepCertificate: (certificate) => writeCertificate(config.dataDir, certificate),
    transport: TLS_TRANSPORT,
    apiToken: token,
    apiProblem: () => acts.problem,
    dmi: () => dmi.facts,
    builtIn: () => mappers.mappers,
    mqtt: () => mqtt,
    serviceBus: () => serviceBus,
  }, stack);
  const dmi: Dmi = buildDmi(config, ports, edge);
  const mqtt: MqttRoom = buildMqtt(config, ports, edge);
  const mappers: DeviceMappers = buildMappers(config, ports, { edge, dmi, mqtt });
  const serviceBus: ServiceBusRoom = buildServiceBus(config, ports, edge);
  const server = openHttpListener({
    listen: config.api.listen,
    handler: (request) => edge.api.fetch(request, { tls: false }),
    clock: ports.clock,
  });
  stack.defer(() => server.close());
  const tls = await acts.make(() => openTlsListener(config, ports, edge));
  if (tls) stack.defer(() => tls.close());
  await dmi.open();
  const addresses: EdgeAddresses = {
    api: `http://${server.address}`,
    ...(tls ? { apiTls: `https://${tls.address}` } : {}),
    dmi: `unix://${dmi.socket.path}`,
  };
  const file = new AddressFile({
    dataDir,
    clock: ports.clock,
    addresses: () => ({ ...addresses, ...mqtt.addresses(), ...serviceBus.addresses() }),
  });
  await file.write();
  stack.defer(() => file.remove());
  // a broker listens when its library is loaded and its port is free: nothing waits for it
  stack.defer(mqtt.changes.subscribe(() => file.wake()));
  stack.defer(serviceBus.changes.subscribe(() => file.wake()));
  const scope = stack.use(new TaskScope(signal));
  await edge.start(scope);
  scope.spawn("memory", (s) => keepTrimmed(ports.clock, s));
  for (const [name, room] of Object.entries({ dmi, mappers, mqtt, serviceBus, addresses: file })) {
    scope.spawn(name, (s) => room.run(s));
  }
  log.info("Edge runs", { node: config.nodeName, ...addresses });
  onReady(addresses);
  await scope.join();
}

/** The same API for other machines. */
async function openTlsListener(
  { api: { tlsListen: listen }, dataDir }: EdgeConfig,
  { clock, random }: SystemPorts,
  { api }: Edge,
): Promise<HttpListener> {
  const names = tlsNames(listen);
  const { certificate: cert, privateKey: key } = await openLocalTls(dataDir, names, random);
  const handler = (request: Request) => api.fetch(request, { tls: true });
  return openHttpListener({ listen, handler, tls: { cert, key }, clock });
}

interface MapperRooms {
  edge: Edge;
  dmi: Dmi;
  mqtt: MqttRoom;
}

function buildMappers(
  config: EdgeConfig,
  ports: SystemPorts,
  { edge, dmi, mqtt }: MapperRooms,
): DeviceMappers {
  return new DeviceMappers({
    ...ports,
    devices: edge.memory.devices,
    external: {
      has: (protocol) => dmi.mappers.ofProtocol(protocol) !== undefined,
      changes: dmi.changes,
    },
    ...(config.mqtt.mode === "off" ? {} : { bus: mqtt }),
    events: edge.memory.events,
    dataDir: join(config.dataDir, "mappers"),
    nodeName: config.nodeName,
  });
}

function buildMqtt(
  { mqtt, nodeName }: EdgeConfig,
  { clock, random }: SystemPorts,
  { memory: { devices, intents, store, diskBudget } }: Edge,
): MqttRoom {
  return new MqttRoom({
    config: mqtt,
    nodeName,
    twins: () => devices.twins,
    twinsChanges: devices.changes,
    intents,
    store,
    sparing: () => diskBudget.exceeded,
    clock,
    random,
  });
}

function buildServiceBus(
  { serviceBus: config }: EdgeConfig,
  { clock, random }: SystemPorts,
  { memory: { store, outbox } }: Edge,
): ServiceBusRoom {
  return new ServiceBusRoom({ config, store, outbox, clock, random });
}

function buildDmi({ dmi }: EdgeConfig, { clock, random }: SystemPorts, { memory }: Edge): Dmi {
  const { store, ledger, devices } = memory;
  return new Dmi({
    socket: absolute(dmi.socket),
    group: skerryGroup,
    store,
    objects: ledger,
    twins: () => devices.twins,
    deviceChanges: devices.changes,
    clock,
    random,
  });
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

function absolute(path: string): string {
  return isAbsolute(path) ? path : resolve(Deno.cwd(), path);
}
