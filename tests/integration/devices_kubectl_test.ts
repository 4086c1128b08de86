/**
 * Devices through real kubectls, the oldest and the newest supported: manifests as KubeEdge's users
 * have them, in both versions and both ways of applying, what is printed, waited for and refused.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import type { Device } from "../../shared/k8s/devices.ts";
import { ensureKubectls, KubectlClient } from "../support/kubectl.ts";
import { testWith } from "../support/requirements.ts";
import { startApi } from "./kubectl_fixture.ts";

const FILES = [
  "v1beta1_modbus.yaml",
  "v1alpha2_modbus.yaml",
  "v1alpha2_opcua.yaml",
  "v1alpha2_bluetooth.yaml",
  "rules.yaml",
];

function manifest(name: string): string {
  return join(import.meta.dirname ?? "", "devices", name);
}

async function bothEnds() {
  const supported = (await ensureKubectls()).filter(({ minor }) => {
    const number = Number(minor.split(".")[1]);
    return number >= 27 && number <= 33;
  });
  return [...new Set([supported[0], supported.at(-1)])].filter((one) => one !== undefined);
}

testWith(["kubectl"], "devices and rules work with kubectl", async (t) => {
  for (const kubectl of await bothEnds()) {
    await using api = await startApi();
    const k = new KubectlClient(kubectl, api.kubeconfig, join(api.dir, "cache"));
    const version = `kubectl ${kubectl.minor}`;
    await t.step(`${version}: published manifests apply, twice and both ways`, () => applies(k));
    await t.step(`${version}: what the schema leaves open is taken`, () => takes(k));
    await t.step(`${version}: what get, explain and describe say`, () => reads(k));
    await t.step(`${version}: desired values are patched, and checked`, () => patches(k));
    await t.step(`${version}: a status is waited for, at the device and its own`, () => waits(k));
    await t.step(`${version}: v1alpha2 edits what is stored as v1beta1`, () => edits(k));
    await t.step(`${version}: rules are checked, and can be changed`, () => rules(k));
  }
});

async function applies(k: KubectlClient): Promise<void> {
  for (const file of FILES) await k.must(["apply", "-f", manifest(file)]);
  // the device whose manifest holds reported values is patched each time, to no effect
  const again = await k.must(["apply", "-f", manifest("v1beta1_modbus.yaml")]);
  assertEquals(again.match(/unchanged/g)?.length, 2, again);
  const opcua = await k.must(["apply", "-f", manifest("v1alpha2_opcua.yaml")]);
  assertEquals(opcua.match(/unchanged/g)?.length, 2, opcua);
  for (const file of FILES) {
    const args = ["apply", "--server-side", "--force-conflicts", "-f", manifest(file)];
    await k.must(args);
  }
  const missing = await k.run(["apply", "-f", "-"], {
    stdin: JSON.stringify({
      apiVersion: "devices.kubeedge.io/v1beta1",
      kind: "Device",
      metadata: { name: "early" },
      spec: { deviceModelRef: { name: "later" } },
    }),
  });
  assertEquals(missing.code, 0);
  assertStringIncludes(missing.stderr, 'Warning: spec.deviceModelRef.name: device model "later"');
  await k.must(["delete", "device", "early"]);
}

async function takes(k: KubectlClient): Promise<void> {
  const { code, stderr } = await k.run(["apply", "-f", manifest("loose.yaml")]);
  assertEquals(code, 0, stderr);
  for (
    const words of [
      "spec.properties[0].collectCycle: Invalid value: -1",
      "spec.properties[0].pushMethod.http.hostName: Required value",
      "spec.properties[1].desired: Forbidden: property serial is ReadOnly",
      "spec.deviceModelRef.name: Required value",
      "spec.properties[0].visitors.configData.register: Required value",
    ]
  ) assertStringIncludes(stderr, `Warning: ${words}`);
  const { spec } = await k.getJson("device", "loose") as Device;
  assertEquals(spec.stateReport, { reportToCloud: true, reportCycle: 5_000 });
  assertEquals(spec.protocol?.configData?.nested, { list: [1, { a: "b" }] });
  await k.must(["apply", "--server-side", "--force-conflicts", "-f", manifest("loose.yaml")]);
  await k.must(["delete", "-f", manifest("loose.yaml")]);
}

async function reads(k: KubectlClient): Promise<void> {
  const devices = await k.must(["get", "devices"]);
  assertMatch(devices, /NAME +MODEL +NODE +PROTOCOL +STATE +LAST ONLINE +AGE\n/);
  assertMatch(devices, /beta1-device +beta1-model +worker-node1 +modbus +unknown +<none> /);
  assertMatch(await k.must(["get", "devices", "-o", "wide"]), /PROPERTIES +SYNCED +PROBLEM/);
  assertMatch(await k.must(["get", "devicemodels"]), /opcua-model +<none> +1 /);
  assertMatch(await k.must(["get", "devicestatuses"]), /beta1-device +unknown +0 /);
  assertMatch(await k.must(["get", "rules"]), /my-rule +my-rest +my-eventbus +0 +0 /);
  const explained = await k.must(["explain", "device.spec.properties.desired"]);
  assertStringIncludes(explained, "value");
  const described = await k.must(["describe", "device", "beta1-device"]);
  assertMatch(described, /Node Name: +worker-node1[^]*Register: +HoldingRegister/);
  const selected = ["get", "devices", "--field-selector", "spec.nodeName=node1", "-o", "name"];
  assertEquals((await k.must(selected)).trim().split("\n").length, 2);
}

async function patches(k: KubectlClient): Promise<void> {
  const desired = (value: string) =>
    JSON.stringify({ spec: { properties: [{ name: "temp", desired: { value } }] } });
  const value = () =>
    k.must(["get", "device", "beta1-device", "-o", "jsonpath={.spec.properties[*]..value}"]);
  await k.must(["patch", "device", "beta1-device", "-p", desired("40")]);
  assertEquals(await value(), "40");
  const body = JSON.stringify([
    { op: "replace", path: "/spec/properties/0/desired/value", value: "41" },
  ]);
  await k.must(["patch", "device", "beta1-device", "--type=json", "-p", body]);
  assertEquals(await value(), "41");
  for (const wrong of ["400", "hot", "1.5"]) {
    const { code, stderr } = await k.run(["patch", "device", "beta1-device", "-p", desired(wrong)]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, `spec.properties[0].desired.value: Invalid value: "${wrong}"`);
  }
  assertEquals(await value(), "41");
}

async function waits(k: KubectlClient): Promise<void> {
  const wait = (what: string, path: string) =>
    k.must(["wait", what, `--for=jsonpath=${path}`, "--timeout=30s"]);
  const device = wait("device/beta1-device", "{.status.state}=online");
  const status = wait("devicestatus/beta1-device", "{.status.twins[0].reported.value}=41");
  const body = JSON.stringify({
    status: { state: "online", twins: [{ propertyName: "temp", reported: { value: "41" } }] },
  });
  const target = ["patch", "devicestatus", "beta1-device", "--subresource=status"];
  await k.must([...target, "--type=merge", "-p", body]);
  assertStringIncludes(await device, "condition met");
  assertStringIncludes(await status, "condition met");
  assertMatch(await k.must(["get", "devices", "-o", "wide"]), /beta1-device .* online .* 1\/1 /);
  const wrong = JSON.stringify({ status: { state: "asleep" } });
  const { code, stderr } = await k.run([...target, "--type=merge", "-p", wrong]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, 'status.state: Unsupported value: "asleep"');
}

async function edits(k: KubectlClient): Promise<void> {
  const kind = "devices.v1alpha2.devices.kubeedge.io";
  const body = { status: { twins: [{ propertyName: "temperature", desired: { value: "22.5" } }] } };
  await k.must(["patch", kind, "opcua-device", "--type=merge", "-p", JSON.stringify(body)]);
  const path = "jsonpath={.spec.properties[0].desired.value} {.spec.nodeName}";
  assertEquals(await k.must(["get", "device", "opcua-device", "-o", path]), "22.5 node1");
  const seen = await k.getJson(kind, "sensor-tag-instance-02") as {
    apiVersion: string;
    spec: { data: { dataTopic: string }; protocol: unknown };
  };
  assertEquals(seen.apiVersion, "devices.kubeedge.io/v1alpha2");
  assertEquals(seen.spec.data.dataTopic, "$ke/events/device/+/data/update");
  assertEquals(seen.spec.protocol, {
    modbus: { slaveID: 1 },
    common: {
      com: { serialPort: "1", baudRate: 115200, dataBits: 8, parity: "even", stopBits: 1 },
    },
  });
  const two = { spec: { protocol: { opcua: { url: "opc.tcp://h" }, modbus: { slaveID: 1 } } } };
  const args = ["patch", kind, "opcua-device", "--type=merge", "-p", JSON.stringify(two)];
  const { code, stderr } = await k.run(args);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "spec.protocol: Invalid value");
  await k.must(["delete", "-f", manifest("v1alpha2_bluetooth.yaml")]);
  assertEquals((await k.run(["get", "devicestatus", "sensor-tag-instance-01"])).code, 1);
}

async function rules(k: KubectlClient): Promise<void> {
  const change = (spec: unknown) =>
    k.run(["patch", "rule", "my-rule", "--type=merge", "-p", JSON.stringify({ spec })]);
  assertEquals((await change({ targetResource: { topic: "other" } })).code, 0);
  const back = await change({ source: "my-eventbus", target: "my-eventbus" });
  assertEquals(back.code, 1);
  assertStringIncludes(back.stderr, "a rule from eventbus may not lead to eventbus");
  const bare = await change({ sourceResource: { path: "" } });
  assertStringIncludes(bare.stderr, "spec.sourceResource[path]: Required value");
  const port = (service_port: string) => ({
    apiVersion: "rules.kubeedge.io/v1",
    kind: "RuleEndpoint",
    metadata: { name: "bus" },
    spec: { ruleEndpointType: "servicebus", properties: { service_port } },
  });
  await k.apply(port("65535"));
  const { code, stderr } = await k.run(["apply", "-f", "-"], {
    stdin: JSON.stringify(port("65536")),
  });
  assert(code !== 0);
  assertStringIncludes(stderr, "spec.properties[service_port]: Invalid value");
}
