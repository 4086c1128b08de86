/**
 * The small groups: Lease, the self reviews, TokenRequest, Eviction, Scale.
 * One message an entry: `Name: field[flag][:type]=number …`. No type is string, `[]` is
 * repeated, `{}` a map from string. Flag `!` is required (kept when zero), `?` a pointer (zero
 * means something). `...` before a field: its fields stand inline in JSON. message_table.ts
 * reads it.
 */
export const COORDINATION = `
Lease: metadata:ObjectMeta=1 spec:LeaseSpec=2
LeaseSpec: holderIdentity?=1 leaseDurationSeconds?:int32=2 acquireTime:MicroTime=3
  renewTime:MicroTime=4 leaseTransitions?:int32=5 strategy?=6 preferredHolder?=7
`;

export const AUTHORIZATION = `
FieldSelectorAttributes: rawSelector=1 requirements:FieldSelectorRequirement[]=2
LabelSelectorAttributes: rawSelector=1 requirements:LabelSelectorRequirement[]=2
NonResourceAttributes: path=1 verb=2
NonResourceRule: verbs!:[]=1 nonResourceURLs:[]=2
ResourceAttributes: namespace=1 verb=2 group=3 version=4 resource=5 subresource=6 name=7
  fieldSelector:FieldSelectorAttributes=8 labelSelector:LabelSelectorAttributes=9
ResourceRule: verbs!:[]=1 apiGroups:[]=2 resources:[]=3 resourceNames:[]=4
SelfSubjectAccessReview: metadata:ObjectMeta=1 spec!:SelfSubjectAccessReviewSpec=2
  status:SubjectAccessReviewStatus=3
SelfSubjectAccessReviewSpec: resourceAttributes:ResourceAttributes=1
  nonResourceAttributes:NonResourceAttributes=2
SelfSubjectRulesReview: metadata:ObjectMeta=1 spec!:SelfSubjectRulesReviewSpec=2
  status:SubjectRulesReviewStatus=3
SelfSubjectRulesReviewSpec: namespace=1
SubjectAccessReviewStatus: allowed!:bool=1 denied:bool=4 reason=2 evaluationError=3
SubjectRulesReviewStatus: resourceRules!:ResourceRule[]=1 nonResourceRules!:NonResourceRule[]=2
  incomplete!:bool=3 evaluationError=4
`;

export const AUTHENTICATION = `
BoundObjectReference: kind=1 apiVersion=2 name=3 uid=4
SelfSubjectReview: metadata:ObjectMeta=1 status:SelfSubjectReviewStatus=2
SelfSubjectReviewStatus: userInfo:UserInfo=1
TokenRequest: metadata:ObjectMeta=1 spec!:TokenRequestSpec=2 status:TokenRequestStatus=3
TokenRequestSpec: audiences:[]=1 expirationSeconds?:int64=4 boundObjectRef:BoundObjectReference=3
TokenRequestStatus: token=1 expirationTimestamp:Time=2
UserInfo: username=1 uid=2 groups:[]=3 extra:any{}=4
`;

export const POLICY = `
Eviction: metadata:ObjectMeta=1 deleteOptions:DeleteOptions=2
`;

export const AUTOSCALING = `
Scale: metadata:ObjectMeta=1 spec:ScaleSpec=2 status:ScaleStatus=3
ScaleSpec: replicas:int32=1
ScaleStatus: replicas:int32=1 selector=2
`;
