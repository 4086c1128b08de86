/**
 * core/v1: the Pod, its containers, probes, scheduling and status.
 * One message an entry: `Name: field[flag][:type]=number …`. No type is string, `[]` is
 * repeated, `{}` a map from string. Flag `!` is required (kept when zero), `?` a pointer (zero
 * means something). `...` before a field: its fields stand inline in JSON. message_table.ts
 * reads it.
 */
export const CORE_POD = `
Affinity: nodeAffinity:NodeAffinity=1 podAffinity:PodAffinity=2 podAntiAffinity:PodAntiAffinity=3
AppArmorProfile: type!=1 localhostProfile?=2
Capabilities: add:[]=1 drop:[]=2
ConfigMapEnvSource: ...localObjectReference:LocalObjectReference=1 optional?:bool=2
ConfigMapKeySelector: ...localObjectReference:LocalObjectReference=1 key!=2 optional?:bool=3
Container: name!=1 image=2 command:[]=3 args:[]=4 workingDir=5 ports:ContainerPort[]=6
  envFrom:EnvFromSource[]=19 env:EnvVar[]=7 resources:ResourceRequirements=8
  resizePolicy:ContainerResizePolicy[]=23 restartPolicy?=24
  restartPolicyRules:ContainerRestartRule[]=25 volumeMounts:VolumeMount[]=9
  volumeDevices:VolumeDevice[]=21 livenessProbe:Probe=10 readinessProbe:Probe=11
  startupProbe:Probe=22 lifecycle:Lifecycle=12 terminationMessagePath=13
  terminationMessagePolicy=20 imagePullPolicy=14 securityContext:SecurityContext=15 stdin:bool=16
  stdinOnce:bool=17 tty:bool=18
ContainerExtendedResourceRequest: containerName=1 resourceName=2 requestName=3
ContainerImage: names:[]=1 sizeBytes:int64=2
ContainerPort: name=1 hostPort:int32=2 containerPort!:int32=3 protocol=4 hostIP=5
ContainerResizePolicy: resourceName!=1 restartPolicy!=2
ContainerRestartRule: action=1 exitCodes:ContainerRestartRuleOnExitCodes=2
ContainerRestartRuleOnExitCodes: operator=1 values:int32[]=2
ContainerState: waiting:ContainerStateWaiting=1 running:ContainerStateRunning=2
  terminated:ContainerStateTerminated=3
ContainerStateRunning: startedAt:Time=1
ContainerStateTerminated: exitCode!:int32=1 signal:int32=2 reason=3 message=4 startedAt:Time=5
  finishedAt:Time=6 containerID=7
ContainerStateWaiting: reason=1 message=2
ContainerStatus: name!=1 state:ContainerState=2 lastState:ContainerState=3 ready!:bool=4
  restartCount!:int32=5 image!=6 imageID!=7 containerID=8 started?:bool=9
  allocatedResources:Quantity{}=10 resources:ResourceRequirements=11
  volumeMounts:VolumeMountStatus[]=12 user:ContainerUser=13
  allocatedResourcesStatus:ResourceStatus[]=14 stopSignal=15
ContainerUser: linux:LinuxContainerUser=1
EnvFromSource: prefix=1 configMapRef:ConfigMapEnvSource=2 secretRef:SecretEnvSource=3
EnvVar: name!=1 value=2 valueFrom:EnvVarSource=3
EnvVarSource: fieldRef:ObjectFieldSelector=1 resourceFieldRef:ResourceFieldSelector=2
  configMapKeyRef:ConfigMapKeySelector=3 secretKeyRef:SecretKeySelector=4
  fileKeyRef:FileKeySelector=5
EphemeralContainer: ...ephemeralContainerCommon:EphemeralContainerCommon=1 targetContainerName=2
EphemeralContainerCommon: name!=1 image=2 command:[]=3 args:[]=4 workingDir=5
  ports:ContainerPort[]=6 envFrom:EnvFromSource[]=19 env:EnvVar[]=7
  resources:ResourceRequirements=8 resizePolicy:ContainerResizePolicy[]=23 restartPolicy=24
  restartPolicyRules:ContainerRestartRule[]=25 volumeMounts:VolumeMount[]=9
  volumeDevices:VolumeDevice[]=21 livenessProbe:Probe=10 readinessProbe:Probe=11
  startupProbe:Probe=22 lifecycle:Lifecycle=12 terminationMessagePath=13
  terminationMessagePolicy=20 imagePullPolicy=14 securityContext:SecurityContext=15 stdin:bool=16
  stdinOnce:bool=17 tty:bool=18
EvictionResponder: name=1 priority:int32=2
ExecAction: command:[]=1
FileKeySelector: volumeName!=1 path!=2 key!=3 optional?:bool=4
GRPCAction: port!:int32=1 service?=2 mode?=3
HTTPGetAction: path=1 port!:IntOrString=2 host=3 scheme=4 httpHeaders:HTTPHeader[]=5 protocol=6
HTTPHeader: name!=1 value!=2
HostAlias: ip!=1 hostnames:[]=2
HostIP: ip!=1
Lifecycle: postStart:LifecycleHandler=1 preStop:LifecycleHandler=2 stopSignal?=3
LifecycleHandler: exec:ExecAction=1 httpGet:HTTPGetAction=2 tcpSocket:TCPSocketAction=3
  sleep:SleepAction=4
LinuxContainerUser: uid:int64=1 gid:int64=2 supplementalGroups:int64[]=3
NodeAffinity: requiredDuringSchedulingIgnoredDuringExecution:NodeSelector=1
  preferredDuringSchedulingIgnoredDuringExecution:PreferredSchedulingTerm[]=2
NodeAllocatableMappedResources: name=1 quantity:Quantity=2
NodeAllocatableOverheadResources: name=1 perPod:Quantity=2 perContainer:Quantity=3
NodeAllocatableResourceClaimStatus: resourceClaimName=1 containers:[]=2
  mapping:NodeAllocatableMappedResources[]=4 overhead:NodeAllocatableOverheadResources[]=5
NodeSelector: nodeSelectorTerms!:NodeSelectorTerm[]=1
NodeSelectorRequirement: key!=1 operator!=2 values:[]=3
NodeSelectorTerm: matchExpressions:NodeSelectorRequirement[]=1
  matchFields:NodeSelectorRequirement[]=2
ObjectFieldSelector: apiVersion=1 fieldPath!=2
Pod: metadata:ObjectMeta=1 spec:PodSpec=2 status:PodStatus=3
PodAffinity: requiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm[]=1
  preferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm[]=2
PodAffinityTerm: labelSelector:LabelSelector=1 namespaces:[]=2 topologyKey!=3
  namespaceSelector:LabelSelector=4 matchLabelKeys:[]=5 mismatchLabelKeys:[]=6
PodAntiAffinity: requiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm[]=1
  preferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm[]=2
PodCondition: type!=1 observedGeneration:int64=7 status!=2 lastProbeTime:Time=3
  lastTransitionTime:Time=4 reason=5 message=6
PodDNSConfig: nameservers:[]=1 searches:[]=2 options:PodDNSConfigOption[]=3
PodDNSConfigOption: name=1 value=2
PodExtendedResourceClaimStatus: requestMappings:ContainerExtendedResourceRequest[]=1
  resourceClaimName=2
PodIP: ip!=1
PodOS: name!=1
PodReadinessGate: conditionType!=1
PodResourceClaim: name!=1 resourceClaimName=3 resourceClaimTemplateName=4
PodResourceClaimStatus: name=1 resourceClaimName=2
PodSchedulingGate: name!=1
PodSchedulingGroup: podGroupName=1
PodSecurityContext: seLinuxOptions:SELinuxOptions=1 windowsOptions:WindowsSecurityContextOptions=8
  runAsUser?:int64=2 runAsGroup?:int64=6 runAsNonRoot?:bool=3 supplementalGroups:int64[]=4
  supplementalGroupsPolicy?=12 fsGroup?:int64=5 sysctls:Sysctl[]=7 fsGroupChangePolicy?=9
  seccompProfile:SeccompProfile=10 appArmorProfile:AppArmorProfile=11 seLinuxChangePolicy?=13
PodSpec: volumes:Volume[]=1 initContainers:Container[]=20 containers!:Container[]=2
  ephemeralContainers:EphemeralContainer[]=34 restartPolicy=3
  terminationGracePeriodSeconds?:int64=4 activeDeadlineSeconds?:int64=5 dnsPolicy=6
  nodeSelector:{}=7 serviceAccountName=8 serviceAccount=9 automountServiceAccountToken?:bool=21
  nodeName=10 hostNetwork:bool=11 hostPID:bool=12 hostIPC:bool=13 shareProcessNamespace?:bool=27
  securityContext:PodSecurityContext=14 imagePullSecrets:LocalObjectReference[]=15 hostname=16
  subdomain=17 affinity:Affinity=18 schedulerName=19 tolerations:Toleration[]=22
  hostAliases:HostAlias[]=23 priorityClassName=24 priority?:int32=25 dnsConfig:PodDNSConfig=26
  readinessGates:PodReadinessGate[]=28 runtimeClassName?=29 enableServiceLinks?:bool=30
  preemptionPolicy?=31 overhead:Quantity{}=32
  topologySpreadConstraints:TopologySpreadConstraint[]=33 setHostnameAsFQDN?:bool=35 os:PodOS=36
  hostUsers?:bool=37 schedulingGates:PodSchedulingGate[]=38 resourceClaims:PodResourceClaim[]=39
  resources:ResourceRequirements=40 hostnameOverride?=41 schedulingGroup:PodSchedulingGroup=43
  evictionResponders:EvictionResponder[]=44
PodStatus: observedGeneration:int64=17 phase=1 conditions:PodCondition[]=2 message=3 reason=4
  nominatedNodeName=11 hostIP=5 hostIPs:HostIP[]=16 podIP=6 podIPs:PodIP[]=12 startTime:Time=7
  initContainerStatuses:ContainerStatus[]=10 containerStatuses:ContainerStatus[]=8 qosClass=9
  ephemeralContainerStatuses:ContainerStatus[]=13 resize=14
  resourceClaimStatuses:PodResourceClaimStatus[]=15
  extendedResourceClaimStatus:PodExtendedResourceClaimStatus=18 allocatedResources:Quantity{}=19
  resources:ResourceRequirements=20
  nodeAllocatableResourceClaimStatuses:NodeAllocatableResourceClaimStatus[]=21
  volumeHealth:PodVolumeHealth[]=22
PodTemplateSpec: metadata:ObjectMeta=1 spec:PodSpec=2
PreferredSchedulingTerm: weight!:int32=1 preference!:NodeSelectorTerm=2
Probe: ...handler:ProbeHandler=1 initialDelaySeconds:int32=2 timeoutSeconds:int32=3
  periodSeconds:int32=4 successThreshold:int32=5 failureThreshold:int32=6
  terminationGracePeriodSeconds?:int64=7
ProbeHandler: exec:ExecAction=1 httpGet:HTTPGetAction=2 tcpSocket:TCPSocketAction=3
  grpc:GRPCAction=4
ResourceClaim: name!=1 request=2
ResourceFieldSelector: containerName=1 resource!=2 divisor:Quantity=3
ResourceHealth: resourceID=1 health=2 message=6
ResourceRequirements: limits:Quantity{}=1 requests:Quantity{}=2 claims:ResourceClaim[]=3
ResourceStatus: name=1 resources:ResourceHealth[]=2
SELinuxOptions: user=1 role=2 type=3 level=4
SeccompProfile: type!=1 localhostProfile?=2
SecretEnvSource: ...localObjectReference:LocalObjectReference=1 optional?:bool=2
SecretKeySelector: ...localObjectReference:LocalObjectReference=1 key!=2 optional?:bool=3
SecurityContext: capabilities:Capabilities=1 privileged?:bool=2 seLinuxOptions:SELinuxOptions=3
  windowsOptions:WindowsSecurityContextOptions=10 runAsUser?:int64=4 runAsGroup?:int64=8
  runAsNonRoot?:bool=5 readOnlyRootFilesystem?:bool=6 allowPrivilegeEscalation?:bool=7
  procMount?=9 seccompProfile:SeccompProfile=11 appArmorProfile:AppArmorProfile=12
SleepAction: seconds!:int64=1
Sysctl: name!=1 value!=2
TCPSocketAction: port!:IntOrString=1 host=2
Toleration: key=1 operator=2 value=3 effect=4 tolerationSeconds?:int64=5
TopologySpreadConstraint: maxSkew!:int32=1 topologyKey!=2 whenUnsatisfiable!=3
  labelSelector:LabelSelector=4 minDomains?:int32=5 nodeAffinityPolicy?=6 nodeTaintsPolicy?=7
  matchLabelKeys:[]=8
WeightedPodAffinityTerm: weight!:int32=1 podAffinityTerm!:PodAffinityTerm=2
WindowsSecurityContextOptions: gmsaCredentialSpecName?=1 gmsaCredentialSpec?=2 runAsUserName?=3
  hostProcess?:bool=4
`;
