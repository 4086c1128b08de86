/**
 * PersistentVolume and PersistentVolumeClaim of core/v1, and storage.k8s.io/v1. The entries have
 * the form of core_volumes.ts.
 */
export const CORE_STORAGE = `
CSIPersistentVolumeSource: driver!=1 volumeHandle!=2 readOnly:bool=3 fsType=4
  volumeAttributes:{}=5
LocalVolumeSource: path!=1 fsType?=2
PersistentVolume: metadata:ObjectMeta=1 spec:PersistentVolumeSpec=2 status:PersistentVolumeStatus=3
PersistentVolumeClaim: metadata:ObjectMeta=1 spec:PersistentVolumeClaimSpec=2
  status:PersistentVolumeClaimStatus=3
PersistentVolumeClaimCondition: type!=1 status!=2 lastProbeTime:Time=3 lastTransitionTime:Time=4
  reason=5 message=6
PersistentVolumeClaimStatus: phase=1 accessModes:[]=2 capacity:Quantity{}=3
  conditions:PersistentVolumeClaimCondition[]=4 allocatedResources:Quantity{}=5
  allocatedResourceStatuses:{}=7 currentVolumeAttributesClassName?=8
PersistentVolumeSource: hostPath:HostPathVolumeSource=3 nfs:NFSVolumeSource=5
  local:LocalVolumeSource=20 csi:CSIPersistentVolumeSource=22
PersistentVolumeSpec: capacity:Quantity{}=1 ...persistentVolumeSource:PersistentVolumeSource=2
  accessModes:[]=3 claimRef:ObjectReference=4 persistentVolumeReclaimPolicy=5 storageClassName=6
  mountOptions:[]=7 volumeMode?=8 nodeAffinity:VolumeNodeAffinity=9
  volumeAttributesClassName?=10
PersistentVolumeStatus: phase=1 message=2 reason=3 lastPhaseTransitionTime:Time=4
VolumeNodeAffinity: required:NodeSelector=1
`;

export const STORAGE = `
StorageClass: metadata:ObjectMeta=1 provisioner!=2 parameters:{}=3 reclaimPolicy?=4
  mountOptions:[]=5 allowVolumeExpansion?:bool=6 volumeBindingMode?=7
  allowedTopologies:TopologySelectorTerm[]=8
TopologySelectorLabelRequirement: key!=1 values!:[]=2
TopologySelectorTerm: matchLabelExpressions:TopologySelectorLabelRequirement[]=1
`;
