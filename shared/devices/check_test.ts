import { assertEquals } from "@std/assert";
import type { DeviceModelSpec, DeviceSpec, ModelProperty } from "../k8s/devices.ts";
import { checkAgainstModel } from "./check_against_model.ts";
import { checkDevice, checkStatus } from "./check_device.ts";
import { checkModel } from "./check_model.ts";
import type { DeviceProblem } from "./problem.ts";
import { fc } from "../testing/property.ts";

/** A question mark stands behind what is no more than advice. */
function lines(problems: DeviceProblem[]): string[] {
  return problems.map(({ path, reason, isAdvice }) => `${path} ${reason}${isAdvice ? "?" : ""}`);
}

function property(more: Partial<ModelProperty> = {}): ModelProperty {
  return { name: "t", type: "INT", accessMode: "ReadWrite", ...more };
}

function device(more: Partial<DeviceSpec> = {}): DeviceSpec {
  return { deviceModelRef: { name: "m" }, ...more };
}

Deno.test("a model's names are unique, its types known, its bounds fit and are in order", () => {
  const check = (...properties: ModelProperty[]) => lines(checkModel({ properties }));
  assertEquals(check(property({ minimum: "-1", maximum: "1" })), []);
  assertEquals(check(property(), property()), ["spec.properties[1].name duplicate"]);
  const odd = { name: "", type: "WORD", accessMode: "Write" } as unknown as ModelProperty;
  assertEquals(check(odd), [
    "spec.properties[0].name required",
    "spec.properties[0].type unsupported",
    "spec.properties[0].accessMode unsupported",
  ]);
  assertEquals(check(property({ minimum: "1.5" })), ["spec.properties[0].minimum invalid"]);
  assertEquals(check(property({ minimum: "10", maximum: "9" })), [
    "spec.properties[0].maximum invalid",
  ]);
  assertEquals(check(property({ type: "STRING", minimum: "x", maximum: "" })), []);
});

Deno.test("a device by itself", () => {
  assertEquals(lines(checkDevice({})), ["spec.deviceModelRef.name required?"]);
  const spec = device({
    properties: [
      { name: "a", reportCycle: -1, desired: { value: "x".repeat(65_537) } },
      { name: "a", collectCycle: -1 },
      { name: "b\u0000", pushMethod: { mqtt: { address: "tcp://h:1", qos: 3 }, http: {} } },
    ],
    methods: [{ name: "set" }, { name: "set" }],
  });
  assertEquals(lines(checkDevice(spec)), [
    "spec.properties[1].name duplicate",
    "spec.properties[0].desired.value too_long",
    "spec.properties[0].reportCycle invalid?",
    "spec.properties[1].collectCycle invalid?",
    "spec.properties[2].name invalid",
    "spec.properties[2].pushMethod.http.hostName required?",
    "spec.properties[2].pushMethod.mqtt.topic required?",
    "spec.properties[2].pushMethod.mqtt.qos invalid",
    "spec.methods[1].name duplicate",
  ]);
});

Deno.test("configuration by protocol, wrong in every place", () => {
  const visitors = (configData: Record<string, unknown>, protocolName = "modbus") => ({
    name: "t",
    visitors: { protocolName, configData },
  });
  const check = (
    protocolName: string,
    configData: Record<string, unknown>,
    properties: DeviceSpec["properties"] = [],
  ) => lines(checkDevice(device({ protocol: { protocolName, configData }, properties })));
  assertEquals(check("modbus", { slaveID: 255, ip: "10.0.0.1", port: 502 }), []);
  assertEquals(check("modbus", { slaveID: "1", serialPort: "/dev/ttyS0", baudRate: "9600" }), []);
  assertEquals(check("modbus", { slaveID: 255, serialPort: "/dev/ttyS0", parity: "x" }), [
    "spec.protocol.configData.slaveID invalid",
    "spec.protocol.configData.parity unsupported",
  ]);
  const register = { register: "HoldingRegister", offset: 0, limit: 126 };
  assertEquals(check("modbus", {}, [visitors(register)]), [
    "spec.properties[0].visitors.configData.limit invalid",
  ]);
  assertEquals(check("modbus", {}, [visitors({ ...register, register: "CoilRegister" })]), []);
  assertEquals(
    check("modbus", {}, [visitors({ register: "Coil", offset: 65_536, scale: "x", isSwap: 1 })]),
    ["register unsupported", "offset invalid", "scale invalid", "isSwap invalid"]
      .map((line) => `spec.properties[0].visitors.configData.${line}`),
  );
  assertEquals(check("opcua", { url: "opc.tcp://h:4840", securityMode: "sign" }), []);
  assertEquals(check("opcua", { url: "http://h", securityMode: "Some" }), [
    "spec.protocol.configData.url invalid",
    "spec.protocol.configData.securityMode unsupported",
  ]);
  assertEquals(check("bluetooth", { macAddress: "nonsense" }), [
    "spec.protocol.configData.macAddress invalid",
  ]);
  assertEquals(check("my-own", { anything: [1] }), []);
});

Deno.test("a device against its model", () => {
  const model: DeviceModelSpec = {
    protocol: "modbus",
    properties: [
      property({ minimum: "0", maximum: "10" }),
      property({ name: "serial", type: "STRING", accessMode: "ReadOnly" }),
      property({ name: "label", type: "STRING" }),
    ],
  };
  const check = (more: Partial<DeviceSpec>) => lines(checkAgainstModel(device(more), model));
  const desired = (name: string, value: string) =>
    check({
      properties: [{ name, desired: { value } }],
    });
  assertEquals(desired("t", "10"), []);
  assertEquals(desired("t", "11"), ["spec.properties[0].desired.value invalid"]);
  assertEquals(desired("t", "hot"), ["spec.properties[0].desired.value invalid"]);
  assertEquals(desired("t", ""), []);
  assertEquals(desired("serial", "1"), ["spec.properties[0].desired forbidden?"]);
  assertEquals(desired("serial", ""), []);
  assertEquals(desired("label", '{"a": "ü"}'), []);
  assertEquals(desired("nothing", "1"), ["spec.properties[0].name not_found"]);
  assertEquals(desired("saveFrame", "true"), []);
  assertEquals(check({ methods: [{ name: "set", propertyNames: ["t", "u"] }] }), [
    "spec.methods[0].propertyNames[1] not_found",
  ]);
  const visitors = { configData: { register: "InputRegister" } };
  assertEquals(check({ properties: [{ name: "t", visitors }] }), [
    "spec.properties[0].visitors.configData.offset required?",
  ]);
});

Deno.test("what the model says of visitors and protocol need not be said again", () => {
  const model: DeviceModelSpec = {
    protocol: "opcua",
    protocolConfigData: { url: "opc.tcp://h:4840" },
    properties: [property({ visitors: { configData: { nodeID: "ns=2;i=2" } } })],
  };
  assertEquals(checkAgainstModel(device({ protocol: {}, properties: [{ name: "t" }] }), model), []);
  const bare = { protocol: "opcua", properties: [property()] };
  assertEquals(
    lines(checkAgainstModel(
      device({ protocol: {}, properties: [{ name: "t", visitors: {} }] }),
      bare,
    )),
    [
      "spec.protocol.configData.url required?",
      "spec.properties[0].visitors.configData.nodeID required?",
    ],
  );
});

Deno.test("a reported status has a known state, twins once each, and values within bounds", () => {
  assertEquals(checkStatus({ state: "Online", twins: [{ propertyName: "t" }] }), []);
  assertEquals(
    lines(checkStatus({
      state: "sleeping",
      twins: [
        { propertyName: "t", reported: { value: "x".repeat(65_537) } },
        { propertyName: "t" },
      ],
    })),
    [
      "status.state unsupported",
      "status.twins[1].propertyName duplicate",
      "status.twins[0].reported.value too_long",
    ],
  );
});

Deno.test("whatever stands in a device or model is judged, and nothing throws", () => {
  const name = fc.oneof(
    fc.constantFrom("constructor", "__proto__", "toString", "modbus", "opcua", "bluetooth", ""),
    fc.string(),
  );
  const odd = fc.oneof(fc.jsonValue(), fc.constant({ toString: 1, valueOf: 1 }));
  const key = fc.constantFrom("scale", "parity", "register", "macAddress", "url", "securityMode");
  const configData = fc.dictionary(key, odd);
  const visitors = fc.record({ protocolName: name, configData }, { requiredKeys: [] });
  const values = fc.record({ name, visitors, desired: fc.record({ value: fc.string() }) });
  const ofModel = fc.record({
    name,
    type: fc.constantFrom("INT", "DOUBLE", "BYTES", "STRING") as fc.Arbitrary<"INT">,
    minimum: fc.string(),
    maximum: fc.string(),
  });
  fc.assert(
    fc.property(
      fc.record({ protocol: visitors, properties: fc.array(values) }),
      fc.record({ protocol: name, properties: fc.array(ofModel) }),
      (spec, model) => {
        const all = [checkDevice(spec), checkModel(model), checkAgainstModel(spec, model)];
        return all.flat().every(({ path }) => path.startsWith("spec."));
      },
    ),
  );
});
