/** node.k8s.io/v1. The entries have the form of core_volumes.ts. */
export const NODE_K8S = `
Overhead: podFixed:Quantity{}=1
RuntimeClass: metadata:ObjectMeta=1 handler!=2 overhead:Overhead=3 scheduling:Scheduling=4
Scheduling: nodeSelector:{}=1 tolerations:Toleration[]=2
`;
