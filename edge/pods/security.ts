/** Pod and container security contexts in CRI's terms, with kubelet's defaults. Pure. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { AppError } from "../../shared/errors.ts";
import {
  type LinuxContainerSecurityContextSchema,
  type LinuxSandboxSecurityContextSchema,
  type NamespaceOptionSchema,
  SecurityProfile_ProfileType as ProfileType,
} from "../../shared/gen/runtime/v1/api_pb.ts";
import type { Container, Pod, SecurityProfile } from "../../shared/k8s/types.ts";

type NamespaceOptions = MessageInitShape<typeof NamespaceOptionSchema>;

/** Whom the image says to run as: a number, a name, or neither (root). */
export interface ImageUser {
  uid?: bigint;
  username?: string;
}

const MASKED_PATHS = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];

const READONLY_PATHS = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

export function sandboxSecurity(
  pod: Pod,
  namespaceOptions: NamespaceOptions,
): MessageInitShape<typeof LinuxSandboxSecurityContextSchema> {
  const { runAsUser, runAsGroup } = pod.spec.securityContext ?? {};
  const all = [...pod.spec.containers, ...pod.spec.initContainers ?? []];
  return {
    namespaceOptions,
    privileged: all.some((c) => c.securityContext?.privileged === true),
    seccomp: { profileType: ProfileType.RuntimeDefault },
    supplementalGroups: groups(pod),
    ...(runAsUser === undefined ? {} : { runAsUser: { value: BigInt(runAsUser) } }),
    // The API allows a group only beside a user; runtimes refuse a lone one for the sandbox.
    ...(runAsGroup === undefined || runAsUser === undefined
      ? {}
      : { runAsGroup: { value: BigInt(runAsGroup) } }),
  };
}

function groups(pod: Pod): bigint[] {
  const { fsGroup, supplementalGroups = [] } = pod.spec.securityContext ?? {};
  return [...(fsGroup === undefined ? [] : [fsGroup]), ...supplementalGroups].map(BigInt);
}

export interface SecurityContextInput {
  imageUser: ImageUser;
  namespaceOptions: NamespaceOptions;
  seccompDir: string;
  /** Of this host, besides the fixed ones. */
  maskedPaths: readonly string[];
}

export function containerSecurity(
  pod: Pod,
  container: Container,
  input: SecurityContextInput,
): MessageInitShape<typeof LinuxContainerSecurityContextSchema> {
  const own = container.securityContext ?? {};
  const runAsGroup = own.runAsGroup ?? pod.spec.securityContext?.runAsGroup;
  const unmasked = own.procMount === "Unmasked";
  return {
    ...user(pod, container, input.imageUser),
    ...(runAsGroup === undefined ? {} : { runAsGroup: { value: BigInt(runAsGroup) } }),
    namespaceOptions: input.namespaceOptions,
    privileged: own.privileged === true,
    readonlyRootfs: own.readOnlyRootFilesystem === true,
    noNewPrivs: own.allowPrivilegeEscalation === false,
    supplementalGroups: groups(pod),
    capabilities: {
      addCapabilities: own.capabilities?.add ?? [],
      dropCapabilities: own.capabilities?.drop ?? [],
    },
    maskedPaths: unmasked ? [] : [...MASKED_PATHS, ...input.maskedPaths],
    readonlyPaths: unmasked ? [] : READONLY_PATHS,
    seccomp: seccomp(own.seccompProfile ?? pod.spec.securityContext?.seccompProfile, input),
    ...apparmor(own.appArmorProfile ?? pod.spec.securityContext?.appArmorProfile),
  };
}

function user(pod: Pod, container: Container, image: ImageUser) {
  const pods = pod.spec.securityContext ?? {};
  const own = container.securityContext ?? {};
  const nonRoot = own.runAsNonRoot ?? pods.runAsNonRoot ?? false;
  const wanted = own.runAsUser ?? pods.runAsUser;
  const uid = wanted === undefined ? image.uid : BigInt(wanted);
  const where = `(pod: "${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})", ` +
    `container: ${container.name})`;
  if (nonRoot && wanted === 0) {
    throw new AppError("invalid", `container's runAsUser breaks non-root policy ${where}`);
  }
  if (nonRoot && uid === undefined && image.username) {
    throw new AppError(
      "invalid",
      `container has runAsNonRoot and image has non-numeric user (${image.username}), ` +
        `cannot verify user is non-root ${where}`,
    );
  }
  if (nonRoot && (uid ?? 0n) === 0n) {
    throw new AppError("invalid", `container has runAsNonRoot and image will run as root ${where}`);
  }
  if (uid !== undefined) return { runAsUser: { value: uid } };
  return image.username ? { runAsUsername: image.username } : { runAsUser: { value: 0n } };
}

function seccomp(profile: SecurityProfile | undefined, input: SecurityContextInput) {
  switch (profile?.type) {
    case "RuntimeDefault":
      return { profileType: ProfileType.RuntimeDefault };
    case "Localhost":
      return {
        profileType: ProfileType.Localhost,
        localhostRef: `${input.seccompDir}/${safeProfile(profile.localhostProfile ?? "")}`,
      };
    default:
      return { profileType: ProfileType.Unconfined };
  }
}

function safeProfile(name: string): string {
  if (name === "" || name.startsWith("/") || name.split("/").includes("..")) {
    throw new AppError(
      "invalid",
      `localhostProfile must be a relative path below the profile ` +
        `folder, got "${name}"`,
    );
  }
  return name;
}

/** Both the field and its deprecated text form, for runtimes of either age. */
function apparmor(profile: SecurityProfile | undefined) {
  switch (profile?.type) {
    case "RuntimeDefault":
      return {
        apparmor: { profileType: ProfileType.RuntimeDefault },
        apparmorProfile: "runtime/default",
      };
    case "Unconfined":
      return {
        apparmor: { profileType: ProfileType.Unconfined },
        apparmorProfile: "unconfined",
      };
    case "Localhost": {
      const localhostRef = profile.localhostProfile ?? "";
      return {
        apparmor: { profileType: ProfileType.Localhost, localhostRef },
        apparmorProfile: `localhost/${localhostRef}`,
      };
    }
    default:
      return {};
  }
}
