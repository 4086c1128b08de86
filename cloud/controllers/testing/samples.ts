/** Small objects for tests. */
import type { ConfigMap, Node, Pod, PodSpec } from "../../../shared/k8s/types.ts";

export function samplePod(name: string, spec: Partial<PodSpec> = {}, more: Partial<Pod> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    ...more,
    metadata: { namespace: "default", name, ...more.metadata },
    spec: { containers: [{ name: "main", image: "busybox" }], ...spec },
  };
}

export function sampleNode(name: string, more: Partial<Node> = {}): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    spec: {},
    ...more,
    metadata: { name, labels: { "kubernetes.io/hostname": name }, ...more.metadata },
    status: {
      allocatable: { cpu: "2", memory: "2Gi", pods: "110", "ephemeral-storage": "10Gi" },
      conditions: [{ type: "Ready", status: "True", reason: "KubeletReady" }],
      ...more.status,
    },
  };
}

export function sampleConfigMap(name: string, data: Record<string, string> = {}): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: "default", name }, data };
}
