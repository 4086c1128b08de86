/** What the pod agent knows of its node, in the shapes the pure parts take. */
import { AppError } from "../../shared/errors.ts";
import type { ConfigMap, KubeObject, Pod, Secret } from "../../shared/k8s/types.ts";
import { type PodTokens, podTokensKey } from "../../shared/wire/pod_tokens.ts";
import type { Ledger } from "../meta/port.ts";
import type { CgroupDriver, HostFacts } from "./cgroup.ts";
import type { DnsContext } from "./dns.ts";
import type { PodFacts } from "./downward.ts";
import type { ConfigSource } from "./env.ts";
import { currentSandbox, newestSandbox, type ObservedPod } from "./observed.ts";
import type { CriContext } from "./to_cri.ts";
import type { PayloadContext } from "./volumes/payload.ts";

export interface NodeViewOptions {
  ledger: Ledger;
  name: string;
  addresses: () => readonly string[];
  allocatable: () => Readonly<Record<string, string>>;
  /** Where pods reach the Kubernetes API; "" for nowhere. */
  kubernetesApi: string;
  podLogsDir: string;
  seccompDir: string;
  host: HostFacts;
  dns: DnsContext;
  cgroupDriver: () => CgroupDriver;
  networkProblem: () => string | undefined;
}

export class NodeView {
  readonly #options: NodeViewOptions;

  constructor(options: NodeViewOptions) {
    this.#options = options;
  }

  get clusterDomain(): string {
    return this.#options.dns.clusterDomain;
  }

  addresses(): readonly string[] {
    return this.#options.addresses();
  }

  /** Why pods with a network of their own cannot start now; undefined when they can. */
  networkProblem(): string | undefined {
    return this.#options.networkProblem();
  }

  criContext(): CriContext {
    const { name, podLogsDir, seccompDir, host, dns, cgroupDriver } = this.#options;
    return { nodeName: name, podLogsDir, seccompDir, host, dns, cgroupDriver: cgroupDriver() };
  }

  facts(pod: Pod, sandboxIps: readonly string[]): PodFacts {
    const hostIps = this.#options.addresses();
    return {
      nodeName: this.#options.name,
      hostIps,
      podIps: pod.spec.hostNetwork ? hostIps : sandboxIps,
      allocatable: this.#options.allocatable(),
      kubernetesApi: this.#options.kubernetesApi,
    };
  }

  /** Where probes and hooks reach the pod; "" while it has no address. */
  podIp(pod: Pod | undefined, observed: ObservedPod): string {
    const sandbox = currentSandbox(observed) ?? newestSandbox(observed);
    const isOnHost = pod?.spec?.hostNetwork ?? sandbox?.hostNetwork ?? false;
    return (isOnHost ? this.addresses()[0] : sandbox?.ips[0]) ?? "";
  }

  source(pod: Pod): ConfigSource {
    const { ledger } = this.#options;
    const { namespace = "default" } = pod.metadata;
    return {
      configMap: (name) => ledger.get<ConfigMap>(`configmaps/${namespace}/${name}`),
      secret: (name) => ledger.get<Secret>(`secrets/${namespace}/${name}`),
    };
  }

  payloadContext(pod: Pod, sandboxIps: readonly string[]): PayloadContext {
    const { ledger } = this.#options;
    const { namespace = "default" } = pod.metadata;
    const storage = {
      claim: (name: string) => ledger.get(`persistentvolumeclaims/${namespace}/${name}`),
      volume: (name: string) => ledger.get(`persistentvolumes//${name}`),
    };
    const held = ledger.get<PodTokens>(podTokensKey(namespace, pod.metadata.name ?? ""));
    // Those of another pod of this name are not this pod's.
    const tokens = held?.metadata.uid === pod.metadata.uid ? held?.tokens ?? [] : [];
    return { pod, source: this.source(pod), facts: this.facts(pod, sandboxIps), storage, tokens };
  }

  /** The runtime's name for the pod's RuntimeClass; "" is its default. */
  runtimeHandler(pod: Pod): string {
    const { runtimeClassName } = pod.spec;
    if (!runtimeClassName) return "";
    const key = `runtimeclasses.node.k8s.io//${runtimeClassName}`;
    const runtimeClass = this.#options.ledger.get<KubeObject>(key);
    if (typeof runtimeClass?.handler === "string") return runtimeClass.handler;
    throw new AppError("not_found", `RuntimeClass "${runtimeClassName}" not found`);
  }

  pullSecrets(pod: Pod): { pullSecrets: Secret[]; missingSecrets: string[] } {
    const source = this.source(pod);
    const pullSecrets: Secret[] = [];
    const missingSecrets: string[] = [];
    for (const { name } of pod.spec.imagePullSecrets ?? []) {
      const secret = name ? source.secret(name) : undefined;
      if (secret) pullSecrets.push(secret);
      else if (name) missingSecrets.push(name);
    }
    return { pullSecrets, missingSecrets };
  }
}
