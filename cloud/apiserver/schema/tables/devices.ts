/**
 * devices.kubeedge.io: Device, DeviceModel and DeviceStatus of v1beta1, and Device and DeviceModel
 * of v1alpha2, whose messages have `Alpha` in their names because names are unique in the tables.
 * One message an entry: `Name: field[flag][:type]=number …`, as in the other tables. These kinds
 * have no protobuf form; the numbers only tell fields apart.
 */
export const DEVICES_V1BETA1 = `
Device: metadata:ObjectMeta=1 spec!:DeviceSpec=2 status:DeviceState=3
DeviceSpec: deviceModelRef:LocalObjectReference=1 nodeName=2 properties:DeviceProperty[]=3
  protocol:DeviceProtocol=4 methods:DeviceMethod[]=5 stateReport:DeviceStateReport=6
DeviceProtocol: protocolName=1 configData:any=2
DeviceStateReport: reportToCloud?:bool=1 reportCycle?:int64=2
DeviceProperty: name!=1 desired:DeviceTwinValue=2 visitors:DeviceVisitor=3 reportCycle?:int64=4
  collectCycle?:int64=5 reportToCloud?:bool=6 pushMethod:DevicePushMethod=7
DeviceTwinValue: value!=1 metadata:{}=2
DeviceVisitor: protocolName=1 configData:any=2
DeviceMethod: name!=1 description=2 propertyNames:[]=3
DevicePushMethod: http:DevicePushHttp=1 mqtt:DevicePushMqtt=2 otel:DevicePushOtel=3
  dbMethod:DevicePushDatabase=4 anomalyDetection:any=5
DevicePushHttp: hostName=1 port?:int64=2 requestPath=3 timeout?:int64=4
DevicePushMqtt: address=1 topic=2 qos?:int32=3 retained?:bool=4
DevicePushOtel: endpointURL=1
DevicePushDatabase: influxdb2:DevicePushInflux=1 redis:DevicePushRedis=2
  TDEngine:DevicePushTdEngine=3 mysql:DevicePushMysql=4
DevicePushInflux: influxdb2ClientConfig:DeviceInfluxClient=1 influxdb2DataConfig:DeviceInfluxData=2
DeviceInfluxClient: url=1 org=2 bucket=3
DeviceInfluxData: measurement=1 tag:{}=2 fieldKey=3
DevicePushRedis: redisClientConfig:DeviceRedisClient=1
DeviceRedisClient: addr=1 db?:int64=2 poolsize?:int64=3 minIdleConns?:int64=4
DevicePushTdEngine: TDEngineClientConfig:DeviceTdEngineClient=1
DeviceTdEngineClient: addr=1 dbName=2
DevicePushMysql: mysqlClientConfig:DeviceMysqlClient=1
DeviceMysqlClient: addr=1 database=2 userName=3
DeviceState: twins:DeviceTwin[]=1 state=2 lastOnlineTime=3 extensions:any=4 reportToCloud?:bool=5
  reportCycle?:int64=6 conditions:Condition[]=7
DeviceTwin: propertyName!=1 reported:DeviceTwinValue=2 observedDesired:DeviceTwinValue=3
DeviceStatus: metadata:ObjectMeta=1 spec:any=2 status:DeviceStatusReport=3
DeviceStatusReport: twins:DeviceTwin[]=1 state=2 lastOnlineTime=3 extensions:any=4
DeviceModel: metadata:ObjectMeta=1 spec!:DeviceModelSpec=2
DeviceModelSpec: properties:DeviceModelProperty[]=1 protocol=2 protocolConfigData:any=3
DeviceModelProperty: name!=1 description=2 type=3 accessMode=4 minimum=5 maximum=6 unit=7
  visitors:DeviceVisitor=8
`;

export const DEVICES_V1ALPHA2 = `
DeviceAlpha: metadata:ObjectMeta=1 spec!:DeviceAlphaSpec=2 status:DeviceAlphaStatus=3
DeviceAlphaSpec: deviceModelRef:LocalObjectReference=1 nodeSelector:NodeSelector=2
  protocol:DeviceAlphaProtocol=3 propertyVisitors:DeviceAlphaVisitor[]=4 data:DeviceAlphaData=5
DeviceAlphaProtocol: opcua:DeviceAlphaOpcua=1 modbus:DeviceAlphaModbus=2
  bluetooth:DeviceAlphaBluetooth=3 common:DeviceAlphaCommon=4
  customizedProtocol:DeviceAlphaCustom=5
DeviceAlphaOpcua: url=1 userName=2 password=3 securityPolicy=4 securityMode=5 certificate=6
  privateKey=7 timeout?:int64=8
DeviceAlphaModbus: slaveID?:int64=1
DeviceAlphaBluetooth: macAddress=1
DeviceAlphaCommon: com:DeviceAlphaCom=1 tcp:DeviceAlphaTcp=2 commType=3 reconnTimeout?:int64=4
  reconnRetryTimes?:int64=5 collectTimeout?:int64=6 collectRetryTimes?:int64=7 collectType=8
  customizedValues:any=9
DeviceAlphaCom: serialPort=1 baudRate?:int64=2 dataBits?:int64=3 parity=4 stopBits?:int64=5
DeviceAlphaTcp: ip=1 port?:int64=2
DeviceAlphaCustom: protocolName=1 configData:any=2
DeviceAlphaVisitor: propertyName!=1 reportCycle?:int64=2 collectCycle?:int64=3
  customizedValues:any=4 opcua:DeviceAlphaVisitOpcua=5 modbus:DeviceAlphaVisitModbus=6
  bluetooth:DeviceAlphaVisitBluetooth=7 customizedProtocol:DeviceAlphaCustom=8
DeviceAlphaVisitOpcua: nodeID=1 browseName=2
DeviceAlphaVisitModbus: register=1 offset?:int64=2 limit?:int64=3 scale?:double=4 isSwap?:bool=5
  isRegisterSwap?:bool=6
DeviceAlphaVisitBluetooth: characteristicUUID=1 dataWrite:bytes{}=2
  dataConverter:DeviceAlphaConverter=3
DeviceAlphaConverter: startIndex?:int64=1 endIndex?:int64=2 shiftLeft?:int64=3 shiftRight?:int64=4
  orderOfOperations:DeviceAlphaOperation[]=5
DeviceAlphaOperation: operationType=1 operationValue?:double=2
DeviceAlphaData: dataProperties:DeviceAlphaDataProperty[]=1 dataTopic=2
DeviceAlphaDataProperty: propertyName!=1 metadata:{}=2
DeviceAlphaStatus: twins:DeviceAlphaTwin[]=1
DeviceAlphaTwin: propertyName!=1 desired:DeviceTwinValue=2 reported:DeviceTwinValue=3
DeviceModelAlpha: metadata:ObjectMeta=1 spec!:DeviceModelAlphaSpec=2
DeviceModelAlphaSpec: properties:DeviceModelAlphaProperty[]=1 protocol=2
DeviceModelAlphaProperty: name!=1 description=2 type:DeviceModelAlphaType=3
DeviceModelAlphaType: int:DeviceAlphaInt=1 string:DeviceAlphaString=2 double:DeviceAlphaDouble=3
  float:DeviceAlphaDouble=4 boolean:DeviceAlphaBoolean=5 bytes:DeviceAlphaBytes=6
DeviceAlphaInt: accessMode=1 defaultValue?:int64=2 minimum?:int64=3 maximum?:int64=4 unit=5
DeviceAlphaDouble: accessMode=1 defaultValue?:double=2 minimum?:double=3 maximum?:double=4 unit=5
DeviceAlphaString: accessMode=1 defaultValue?=2 unit=3
DeviceAlphaBoolean: accessMode=1 defaultValue?:bool=2
DeviceAlphaBytes: accessMode=1
`;

export const RULES = `
Rule: metadata:ObjectMeta=1 spec!:RuleSpec=2 status:RuleStatus=3
RuleSpec: source!=1 sourceResource!:{}=2 target!=3 targetResource!:{}=4
RuleStatus: successMessages?:int64=1 failMessages?:int64=2 errors:[]=3
RuleEndpoint: metadata:ObjectMeta=1 spec!:RuleEndpointSpec=2
RuleEndpointSpec: ruleEndpointType!=1 properties:{}=2
`;
