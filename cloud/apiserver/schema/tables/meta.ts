/**
 * meta/v1: ObjectMeta, ListMeta, DeleteOptions, Status, selectors.
 * One message an entry: `Name: field[flag][:type]=number …`. No type is string, `[]` is
 * repeated, `{}` a map from string. Flag `!` is required (kept when zero), `?` a pointer (zero
 * means something). `...` before a field: its fields stand inline in JSON. message_table.ts
 * reads it.
 */
export const META = `
Condition: type!=1 status!=2 observedGeneration:int64=3 lastTransitionTime!:Time=4 reason!=5
  message!=6
DeleteOptions: gracePeriodSeconds?:int64=1 preconditions:Preconditions=2 orphanDependents?:bool=3
  propagationPolicy?=4 dryRun:[]=5 ignoreStoreReadErrorWithClusterBreakingPotential?:bool=6
FieldSelectorRequirement: key=1 operator=2 values:[]=3
LabelSelector: matchLabels:{}=1 matchExpressions:LabelSelectorRequirement[]=2
LabelSelectorRequirement: key!=1 operator!=2 values:[]=3
ListMeta: selfLink=1 resourceVersion=2 continue=3 remainingItemCount?:int64=4
  shardInfo:ShardInfo=5
ManagedFieldsEntry: manager=1 operation=2 apiVersion=3 time:Time=4 fieldsType=6
  fieldsV1:FieldsV1=7 subresource=8
ObjectMeta: name=1 generateName=2 namespace=3 selfLink=4 uid=5 resourceVersion=6
  generation:int64=7 creationTimestamp:Time=8 deletionTimestamp:Time=9
  deletionGracePeriodSeconds?:int64=10 labels:{}=11 annotations:{}=12
  ownerReferences:OwnerReference[]=13 finalizers:[]=14 managedFields:ManagedFieldsEntry[]=17
OwnerReference: apiVersion!=5 kind!=1 name!=3 uid!=4 controller?:bool=6 blockOwnerDeletion?:bool=7
Preconditions: uid?=1 resourceVersion?=2
ShardInfo: selector=1
Status: metadata:ListMeta=1 status=2 message=3 reason=4 details:StatusDetails=5 code:int32=6
StatusCause: reason=1 message=2 field=3
StatusDetails: name=1 group=2 kind=3 uid=6 causes:StatusCause[]=4 retryAfterSeconds:int32=5
`;
