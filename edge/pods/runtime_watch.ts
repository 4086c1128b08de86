/**
 * How the runtime is: reachable, ready, with which network, cgroup driver, name and version. Asked
 * at the start, after every loss, and now and then; kept as one value that others read.
 */
import { errorChain } from "../../shared/errors.ts";
import {
  CgroupDriver as WireDriver,
  type RuntimeHandler,
} from "../../shared/gen/runtime/v1/api_pb.ts";
import type { ContainerRuntime } from "../cri/port.ts";
import type { CgroupDriver } from "./cgroup.ts";

export interface RuntimeState {
  /** Reachable, and its RuntimeReady condition true. */
  ready: boolean;
  /** What is not well; for people. */
  message?: string;
  name?: string;
  version?: string;
  network: { ready: boolean; message?: string };
  /** What each handler can do, and the runtime as a whole; where it tells. */
  handlers?: { name: string; features: HandlerFeatures }[];
  features?: { supplementalGroupsPolicy: boolean };
}

interface HandlerFeatures {
  recursiveReadOnlyMounts: boolean;
  userNamespaces: boolean;
}

export class RuntimeWatch {
  readonly #runtime: ContainerRuntime;
  readonly #wantedDriver: CgroupDriver | "auto";
  #driver: CgroupDriver | undefined;
  #state: RuntimeState = {
    ready: false,
    message: "container runtime has not been asked yet",
    network: { ready: false },
  };

  constructor(runtime: ContainerRuntime, cgroupDriver: CgroupDriver | "auto") {
    this.#runtime = runtime;
    this.#wantedDriver = cgroupDriver;
  }

  get state(): RuntimeState {
    return this.#state;
  }

  cgroupDriver(): CgroupDriver {
    return this.#wantedDriver === "auto" ? this.#driver ?? "cgroupfs" : this.#wantedDriver;
  }

  networkProblem(): string | undefined {
    const { network } = this.#state;
    return network.ready ? undefined : network.message ?? "container runtime network not ready";
  }

  /** Resolves true when the state differs from before; rejects when the runtime is away. */
  async refresh(signal: AbortSignal): Promise<boolean> {
    const needDriver = this.#wantedDriver === "auto" && this.#driver === undefined;
    // A runtime changes its version only by being replaced, and is lost meanwhile.
    const known = this.#state.ready ? this.#state : undefined;
    const [version, { status, info, runtimeHandlers, features }] = await Promise.all([
      known ? undefined : this.#runtime.version(signal),
      this.#runtime.status({ verbose: needDriver }, signal),
    ]);
    const name = version?.runtimeName ?? known?.name;
    const runtimeVersion = version?.runtimeVersion ?? known?.version;
    if (needDriver) this.#driver = await this.#askDriver(info, signal);
    const runtime = status?.conditions.find((c) => c.type === "RuntimeReady");
    const network = status?.conditions.find((c) => c.type === "NetworkReady");
    const say = (c: { type: string; reason: string; message: string }) =>
      `${c.type}=false reason:${c.reason} message:${c.message}`;
    return this.#set({
      ready: runtime?.status === true,
      ...(runtime?.status ? {} : {
        message: `container runtime is not ready: ${
          runtime ? say(runtime) : "no RuntimeReady condition"
        }`,
      }),
      ...(name ? { name } : {}),
      ...(runtimeVersion ? { version: runtimeVersion } : {}),
      network: network?.status ? { ready: true } : {
        ready: false,
        message: `container runtime network not ready: ${
          network ? say(network) : "no NetworkReady condition"
        }`,
      },
      ...(runtimeHandlers.length > 0 ? { handlers: handlersOf(runtimeHandlers) } : {}),
      ...(features
        ? { features: { supplementalGroupsPolicy: features.supplementalGroupsPolicy } }
        : {}),
    });
  }

  /** The runtime cannot be reached; true when that is news. */
  lost(error: unknown): boolean {
    const { name, version } = this.#state;
    return this.#set({
      ready: false,
      message: `container runtime is down: ${errorChain(error)}`,
      ...(name ? { name } : {}),
      ...(version ? { version } : {}),
      network: this.#state.network,
    });
  }

  #set(state: RuntimeState): boolean {
    const changed = JSON.stringify(state) !== JSON.stringify(this.#state);
    this.#state = state;
    return changed;
  }

  async #askDriver(info: Record<string, string>, signal: AbortSignal): Promise<CgroupDriver> {
    const config = await this.#runtime.runtimeConfig(signal);
    if (config) return config.cgroupDriver === WireDriver.SYSTEMD ? "systemd" : "cgroupfs";
    return driverFromInfo(info.config ?? "");
  }
}

/** containerd before 2.0 tells its driver only within the configuration it prints. */
export function driverFromInfo(config: string): CgroupDriver {
  try {
    const { containerd } = JSON.parse(config) as { // every step below allows for absence
      containerd?: {
        defaultRuntimeName?: string;
        runtimes?: Record<string, { options?: { SystemdCgroup?: boolean } } | undefined>;
      };
    };
    const runtime = containerd?.runtimes?.[containerd.defaultRuntimeName ?? "runc"];
    return runtime?.options?.SystemdCgroup === true ? "systemd" : "cgroupfs";
  } catch {
    // Not containerd's JSON: the common driver.
    return "cgroupfs";
  }
}

/** 64: no runtime has as many handlers; what is beyond is not listed. */
const HANDLERS_MAX = 64;

function handlersOf(told: readonly RuntimeHandler[]): NonNullable<RuntimeState["handlers"]> {
  return told.slice(0, HANDLERS_MAX).map(({ name, features }) => ({
    name,
    features: {
      recursiveReadOnlyMounts: features?.recursiveReadOnlyMounts ?? false,
      userNamespaces: features?.userNamespaces ?? false,
    },
  }));
}
