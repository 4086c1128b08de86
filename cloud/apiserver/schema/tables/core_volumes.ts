/**
 * core/v1: volumes and their sources.
 * One message an entry: `Name: field[flag][:type]=number …`. No type is string, `[]` is
 * repeated, `{}` a map from string. Flag `!` is required (kept when zero), `?` a pointer (zero
 * means something). `...` before a field: its fields stand inline in JSON. message_table.ts
 * reads it.
 */
export const CORE_VOLUMES = `
AWSElasticBlockStoreVolumeSource: volumeID!=1 fsType=2 partition:int32=3 readOnly:bool=4
AttachedVolume: name!=1 devicePath!=2
AzureDiskVolumeSource: diskName!=1 diskURI!=2 cachingMode?=3 fsType?=4 readOnly?:bool=5 kind?=6
AzureFileVolumeSource: secretName!=1 shareName=2 readOnly:bool=3
CSIVolumeSource: driver!=1 readOnly?:bool=2 fsType?=3 volumeAttributes:{}=4
  nodePublishSecretRef:LocalObjectReference=5
CephFSVolumeSource: monitors!:[]=1 path=2 user=3 secretFile=4 secretRef:LocalObjectReference=5
  readOnly:bool=6
CinderVolumeSource: volumeID!=1 fsType=2 readOnly:bool=3 secretRef:LocalObjectReference=4
ClusterTrustBundleProjection: name=1 signerName=2 labelSelector:LabelSelector=3 optional?:bool=5
  path=4 user:int64=6
ConfigMapProjection: ...localObjectReference:LocalObjectReference=1 items:KeyToPath[]=2
  optional?:bool=4
ConfigMapVolumeSource: ...localObjectReference:LocalObjectReference=1 items:KeyToPath[]=2
  defaultMode?:int32=3 optional?:bool=4 defaultUser:int64=5
DownwardAPIProjection: items:DownwardAPIVolumeFile[]=1
DownwardAPIVolumeFile: path!=1 fieldRef:ObjectFieldSelector=2
  resourceFieldRef:ResourceFieldSelector=3 mode?:int32=4 user:int64=5
DownwardAPIVolumeSource: items:DownwardAPIVolumeFile[]=1 defaultMode?:int32=2 defaultUser:int64=3
EmptyDirVolumeSource: medium=1 sizeLimit:Quantity=2 mode?:int32=3
EphemeralVolumeSource: volumeClaimTemplate:PersistentVolumeClaimTemplate=1
FCVolumeSource: targetWWNs:[]=1 lun?:int32=2 fsType=3 readOnly:bool=4 wwids:[]=5
FlexVolumeSource: driver!=1 fsType=2 secretRef:LocalObjectReference=3 readOnly:bool=4 options:{}=5
FlockerVolumeSource: datasetName=1 datasetUUID=2
GCEPersistentDiskVolumeSource: pdName!=1 fsType=2 partition:int32=3 readOnly:bool=4
GitRepoVolumeSource: repository!=1 revision=2 directory=3
GlusterfsVolumeSource: endpoints!=1 path!=2 readOnly:bool=3
HostPathVolumeSource: path!=1 type?=2
ISCSIVolumeSource: targetPortal!=1 iqn!=2 lun!:int32=3 iscsiInterface=4 fsType=5 readOnly:bool=6
  portals:[]=7 chapAuthDiscovery:bool=8 chapAuthSession:bool=11 secretRef:LocalObjectReference=10
  initiatorName=12
ImageVolumeSource: reference=1 pullPolicy=2
ImageVolumeStatus: imageRef=1
KeyToPath: key!=1 path!=2 mode?:int32=3 user:int64=4
NFSVolumeSource: server!=1 path!=2 readOnly:bool=3
PersistentVolumeClaimSpec: accessModes:[]=1 selector:LabelSelector=4
  resources:VolumeResourceRequirements=2 volumeName=3 storageClassName?=5 volumeMode?=6
  dataSource:TypedLocalObjectReference=7 dataSourceRef:TypedObjectReference=8
  volumeAttributesClassName?=9
PersistentVolumeClaimTemplate: metadata:ObjectMeta=1 spec:PersistentVolumeClaimSpec=2
PersistentVolumeClaimVolumeSource: claimName!=1 readOnly:bool=2
PhotonPersistentDiskVolumeSource: pdID=1 fsType=2
PodCertificateProjection: signerName=1 keyType=2 maxExpirationSeconds?:int32=3
  credentialBundlePath=4 keyPath=5 certificateChainPath=6 userAnnotations:{}=7 user:int64=8
PodVolumeHealth: name=1 healthConditions:VolumeHealthCondition[]=2 lastTransitionTime:Time=3
PortworxVolumeSource: volumeID=1 fsType=2 readOnly:bool=3
ProjectedVolumeSource: sources:VolumeProjection[]=1 defaultMode?:int32=2 defaultUser:int64=3
QuobyteVolumeSource: registry=1 volume=2 readOnly:bool=3 user=4 group=5 tenant=6
RBDVolumeSource: monitors!:[]=1 image!=2 fsType=3 pool=4 user=5 keyring=6
  secretRef:LocalObjectReference=7 readOnly:bool=8
ScaleIOVolumeSource: gateway=1 system=2 secretRef:LocalObjectReference=3 sslEnabled:bool=4
  protectionDomain=5 storagePool=6 storageMode=7 volumeName=8 fsType=9 readOnly:bool=10
SecretProjection: ...localObjectReference:LocalObjectReference=1 items:KeyToPath[]=2
  optional?:bool=4
SecretVolumeSource: secretName=1 items:KeyToPath[]=2 defaultMode?:int32=3 optional?:bool=4
  defaultUser:int64=5
ServiceAccountTokenProjection: audience=1 expirationSeconds?:int64=2 path!=3 user:int64=4
StorageOSVolumeSource: volumeName=1 volumeNamespace=2 fsType=3 readOnly:bool=4
  secretRef:LocalObjectReference=5
Volume: name!=1 ...volumeSource:VolumeSource=2
VolumeDevice: name!=1 devicePath!=2
VolumeHealthCondition: status=1 reason=2 message=3
VolumeMount: name!=1 readOnly:bool=2 recursiveReadOnly?=7 mountPath!=3 subPath=4
  mountPropagation?=5 subPathExpr=6 bindMountOptions:[]=8
VolumeMountStatus: name=1 mountPath=2 readOnly:bool=3 recursiveReadOnly=4
  volumeStatus:VolumeStatus=5
VolumeProjection: secret:SecretProjection=1 downwardAPI:DownwardAPIProjection=2
  configMap:ConfigMapProjection=3 serviceAccountToken:ServiceAccountTokenProjection=4
  clusterTrustBundle:ClusterTrustBundleProjection=5 podCertificate:PodCertificateProjection=6
VolumeResourceRequirements: limits:Quantity{}=1 requests:Quantity{}=2
VolumeSource: hostPath:HostPathVolumeSource=1 emptyDir:EmptyDirVolumeSource=2
  gcePersistentDisk:GCEPersistentDiskVolumeSource=3
  awsElasticBlockStore:AWSElasticBlockStoreVolumeSource=4 gitRepo:GitRepoVolumeSource=5
  secret:SecretVolumeSource=6 nfs:NFSVolumeSource=7 iscsi:ISCSIVolumeSource=8
  glusterfs:GlusterfsVolumeSource=9 persistentVolumeClaim:PersistentVolumeClaimVolumeSource=10
  rbd:RBDVolumeSource=11 flexVolume:FlexVolumeSource=12 cinder:CinderVolumeSource=13
  cephfs:CephFSVolumeSource=14 flocker:FlockerVolumeSource=15
  downwardAPI:DownwardAPIVolumeSource=16 fc:FCVolumeSource=17 azureFile:AzureFileVolumeSource=18
  configMap:ConfigMapVolumeSource=19 vsphereVolume:VsphereVirtualDiskVolumeSource=20
  quobyte:QuobyteVolumeSource=21 azureDisk:AzureDiskVolumeSource=22
  photonPersistentDisk:PhotonPersistentDiskVolumeSource=23 projected:ProjectedVolumeSource=26
  portworxVolume:PortworxVolumeSource=24 scaleIO:ScaleIOVolumeSource=25
  storageos:StorageOSVolumeSource=27 csi:CSIVolumeSource=28 ephemeral:EphemeralVolumeSource=29
  image:ImageVolumeSource=30
VolumeStatus: image:ImageVolumeStatus=1
VsphereVirtualDiskVolumeSource: volumePath=1 fsType=2 storagePolicyName=3 storagePolicyID=4
`;
