import { assertEquals } from "@std/assert";
import type { Device, DeviceModel } from "../../shared/k8s/devices.ts";
import { defineDevice, definitionDigest } from "./definition.ts";

const MODEL: DeviceModel = {
  metadata: { namespace: "d", name: "m" },
  spec: {
    protocol: "modbus",
    protocolConfigData: { ip: "10.0.0.1", port: 502 },
    properties: [
      {
        name: "t",
        type: "DOUBLE",
        accessMode: "ReadOnly",
        visitors: { protocolName: "modbus", configData: { register: "Holding", offset: 1 } },
      },
      { name: "unlisted", type: "INT" },
    ],
  },
};

function device(change: (device: Device) => void = () => {}): Device {
  const made: Device = {
    metadata: { namespace: "d", name: "a", uid: "u" },
    spec: {
      deviceModelRef: { name: "m" },
      protocol: { protocolName: "modbus", configData: { ip: "10.0.0.9" } },
      properties: [
        { name: "t", reportCycle: 500, visitors: { configData: { offset: 7 } } },
        { name: "own", reportToCloud: false, desired: { value: "x" } },
      ],
    },
  };
  change(made);
  return made;
}

Deno.test("defineDevice() lets the instance's word stand over the model's, key by key", () => {
  const { protocol, properties, cycleMs } = defineDevice(device(), MODEL);
  assertEquals(protocol, { name: "modbus", configData: { ip: "10.0.0.9", port: 502 } });
  const [t, unlisted, own] = properties;
  assertEquals(t?.visitors?.configData, { register: "Holding", offset: 7 });
  assertEquals([t?.type, t?.readOnly, t?.listed, cycleMs], ["DOUBLE", true, true, 500]);
  assertEquals([unlisted?.name, unlisted?.listed, unlisted?.readOnly], ["unlisted", false, false]);
  assertEquals([own?.type, own?.toCloud, own?.desired?.value], ["STRING", false, "x"]);
});

Deno.test("defineDevice() without its model takes any text for what is listed", () => {
  const { properties } = defineDevice(device(), undefined);
  assertEquals(properties.map(({ name, type }) => [name, type]), [["t", "STRING"], [
    "own",
    "STRING",
  ]]);
});

Deno.test("a definition's digest leaves out what is desired and what people note", () => {
  const digest = definitionDigest(defineDevice(device(), MODEL));
  const same = device((each) => {
    each.metadata.labels = { a: "b" };
    each.metadata.annotations = { c: "d" };
    each.spec.properties![1]!.desired = { value: "other" };
  });
  assertEquals(definitionDigest(defineDevice(same, MODEL)), digest);
  const other = device((each) => each.spec.properties![0]!.collectCycle = 5);
  assertEquals(definitionDigest(defineDevice(other, MODEL)) === digest, false);
});
