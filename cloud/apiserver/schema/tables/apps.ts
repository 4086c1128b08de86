/**
 * apps/v1: workload kinds.
 * One message an entry: `Name: field[flag][:type]=number …`. No type is string, `[]` is
 * repeated, `{}` a map from string. Flag `!` is required (kept when zero), `?` a pointer (zero
 * means something). `...` before a field: its fields stand inline in JSON. message_table.ts
 * reads it.
 */
export const APPS = `
DaemonSet: metadata:ObjectMeta=1 spec:DaemonSetSpec=2 status:DaemonSetStatus=3
DaemonSetCondition: type!=1 status!=2 lastTransitionTime:Time=3 reason=4 message=5
DaemonSetSpec: selector!:LabelSelector=1 template!:PodTemplateSpec=2
  updateStrategy:DaemonSetUpdateStrategy=3 minReadySeconds:int32=4 revisionHistoryLimit?:int32=6
DaemonSetStatus: currentNumberScheduled!:int32=1 numberMisscheduled!:int32=2
  desiredNumberScheduled!:int32=3 numberReady!:int32=4 observedGeneration:int64=5
  updatedNumberScheduled:int32=6 numberAvailable:int32=7 numberUnavailable:int32=8
  collisionCount?:int32=9 conditions:DaemonSetCondition[]=10
DaemonSetUpdateStrategy: type=1 rollingUpdate:RollingUpdateDaemonSet=2
Deployment: metadata:ObjectMeta=1 spec:DeploymentSpec=2 status:DeploymentStatus=3
DeploymentCondition: type!=1 status!=2 lastUpdateTime:Time=6 lastTransitionTime:Time=7 reason=4
  message=5
DeploymentSpec: replicas?:int32=1 selector!:LabelSelector=2 template!:PodTemplateSpec=3
  strategy:DeploymentStrategy=4 minReadySeconds:int32=5 revisionHistoryLimit?:int32=6
  paused:bool=7 progressDeadlineSeconds?:int32=9
DeploymentStatus: observedGeneration:int64=1 replicas:int32=2 updatedReplicas:int32=3
  readyReplicas:int32=7 availableReplicas:int32=4 unavailableReplicas:int32=5
  terminatingReplicas:int32=9 conditions:DeploymentCondition[]=6 collisionCount?:int32=8
DeploymentStrategy: type=1 rollingUpdate:RollingUpdateDeployment=2
ReplicaSet: metadata:ObjectMeta=1 spec:ReplicaSetSpec=2 status:ReplicaSetStatus=3
ReplicaSetCondition: type!=1 status!=2 lastTransitionTime:Time=3 reason=4 message=5
ReplicaSetSpec: replicas?:int32=1 minReadySeconds:int32=4 selector!:LabelSelector=2
  template:PodTemplateSpec=3
ReplicaSetStatus: replicas!:int32=1 fullyLabeledReplicas:int32=2 readyReplicas:int32=4
  availableReplicas:int32=5 terminatingReplicas:int32=7 observedGeneration:int64=3
  conditions:ReplicaSetCondition[]=6
RollingUpdateDaemonSet: maxUnavailable?:IntOrString=1 maxSurge?:IntOrString=2
RollingUpdateDeployment: maxUnavailable?:IntOrString=1 maxSurge?:IntOrString=2
`;
