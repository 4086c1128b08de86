/**
 * From a pod's spec to what the runtime is asked to make: sandbox and container configs. Pure and
 * deterministic: the sandbox config is needed again, unchanged, with every container of the pod, so
 * it depends on nothing but the pod, the attempt and settled facts of the node.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AppError } from "../../shared/errors.ts";
import {
  type ContainerConfigSchema,
  NamespaceMode,
  type PodSandboxConfig,
  PodSandboxConfigSchema,
  Protocol,
} from "../../shared/gen/runtime/v1/api_pb.ts";
import type { Container, Pod } from "../../shared/k8s/types.ts";
import {
  type CgroupDriver,
  cgroupParent,
  containerResources,
  type HostFacts,
  sandboxOverhead,
  sandboxResources,
} from "./cgroup.ts";
import { type DnsContext, dnsSettings } from "./dns.ts";
import { expand } from "./env.ts";
import { dotted } from "./kernel_admission.ts";
import { ANNOTATION, containerHash, LABEL, NODE_MARK, TERMINATION_MESSAGE_PATH } from "./marks.ts";
import { containerSecurity, type ImageUser, sandboxSecurity } from "./security.ts";

export type ContainerConfigInit = MessageInitShape<typeof ContainerConfigSchema>;
export type MountInit = NonNullable<ContainerConfigInit["mounts"]>[number];

/** Settled facts of this node that shape configs. */
export interface CriContext {
  nodeName: string;
  podLogsDir: string;
  /** Where `Localhost` seccomp profiles lie. */
  seccompDir: string;
  cgroupDriver: CgroupDriver;
  host: HostFacts;
  dns: DnsContext;
}

const HOSTNAME_CHARS_MAX = 63;
/** What Linux takes as a host name. */
const FQDN_CHARS_MAX = 64;

export function podLogDir(pod: PodId, podLogsDir: string): string {
  return `${podLogsDir}/${pod.namespace}_${pod.name}_${pod.uid}`;
}

export interface PodId {
  namespace: string;
  name: string;
  uid: string;
}

export function podId(pod: Pod): PodId {
  const { namespace = "default", name = "", uid = "" } = pod.metadata;
  return { namespace, name, uid };
}

export function toSandboxConfig(pod: Pod, attempt: number, context: CriContext): PodSandboxConfig {
  const id = podId(pod);
  const dns = dnsSettings(pod, context.dns);
  return create(PodSandboxConfigSchema, {
    metadata: { ...id, attempt },
    hostname: pod.spec.hostNetwork ? "" : sandboxHostname(pod, context.dns.clusterDomain),
    logDirectory: podLogDir(id, context.podLogsDir),
    dnsConfig: dns,
    portMappings: portMappings(pod),
    labels: { ...pod.metadata.labels, ...podLabels(id) },
    annotations: { ...pod.metadata.annotations, [NODE_MARK]: context.nodeName },
    linux: {
      cgroupParent: cgroupParent(pod, context.cgroupDriver),
      securityContext: sandboxSecurity(pod, namespaces(pod)),
      sysctls: Object.fromEntries(
        (pod.spec.securityContext?.sysctls ?? []).map(({ name, value }) => [dotted(name), value]),
      ),
      resources: sandboxResources(pod),
      overhead: sandboxOverhead(pod),
    },
  });
}

function podLabels(id: PodId): Record<string, string> {
  return {
    [LABEL.podName]: id.name,
    [LABEL.podNamespace]: id.namespace,
    [LABEL.podUid]: id.uid,
  };
}

export function podHostname(pod: Pod): string {
  return (pod.spec.hostname || pod.metadata.name || "")
    .slice(0, HOSTNAME_CHARS_MAX).replace(/[-.]+$/, "");
}

/** The name a pod with a subdomain has in the cluster's DNS; undefined without one. */
export function podFqdn(pod: Pod, clusterDomain: string): string | undefined {
  const { subdomain } = pod.spec;
  if (!subdomain) return undefined;
  return `${podHostname(pod)}.${subdomain}.${pod.metadata.namespace}.svc.${clusterDomain}`;
}

/** Throws AppError "invalid" when the kernel would not take it. */
function sandboxHostname(pod: Pod, clusterDomain: string): string {
  const fqdn = pod.spec.setHostnameAsFQDN === true ? podFqdn(pod, clusterDomain) : undefined;
  if (fqdn === undefined) return podHostname(pod);
  if (fqdn.length <= FQDN_CHARS_MAX) return fqdn;
  throw new AppError(
    "invalid",
    `Failed to construct FQDN from Pod hostname and cluster domain, FQDN ${fqdn} is too long ` +
      `(${FQDN_CHARS_MAX} characters is the max, ${fqdn.length} characters requested).`,
  );
}

function namespaces(pod: Pod) {
  return {
    network: pod.spec.hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD,
    ipc: pod.spec.hostIPC ? NamespaceMode.NODE : NamespaceMode.POD,
    pid: pod.spec.hostPID
      ? NamespaceMode.NODE
      : pod.spec.shareProcessNamespace
      ? NamespaceMode.POD
      : NamespaceMode.CONTAINER,
  };
}

const PROTOCOLS = { TCP: Protocol.TCP, UDP: Protocol.UDP, SCTP: Protocol.SCTP };

function portMappings(pod: Pod) {
  const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always");
  const names = new Set<string>();
  const mappings = [];
  for (const port of [...sidecars, ...pod.spec.containers].flatMap((c) => c.ports ?? [])) {
    if (port.name && names.has(port.name)) continue;
    if (port.name) names.add(port.name);
    mappings.push({
      protocol: PROTOCOLS[port.protocol ?? "TCP"] ?? Protocol.TCP,
      containerPort: port.containerPort,
      hostPort: pod.spec.hostNetwork ? port.hostPort ?? port.containerPort : port.hostPort ?? 0,
      hostIp: port.hostIP ?? "",
    });
  }
  return mappings;
}

/** What only the moment of starting knows. */
export interface ContainerStart {
  attempt: number;
  /** What pull or inspection said to run the image by. */
  imageRef: string;
  imageUser: ImageUser;
  env: ReadonlyMap<string, string>;
  mounts: MountInit[];
  /** Of an ephemeral container: the container whose processes it sees. */
  targetId?: string;
}

/** Throws AppError "invalid" when runAsNonRoot cannot be kept. */
export function toContainerConfig(
  pod: Pod,
  container: Container,
  start: ContainerStart,
  context: CriContext,
): ContainerConfigInit {
  const encoder = new TextEncoder();
  return {
    metadata: { name: container.name, attempt: start.attempt },
    image: { image: start.imageRef, userSpecifiedImage: container.image ?? "" },
    command: (container.command ?? []).map((word) => expand(String(word), start.env)),
    args: (container.args ?? []).map((word) => expand(String(word), start.env)),
    workingDir: container.workingDir ?? "",
    envs: Array.from(start.env, ([key, value]) => ({ key, value: encoder.encode(value) })),
    mounts: start.mounts,
    labels: { ...podLabels(podId(pod)), [LABEL.containerName]: container.name },
    annotations: containerAnnotations(pod, container, start.attempt, context.nodeName),
    logPath: `${container.name}/${start.attempt}.log`,
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
    linux: {
      resources: containerResources(pod, container, context.host),
      securityContext: containerSecurity(pod, container, {
        imageUser: start.imageUser,
        namespaceOptions: start.targetId
          ? { ...namespaces(pod), pid: NamespaceMode.TARGET, targetId: start.targetId }
          : namespaces(pod),
        seccompDir: context.seccompDir,
        maskedPaths: context.host.maskedPaths,
      }),
    },
  };
}

function containerAnnotations(
  pod: Pod,
  container: Container,
  attempt: number,
  nodeName: string,
): Record<string, string> {
  const grace = pod.spec.terminationGracePeriodSeconds;
  const preStop = container.lifecycle?.preStop;
  return {
    [NODE_MARK]: nodeName,
    [ANNOTATION.hash]: containerHash(container),
    [ANNOTATION.restartCount]: String(attempt),
    [ANNOTATION.messagePath]: container.terminationMessagePath ?? TERMINATION_MESSAGE_PATH,
    [ANNOTATION.messagePolicy]: container.terminationMessagePolicy ?? "File",
    ...(grace === undefined ? {} : { [ANNOTATION.podGrace]: String(grace) }),
    ...(preStop ? { [ANNOTATION.preStop]: JSON.stringify(preStop) } : {}),
    ...(container.ports?.length ? { [ANNOTATION.ports]: JSON.stringify(container.ports) } : {}),
  };
}
