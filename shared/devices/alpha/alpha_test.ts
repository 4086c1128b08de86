import { assertEquals, assertNotEquals } from "@std/assert";
import { fc } from "../../testing/property.ts";
import { deepEqual } from "../../json/json.ts";
import { checkAlphaDevice } from "./check.ts";
import { alphaDevice, betaDevice, labelSelectorOf } from "./device.ts";
import { KEPT_ANNOTATION } from "./kept.ts";
import { alphaModel, betaModel } from "./model.ts";
import type {
  AlphaDevice,
  AlphaDeviceSpec,
  AlphaModel,
  AlphaTwin,
  AlphaVisitor,
} from "./shapes.ts";

function device(spec: AlphaDeviceSpec, twins?: AlphaTwin[]): AlphaDevice {
  return {
    apiVersion: "devices.kubeedge.io/v1alpha2",
    kind: "Device",
    metadata: { name: "d", namespace: "default" },
    spec,
    ...(twins ? { status: { twins } } : {}),
  };
}

const onNode = (key: string, ...values: string[]) => ({
  nodeSelectorTerms: [{ matchExpressions: [{ key, operator: "In", values }] }],
});

const MODBUS = device({
  deviceModelRef: { name: "m" },
  protocol: {
    modbus: { slaveID: 1 },
    common: { com: { serialPort: "/dev/ttyS0", baudRate: 9600, parity: "even" } },
  },
  nodeSelector: onNode("", "n1"),
  propertyVisitors: [{
    propertyName: "temperature",
    collectCycle: 500,
    modbus: { register: "CoilRegister", offset: 2, limit: 1, scale: 1, isSwap: true },
  }],
}, [{ propertyName: "temperature", desired: { value: "OFF", metadata: { type: "string" } } }]);

Deno.test("a canonical manifest needs no annotation in either direction", () => {
  const stored = betaDevice(MODBUS);
  assertEquals(stored.metadata, MODBUS.metadata);
  assertEquals(stored.spec, {
    deviceModelRef: { name: "m" },
    nodeName: "n1",
    protocol: {
      protocolName: "modbus",
      configData: { slaveID: 1, serialPort: "/dev/ttyS0", baudRate: 9600, parity: "even" },
    },
    properties: [{
      name: "temperature",
      collectCycle: 500,
      visitors: {
        protocolName: "modbus",
        configData: { register: "CoilRegister", offset: 2, limit: 1, scale: 1, isSwap: true },
      },
      desired: { value: "OFF", metadata: { type: "string" } },
    }],
  });
  assertEquals(alphaDevice(stored), MODBUS);
});

Deno.test("what v1beta1 cannot say is kept beside it", () => {
  const data = { dataProperties: [{ propertyName: "temperature" }], dataTopic: "$ke/a/b" };
  const odd = device({
    ...MODBUS.spec,
    data,
    nodeSelector: onNode("kubernetes.io/hostname", "n1"),
    protocol: { customizedProtocol: { protocolName: "x" }, common: { tcp: { ip: "h", port: 1 } } },
  });
  const stored = betaDevice(odd);
  assertEquals(stored.spec.nodeName, "n1");
  assertEquals(alphaDevice(stored), odd);
  const { [KEPT_ANNOTATION]: kept = "" } = stored.metadata.annotations ?? {};
  assertEquals(Object.keys(JSON.parse(kept)), ["nodeSelector", "protocol", "data"]);
});

Deno.test("a change at v1beta1 is seen at v1alpha2, whatever was kept", () => {
  const stored = betaDevice(device({ nodeSelector: onNode("name", "n1"), protocol: {} }));
  const moved = alphaDevice({
    ...stored,
    spec: { ...stored.spec, nodeName: "n2", protocol: { protocolName: "bluetooth" } },
  });
  assertEquals(moved.spec.nodeSelector, onNode("", "n2"));
  assertNotEquals(moved.spec.protocol, {});
});

Deno.test("an update at v1alpha2 keeps what only v1beta1 can say", () => {
  const stored = betaDevice(MODBUS);
  const pushMethod = { http: { hostName: "http://h" } };
  const extended = {
    ...stored,
    spec: {
      ...stored.spec,
      methods: [{ name: "set" }],
      properties: [{ ...stored.spec.properties![0]!, pushMethod }, { name: "plain" }],
    },
  };
  const seen = alphaDevice(extended);
  const desired = { value: "ON" };
  const next = betaDevice(
    { ...seen, status: { twins: [{ propertyName: "temperature", desired }] } },
    extended,
  );
  assertEquals(next.spec.methods, [{ name: "set" }]);
  assertEquals(next.spec.properties?.map(({ name }) => name), ["temperature", "plain"]);
  assertEquals(next.spec.properties?.[0]?.pushMethod, pushMethod);
  assertEquals(next.spec.properties?.[0]?.desired, desired);
});

Deno.test("a selector by labels is left to the cloud, which keeps its choice", () => {
  const selecting = device({ nodeSelector: onNode("zone", "a", "b") });
  const stored = betaDevice(selecting);
  assertEquals(stored.spec.nodeName, undefined);
  assertEquals(labelSelectorOf(stored), selecting.spec.nodeSelector);
  const chosen = { ...stored, spec: { ...stored.spec, nodeName: "n3" } };
  assertEquals(alphaDevice(chosen).spec, selecting.spec);
  assertEquals(betaDevice(selecting, chosen).spec.nodeName, "n3");
  const other = device({ nodeSelector: onNode("zone", "c") });
  assertEquals(betaDevice(other, chosen).spec.nodeName, undefined);
});

Deno.test("reported values come from the status, desired ones from the spec", () => {
  const stored = {
    ...betaDevice(MODBUS),
    status: {
      twins: [
        { propertyName: "temperature", reported: { value: "ON" } },
        { propertyName: "extra", reported: { value: "1" } },
      ],
    },
  };
  assertEquals(alphaDevice(stored).status?.twins, [
    {
      propertyName: "temperature",
      desired: { value: "OFF", metadata: { type: "string" } },
      reported: { value: "ON" },
    },
    { propertyName: "extra", reported: { value: "1" } },
  ]);
});

Deno.test("a model comes back with its default values", () => {
  const model: AlphaModel = {
    apiVersion: "devices.kubeedge.io/v1alpha2",
    kind: "DeviceModel",
    metadata: { name: "m" },
    spec: {
      properties: [
        { name: "a", type: { int: { accessMode: "ReadWrite", minimum: -1, maximum: 5 } } },
        { name: "b", type: { double: { accessMode: "ReadOnly", defaultValue: 0.1, unit: "C" } } },
        { name: "c", description: "c", type: { string: { defaultValue: "on" } } },
        { name: "d", type: { bytes: { accessMode: "ReadOnly" } } },
      ],
    },
  };
  const stored = betaModel(model);
  assertEquals(stored.spec.properties?.[0], {
    name: "a",
    type: "INT",
    accessMode: "ReadWrite",
    minimum: "-1",
    maximum: "5",
  });
  assertEquals(alphaModel(stored), model);
  const visitors = { protocolName: "modbus" };
  stored.spec.properties![3] = { name: "d", type: "STREAM", visitors };
  const again = betaModel(alphaModel(stored), stored);
  assertEquals(again.spec.properties?.[3], { name: "d", type: "STREAM", visitors });
});

Deno.test("what v1alpha2 forbids is refused in its own words", () => {
  const problems = checkAlphaDevice(device({
    protocol: {
      modbus: {},
      opcua: { url: "" },
      common: { com: { baudRate: 7 }, tcp: { port: 0 }, collectType: "now" },
    },
    propertyVisitors: [
      { propertyName: "a", modbus: { register: "x", offset: -1 } },
      { propertyName: "a", bluetooth: { dataConverter: { endIndex: -1 } } },
    ],
  }));
  assertEquals(problems.map(({ path, reason }) => `${path} ${reason}`), [
    "spec.protocol invalid",
    "spec.protocol.common.com.baudRate unsupported",
    "spec.protocol.common.tcp.port invalid",
    "spec.protocol.common.collectType unsupported",
    "spec.propertyVisitors[1].propertyName duplicate",
    "spec.propertyVisitors[0].modbus.register unsupported",
    "spec.propertyVisitors[0].modbus.offset invalid",
    "spec.propertyVisitors[1].bluetooth.dataConverter.endIndex invalid",
  ]);
});

Deno.test("the schema of v1alpha2 requires nothing of a protocol", () => {
  const parts = [{ modbus: {} }, { opcua: {} }, { bluetooth: { dataConverter: {} } }];
  for (const part of [...parts, { customizedProtocol: {} }, { common: { tcp: {}, com: {} } }]) {
    const propertyVisitors = [{ propertyName: "a", ...part }];
    assertEquals(checkAlphaDevice(device({ protocol: part, propertyVisitors })), []);
  }
});

const word = fc.constantFrom("a", "b", "port", "ip", "timeout", "customizedValues", "register");
const config = fc.dictionary(word, fc.oneof(fc.integer(), fc.constantFrom("x", "true")), {
  noNullPrototype: true,
});
const custom = fc.record({ protocolName: word, configData: config }, { requiredKeys: [] });
const opt = { requiredKeys: [] as [] };
const protocol = fc.oneof(
  fc.record({ modbus: config, common: fc.record({ com: config, tcp: config }, opt) }, opt),
  fc.record({ opcua: config, common: config }, opt),
  fc.record({ customizedProtocol: custom, common: config }, opt),
);
const visitor = fc.oneof(
  fc.record({ modbus: config, customizedValues: config, reportCycle: fc.nat() }, opt),
  fc.record({ customizedProtocol: custom, collectCycle: fc.nat() }, opt),
);
const selector = fc.record({
  nodeSelectorTerms: fc.array(
    fc.record({
      matchExpressions: fc.array(
        fc.record({
          key: fc.constantFrom("", "name", "zone"),
          operator: fc.constantFrom("In", "Exists"),
          values: fc.array(word, { maxLength: 2 }),
        }),
        { maxLength: 2 },
      ),
    }),
    { maxLength: 2 },
  ),
});

Deno.test("every v1alpha2 spec comes back as it was", () => {
  const visitors = fc.array(visitor, { minLength: 1, maxLength: 3 }).map((list) =>
    list.map((one, at) => ({ ...one, propertyName: `p${at}` }) as AlphaVisitor)
  );
  const spec = fc.record(
    { nodeSelector: selector, protocol, propertyVisitors: visitors, data: config },
    { requiredKeys: [] },
  );
  fc.assert(fc.property(spec, (generated) => {
    const alpha = device(generated as AlphaDeviceSpec);
    return deepEqual(alphaDevice(betaDevice(alpha)), alpha);
  }));
});
