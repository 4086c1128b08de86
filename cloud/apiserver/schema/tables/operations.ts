/** operations.kubeedge.io/v1alpha2; no protobuf form, the numbers only tell fields apart. */
export const OPERATIONS = `
ImagePrePullJob: metadata:ObjectMeta=1 spec!:ImagePrePullJobSpec=2 status:ImagePrePullJobStatus=3
ImagePrePullJobSpec: imagePrePullTemplate:ImagePrePullTemplate=1
ImagePrePullTemplate: images:[]=1 nodeNames:[]=2 labelSelector:LabelSelector=3 checkItems:[]=4
  failureTolerate=5 concurrency?:int32=6 timeoutSeconds?:int64=7 imageSecrets=8 retryTimes?:int32=9
ImagePrePullJobStatus: phase=1 reason=2 nodeStatus:ImagePrePullNodeStatus[]=3
ImagePrePullNodeStatus: nodeName=1 phase=2 reason=3 actionFlow:ImagePrePullAction[]=4
  imageStatus:ImagePrePullImageStatus[]=5
ImagePrePullAction: action=1 status=2 reason=3 time=4
ImagePrePullImageStatus: image=1 status=2 reason=3
`;
