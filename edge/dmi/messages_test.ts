/** Conversions of DMI: configurations as Any, devices as messages, requests read; with fuzz. */
import { create, createRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { fc } from "../../shared/testing/property.ts";
import {
  anyUnpack,
  BoolValueSchema,
  FloatValueSchema,
  Int64ValueSchema,
  StringValueSchema,
} from "@bufbuild/protobuf/wkt";
import { AppError } from "../../shared/errors.ts";
import {
  DeviceSchema,
  MapperInfoSchema,
  ReportDeviceStatesRequestSchema,
  ReportDeviceStatusRequestSchema,
} from "../../shared/gen/v1beta1/api_pb.ts";
import type { JsonObject } from "../../shared/json/json.ts";
import type { Device, DeviceModel } from "../../shared/k8s/devices.ts";
import { defineDevice } from "../twins/definition.ts";
import type { TwinView } from "../twins/port.ts";
import { toAny, toAnyMap } from "./any_values.ts";
import { readDeviceName, readMapper, readReport, readState } from "./reports.ts";
import { deviceBytes, toDeviceMessage, toModelMessage } from "./to_message.ts";

const REGISTRY = createRegistry(
  BoolValueSchema,
  FloatValueSchema,
  Int64ValueSchema,
  StringValueSchema,
);

/** As a mapper unpacks it: kind of wrapper and value; other kinds are dropped there. */
function unpacked(value: unknown): [string, unknown] | undefined {
  const any = toAny(value);
  const message = any && anyUnpack(any, REGISTRY);
  if (!message) return undefined;
  const name = message.$typeName.replace("google.protobuf.", "");
  return [name, (message as unknown as { value: unknown }).value]; // wrappers have one field
}

Deno.test("toAny() sends only what KubeEdge's framework takes", () => {
  const cases: [unknown, [string, unknown] | undefined][] = [
    [true, ["BoolValue", true]],
    ["a b", ["StringValue", "a b"]],
    ["", ["StringValue", ""]],
    [0, ["Int64Value", 0n]],
    [-0, ["Int64Value", 0n]],
    [502, ["Int64Value", 502n]],
    [2 ** 53, ["Int64Value", 2n ** 53n]],
    [2 ** 63, ["FloatValue", 2 ** 63]],
    [1.5, ["FloatValue", 1.5]],
    [0.1, ["FloatValue", Math.fround(0.1)]],
    [1e300, ["StringValue", "1e+300"]],
    [1e-300, ["StringValue", "1e-300"]],
    [NaN, ["StringValue", "NaN"]],
    [{ b: [1, "x"], a: null }, ["StringValue", '{"a":null,"b":[1,"x"]}']],
    [[1, 2], ["StringValue", "[1,2]"]],
    ["\ud800", ["StringValue", "\ufffd"]],
    [null, undefined],
    [undefined, undefined],
  ];
  for (const [value, expected] of cases) assertEquals(unpacked(value), expected, String(value));
});

const MODEL: DeviceModel = {
  metadata: { namespace: "plant", name: "sensor" },
  spec: {
    protocol: "acme",
    protocolConfigData: { port: 502, host: "of the model" },
    properties: [
      { name: "t", type: "DOUBLE", accessMode: "ReadWrite", visitors: { configData: { at: 1 } } },
      { name: "unlisted", type: "INT", accessMode: "ReadOnly" },
    ],
  },
};

function message(spec: Device["spec"], twins: TwinView[] = []) {
  const device: Device = {
    metadata: { namespace: "plant", name: "pump", uid: "u", labels: { any: "label" } },
    spec: { deviceModelRef: { name: "sensor" }, ...spec },
  };
  return toDeviceMessage({ definition: defineDevice(device, MODEL), device, twins });
}

Deno.test("toDeviceMessage() merges the instance over the model", () => {
  const pump = message({
    protocol: { configData: { host: "10.0.0.1" } },
    properties: [{ name: "t", collectCycle: 500, visitors: { configData: { scale: 0.5 } } }],
    methods: [{ name: "reset", propertyNames: ["t"] }],
    stateReport: { reportToCloud: false, reportCycle: 3_000 },
  });
  assertEquals([pump.namespace, pump.name], ["plant", "pump"]);
  assertEquals(pump.spec?.deviceModelReference, "sensor");
  assertEquals(pump.spec?.protocol?.protocolName, "acme");
  const config = pump.spec?.protocol?.configData?.data ?? {};
  assertEquals(Object.keys(config), ["host", "port"]);
  assertEquals(pump.spec?.properties.map(({ name }) => name), ["t"]);
  const [t] = pump.spec?.properties ?? [];
  assertEquals(Object.keys(t?.visitors?.configData?.data ?? {}), ["at", "scale"]);
  assertEquals([t?.collectCycle, t?.reportCycle, t?.reportToCloud], [500n, 0n, true]);
  assertEquals(pump.spec?.methods[0]?.propertyNames, ["t"]);
  assertEquals([pump.status?.reportToCloud, pump.status?.reportCycle], [false, 3_000n]);
});

Deno.test("toDeviceMessage() always has what the framework looks into", () => {
  const bare = message({ properties: [{ name: "unlisted" }] });
  const [property] = fromBinary(DeviceSchema, deviceBytes(bare)).spec?.properties ?? [];
  assertEquals(property?.desired?.value, "");
  assertEquals(property?.desired?.metadata, { type: "int" });
  assertEquals(property?.visitors?.protocolName, "acme");
  assert(property?.visitors?.configData);
  assert(bare.spec?.protocol?.configData && bare.status);
});

Deno.test("bytes of a device change with what is desired, not with reports and stamps", () => {
  const twin = (desired: string, reported: string, atMs: number): TwinView => ({
    property: "t",
    type: "DOUBLE",
    readOnly: false,
    pending: true,
    desiredVersion: 1,
    desired: { value: desired, version: 1, atMs, source: "cloud" },
    reported: { value: reported, version: atMs, atMs, desiredVersion: 1 },
  });
  const bytes = (view: TwinView) => deviceBytes(message({ properties: [] }, [view]));
  assertEquals(bytes(twin("1", "2", 5)), bytes(twin("1", "3", 6)));
  assert(bytes(twin("1", "2", 5)).join() !== bytes(twin("1.0", "2", 5)).join());
});

Deno.test("toDeviceMessage() makes bytes of any JSON there is, in one order", () => {
  const json = fc.dictionary(fc.string(), fc.jsonValue()) as fc.Arbitrary<JsonObject>;
  fc.assert(fc.property(json, json, (configData, pushMethod) => {
    const reversed = Object.fromEntries(Object.entries(configData).reverse());
    const of = (data: JsonObject) =>
      message({
        protocol: { configData: data },
        properties: [{
          name: "t",
          visitors: { configData: data },
          pushMethod: { ...pushMethod, http: data, dbMethod: { redis: data, influxdb2: data } },
        }],
      });
    const bytes = deviceBytes(of(configData));
    assertEquals(deviceBytes(of(reversed)), bytes);
    assertEquals(toBinary(DeviceSchema, fromBinary(DeviceSchema, bytes)), bytes);
    assert(Object.keys(toAnyMap(configData)).every((key) => key.isWellFormed()));
  }));
});

Deno.test("pushMethod arrives under DMI's names", () => {
  const client = { addr: "r:6379", db: 2, poolsize: 3, minIdleConns: 4 };
  const pushMethod = {
    http: { hostName: "h", port: 8080, requestPath: "/p", timeout: 10 },
    mqtt: { address: "tcp://b", topic: "t", qos: 1, retained: true },
    otel: { endpointURL: "http://o" },
    dbMethod: {
      redis: { redisClientConfig: client },
      TDEngine: { TDEngineClientConfig: { addr: "a", dbName: "d" } },
      influxdb2: { influxdb2DataConfig: { measurement: "m", tag: { x: "y" }, fieldKey: "f" } },
    },
  };
  const [t] = message({ properties: [{ name: "t", pushMethod }] }).spec?.properties ?? [];
  assertEquals(t?.pushMethod?.http?.port, 8080n);
  assertEquals(t?.pushMethod?.http?.requestpath, "/p");
  assertEquals(t?.pushMethod?.mqtt?.retained, true);
  assertEquals(t?.pushMethod?.otel?.endpointURL, "http://o");
  assertEquals(t?.pushMethod?.dbMethod?.redis?.redisClientConfig?.poolsize, 3);
  assertEquals(t?.pushMethod?.dbMethod?.tdengine?.tdEngineClientConfig?.dbname, "d");
  assertEquals(t?.pushMethod?.dbMethod?.influxdb2?.influxdb2DataConfig?.tag, { x: "y" });
  assertEquals(t?.pushMethod?.anomalyDetection, undefined);
});

Deno.test("toModelMessage() carries what the wire has of a model", () => {
  const { name, namespace, spec } = toModelMessage(MODEL);
  assertEquals([namespace, name], ["plant", "sensor"]);
  assertEquals(spec?.properties.map(({ type, accessMode }) => `${type} ${accessMode}`), [
    "DOUBLE ReadWrite",
    "INT ReadOnly",
  ]);
});

Deno.test("readDeviceName() takes both ways to say a namespace", () => {
  assertEquals(readDeviceName("pump", ""), { namespace: "default", name: "pump" });
  assertEquals(readDeviceName("pump", "plant"), { namespace: "plant", name: "pump" });
  assertEquals(readDeviceName("plant/pump", ""), { namespace: "plant", name: "pump" });
  for (const [name, namespace] of [["", ""], ["a/b/c", ""], ["a/b", "ns"], ["/b", ""]] as const) {
    assertThrows(() => readDeviceName(name, namespace), AppError, "device");
  }
});

Deno.test("readReport() names the field that is missing", () => {
  const read = (request: Parameters<typeof create<typeof ReportDeviceStatusRequestSchema>>[1]) =>
    readReport(create(ReportDeviceStatusRequestSchema, request));
  const reported = { value: "1", metadata: { timestamp: "5" } };
  const bad = (request: Parameters<typeof read>[0], field: string) =>
    assertThrows(() => read(request), AppError, field);
  bad({}, "deviceName");
  bad({ deviceName: "d" }, "reportedDevice must be set");
  bad({ deviceName: "d", reportedDevice: {} }, "reportedDevice.twins must hold a twin");
  bad({ deviceName: "d", reportedDevice: { twins: [{ reported }] } }, "twins[0].propertyName");
  bad(
    { deviceName: "d", reportedDevice: { twins: [{ propertyName: "p" }] } },
    "twins[0].reported must be set",
  );
  const twins = [
    { propertyName: "p", reported },
    { propertyName: "q", observedDesired: { value: "7" } },
    { propertyName: "p", reported: { value: "2" } },
  ];
  const { rounds } = read({ deviceName: "d", reportedDevice: { twins } });
  assertEquals(rounds.map((round) => ({ ...round })), [
    { p: { value: "1", metadata: { timestamp: "5" } } },
    { p: { value: "2" } },
  ]);
  const stamped = (timestamp: string) => {
    const metadata = { type: "int", timestamp };
    const twins = [{ propertyName: "p", reported: { value: "1", metadata } }];
    return read({ deviceName: "d", reportedDevice: { twins } }).rounds[0]?.p?.metadata;
  };
  assertEquals(stamped(""), { type: "int" }, "as KubeEdge's framework sends each value");
  assertEquals(stamped("5"), { type: "int", timestamp: "5" });
  const many = Array.from({ length: 101 }, () => ({ propertyName: "p", reported }));
  bad({ deviceName: "d", reportedDevice: { twins: many } }, "must be <= 100 values");
});

Deno.test("readState() knows the framework's own word for offline", () => {
  const said = (state: string) =>
    readState(create(ReportDeviceStatesRequestSchema, { deviceName: "d", state })).state;
  assertEquals(said("disconnected"), "offline");
  assertEquals(said("ok"), "ok");
  assertEquals(said("constructor"), "constructor");
  assertThrows(() => said(""), AppError, "state must not be empty");
});

Deno.test("readReport() answers any bytes a message can be made of", () => {
  const text = fc.string({ unit: "binary", maxLength: 8 });
  const value = fc.option(fc.record({ value: text }), { nil: undefined });
  const twin = fc.record({ propertyName: text, reported: value, observedDesired: value });
  const request = fc.record({
    deviceName: text,
    deviceNamespace: text,
    reportedDevice: fc.option(fc.record({ twins: fc.array(twin) }), { nil: undefined }),
  });
  fc.assert(fc.property(request, ({ reportedDevice, ...names }) => {
    const twins = reportedDevice?.twins.map(({ propertyName, ...values }) => ({
      propertyName,
      ...(values.reported ? { reported: values.reported } : {}),
      ...(values.observedDesired ? { observedDesired: values.observedDesired } : {}),
    }));
    const made = create(ReportDeviceStatusRequestSchema, {
      ...names,
      ...(twins ? { reportedDevice: { twins } } : {}),
    });
    try {
      const { rounds } = readReport(made);
      const sum = rounds.reduce((count, round) => count + Object.keys(round).length, 0);
      assertEquals(sum, twins?.filter(({ reported }) => reported).length);
    } catch (error) {
      assert(error instanceof AppError && error.code === "invalid");
    }
  }));
});

Deno.test("readMapper() takes a socket's path, plain or as gRPC writes it", () => {
  const read = (address: string, protocol = "acme") =>
    readMapper(
      create(MapperInfoSchema, {
        name: "m",
        protocol,
        address: new TextEncoder().encode(address),
      }),
    );
  for (const address of ["/run/m.sock", "unix:/run/m.sock", "unix:///run/m.sock"]) {
    assertEquals(read(address).address, "/run/m.sock");
  }
  for (const address of ["", "m.sock", "/", "10.0.0.1:80", "/a\0b", `/${"x".repeat(200)}`]) {
    assertThrows(() => read(address), AppError, "mapper.address");
  }
  assertThrows(() => read("/m", ""), AppError, "mapper.protocol must not be empty");
  assertThrows(() => readMapper(undefined), AppError, "mapper must be set");
});
