/** What the edge needs of the machine it runs on: the real one (app.ts), or a simulated one. */
import type { ContainerRuntime } from "./cri/port.ts";
import type { IdentityFiles } from "./link/port.ts";
import type { LinkTransport } from "./link/transport.ts";
import type { Mappers as BuiltInMappers } from "./mappers/port.ts";
import type { MemoryPorts } from "./memory.ts";
import type { EventBus, MqttFacts } from "./mqtt/port.ts";
import type { MachineFacts } from "./node/port.ts";
import type { Logind } from "./node/shutdown/node_shutdown.ts";
import type { PodAgentOptions } from "./pods/agent.ts";
import type { Mounter } from "./pods/volumes/mounter.ts";
import type { Answers, ServiceBusStatus } from "./rules/port.ts";

/** The machine under the rooms. */
export interface EdgePorts extends MemoryPorts {
  /** Closed by whoever made it. */
  runtime: ContainerRuntime;
  mounter: Mounter;
  host: PodAgentOptions["host"];
  /** Where the kernel shows cgroups. */
  cgroupDir: string;
  readMachine: () => Promise<MachineFacts>;
  /** Who says that the machine goes down; without it nobody does. */
  openLogind?: () => Promise<Logind>;
  readIdentity: () => Promise<IdentityFiles>;
  /** Keeps a renewed certificate (PEM); resolves when it is on disk. */
  keepCertificate: (certificate: string) => Promise<void>;
  transport: LinkTransport;
  /** What acts at the local API must show; without one nobody may act. */
  apiToken?: string | undefined;
  /** Why acts are not possible; undefined when they are. */
  apiProblem?: () => string | undefined;
  /** Mappers of this program; undefined while the node has no device. */
  builtIn?: () => BuiltInMappers | undefined;
  /** The event bus. */
  mqtt?: () => (MqttFacts & EventBus) | undefined;
  /** Where applications ask REST targets. */
  serviceBus?: () => (Answers & { status(): ServiceBusStatus | undefined }) | undefined;
}
