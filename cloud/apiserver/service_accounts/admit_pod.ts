/**
 * What the API server adds to a new pod for its service account, as Kubernetes' admission does: the
 * account's name, the projected volume with token, CA and namespace (unless pod or account say no),
 * and the account's pull secrets. Pure.
 */
import type { KubeObject, Pod, Volume, VolumeMount } from "../../../shared/k8s/types.ts";
import { forbidden } from "../errors.ts";

export const TOKEN_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount";
/** Every namespace holds the CA of the API under this name. */
export const ROOT_CA_CONFIG_MAP = "kube-root-ca.crt";
/** What Kubernetes asks for; such a token is good for a year and renewed every day. */
export const API_ACCESS_SECONDS = 3_607;
const MIRROR = "kubernetes.io/config.mirror";
const PODS = { group: "", plural: "pods" };

interface Account extends KubeObject {
  automountServiceAccountToken?: boolean;
  imagePullSecrets?: { name?: string }[];
}

interface PodAccountFields {
  serviceAccountName?: string;
  automountServiceAccountToken?: boolean;
}

/** `suffix` makes the name of the volume its own. */
export function admitPod(
  pod: Pod,
  find: (name: string) => KubeObject | undefined,
  suffix: () => string,
): Pod {
  if (pod.metadata.annotations?.[MIRROR] !== undefined) return pod;
  const fields: PodAccountFields = pod.spec; // core/v1; not all of it is typed
  const name = fields.serviceAccountName || "default";
  const account: Account | undefined = find(name);
  // `default` is made in every namespace, a moment after it: nothing has to wait for it
  if (!account && name !== "default") {
    const why = `error looking up service account ${pod.metadata.namespace}/${name}: ` +
      `serviceaccount "${name}" not found`;
    throw forbidden(PODS, pod.metadata.name ?? "", why);
  }
  const mounts = fields.automountServiceAccountToken ?? account?.automountServiceAccountToken ??
    true;
  const named: Pod = {
    ...pod,
    // the second is the old name of the first, and is still read
    spec: { ...pod.spec, serviceAccountName: name, ...{ serviceAccount: name } },
  };
  return withPullSecrets(mounts ? withApiAccess(named, suffix) : named, account);
}

function withPullSecrets(pod: Pod, account: Account | undefined): Pod {
  const secrets = account?.imagePullSecrets ?? [];
  if (pod.spec.imagePullSecrets?.length || secrets.length === 0) return pod;
  return { ...pod, spec: { ...pod.spec, imagePullSecrets: structuredClone(secrets) } };
}

function withApiAccess(pod: Pod, suffix: () => string): Pod {
  const lacksMount = (container: { volumeMounts?: VolumeMount[] }) =>
    !container.volumeMounts?.some(({ mountPath }) => mountPath === TOKEN_MOUNT_PATH);
  const all = [...pod.spec.initContainers ?? [], ...pod.spec.containers];
  if (!all.some(lacksMount)) return pod;
  const there = pod.spec.volumes?.find(({ name }) => name.startsWith("kube-api-access-"));
  const volume = there ?? apiAccessVolume(`kube-api-access-${suffix()}`);
  const mount = { name: volume.name, readOnly: true, mountPath: TOKEN_MOUNT_PATH };
  const mounted = <C extends { volumeMounts?: VolumeMount[] }>(container: C): C =>
    lacksMount(container)
      ? { ...container, volumeMounts: [...container.volumeMounts ?? [], mount] }
      : container;
  const { initContainers, containers } = pod.spec;
  return {
    ...pod,
    spec: {
      ...pod.spec,
      volumes: there ? pod.spec.volumes! : [...pod.spec.volumes ?? [], volume],
      ...(initContainers ? { initContainers: initContainers.map(mounted) } : {}),
      containers: containers.map(mounted),
    },
  };
}

function apiAccessVolume(name: string): Volume {
  const namespace = { path: "namespace", fieldRef: fieldRef("metadata.namespace") };
  return {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: API_ACCESS_SECONDS, path: "token" } },
        { configMap: { name: ROOT_CA_CONFIG_MAP, items: [{ key: "ca.crt", path: "ca.crt" }] } },
        { downwardAPI: { items: [namespace] } },
      ],
      defaultMode: 0o644,
    },
  };
}

function fieldRef(fieldPath: string) {
  return { apiVersion: "v1", fieldPath };
}
