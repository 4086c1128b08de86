/** One pod sandbox of the fake runtime: ready until it is stopped, with an address while ready. */
import { create } from "@bufbuild/protobuf";
import {
  NamespaceMode,
  type PodSandbox,
  type PodSandboxConfig,
  PodSandboxSchema,
  PodSandboxState,
  type PodSandboxStatus,
  PodSandboxStatusSchema,
} from "../../shared/gen/runtime/v1/api_pb.ts";

export interface FakeSandboxInit {
  id: string;
  config: PodSandboxConfig;
  runtimeHandler: string;
  createdAtNs: bigint;
  /** Empty for a pod on the host's network. */
  ip: string;
}

export class FakeSandbox {
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly #init: FakeSandboxInit;
  #isReady = true;

  constructor(init: FakeSandboxInit) {
    this.id = init.id;
    this.config = init.config;
    this.#init = init;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** The address it holds; empty once stopped, or on the host's network. */
  get ip(): string {
    return this.#isReady ? this.#init.ip : "";
  }

  markStopped(): void {
    this.#isReady = false;
  }

  stateCode(): PodSandboxState {
    return this.#isReady ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
  }

  toPodSandbox(): PodSandbox {
    return create(PodSandboxSchema, this.#common());
  }

  toStatus(): PodSandboxStatus {
    const options = this.config.linux?.securityContext?.namespaceOptions;
    return create(PodSandboxStatusSchema, {
      ...this.#common(),
      network: { ip: this.ip },
      linux: { namespaces: { ...(options && { options }) } },
    });
  }

  #common() {
    const { metadata, labels, annotations } = this.config;
    return {
      id: this.id,
      ...(metadata && { metadata }),
      state: this.stateCode(),
      createdAt: this.#init.createdAtNs,
      labels,
      annotations,
      runtimeHandler: this.#init.runtimeHandler,
    };
  }
}

export function isHostNetwork(config: PodSandboxConfig): boolean {
  const mode = config.linux?.securityContext?.namespaceOptions?.network;
  return mode === NamespaceMode.NODE;
}

/** Names a runtime keeps unique: one sandbox per pod uid and attempt. */
export function sandboxName(config: PodSandboxConfig): string {
  const { name = "", namespace = "", uid = "", attempt = 0 } = config.metadata ?? {};
  return `${name}_${namespace}_${uid}_${attempt}`;
}
