/**
 * Devices through real kubectls (the oldest, a middle one, the newest) under uses that are seldom:
 * applies of a status from the server's side, diff, dry runs, edit, replace by force, values of
 * 64 KiB, a model deleted under its devices, a namespace deleted with them.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { ensureKubectls, KubectlClient } from "../support/kubectl.ts";
import { testWith } from "../support/requirements.ts";
import { type ApiFixture, startApi } from "./kubectl_fixture.ts";

const GROUP = "devices.kubeedge.io/v1beta1";
const VALUE_BYTES_MAX = 65_536;

const MODEL = {
  apiVersion: GROUP,
  kind: "DeviceModel",
  metadata: { name: "thermo" },
  spec: {
    protocol: "modbus",
    properties: [
      { name: "setpoint", type: "INT", accessMode: "ReadWrite", minimum: "0", maximum: "90" },
      { name: "note", type: "STRING", accessMode: "ReadWrite" },
    ],
  },
};

function device(name: string, property: string, value: string) {
  return {
    apiVersion: GROUP,
    kind: "Device",
    metadata: { name },
    spec: {
      deviceModelRef: { name: "thermo" },
      nodeName: "n1",
      protocol: { protocolName: "modbus", configData: { slaveID: 1 } },
      properties: [{ name: property, desired: { value } }],
    },
  };
}

const minorOf = (minor: string) => Number(minor.split(".")[1]);

testWith(["kubectl"], "seldom uses of devices work with kubectl", async (t) => {
  const all = (await ensureKubectls()).filter(({ minor }) =>
    minorOf(minor) >= 27 && minorOf(minor) <= 33
  );
  const chosen = new Set([all[0], all.find(({ minor }) => minorOf(minor) === 30), all.at(-1)]);
  for (const kubectl of chosen) {
    if (!kubectl) continue;
    await using api = await startApi();
    const k = new KubectlClient(kubectl, api.kubeconfig, join(api.dir, "cache"));
    const version = `kubectl ${kubectl.minor}`;
    await k.apply(MODEL);
    await t.step(`${version}: a status is applied from the server's side`, () => status(k));
    await t.step(`${version}: diff, dry run and edit`, () => changes(api, k));
    await t.step(`${version}: replace by force makes another of the name`, () => replaces(k));
    await t.step(`${version}: values of 64 KiB, and one byte more`, () => bigValues(k));
    await t.step(`${version}: a model deleted under its devices`, () => deletesModel(k));
    await t.step(`${version}: pages of a long list`, () => pages(k));
  }
});

async function status(k: KubectlClient): Promise<void> {
  await k.apply(device("t1", "setpoint", "20"));
  const report = (propertyName: string, state: string) => ({
    apiVersion: GROUP,
    kind: "Device",
    metadata: { name: "t1" },
    status: {
      state,
      twins: [{ propertyName, reported: { value: "21", metadata: { timestamp: "1" } } }],
    },
  });
  const stdin = JSON.stringify(report("setpoint", "online"));
  const args = ["apply", "--server-side", "--subresource=status", "-f", "-"];
  const applied = await k.run(args, { stdin });
  if (applied.stderr.includes("unknown flag: --subresource")) { // before 1.32
    const patch = ["patch", "device", "t1", "--subresource=status", "--type=merge", "-p", stdin];
    await k.must(patch);
  } else assertEquals(applied.code, 0, applied.stderr);
  const wide = await k.must(["get", "devices", "-o", "wide"]);
  assertMatch(wide, /PROPERTIES +SYNCED +PROBLEM +REPORTED\n/);
  assertMatch(wide, /t1 +thermo +n1 +modbus +online .* 0\/1 +<none> +\d+y\d*d? ago/);
  const select = ["get", "devices", "--field-selector", "status.state=online", "-o", "name"];
  assertEquals((await k.must(select)).trim(), "device.devices.kubeedge.io/t1");
}

async function changes(api: ApiFixture, k: KubectlClient): Promise<void> {
  const stdin = JSON.stringify(device("t1", "setpoint", "30"));
  const value = () =>
    k.must(["get", "device", "t1", "-o", "jsonpath={.spec.properties[0].desired.value}"]);
  const diff = await k.run(["diff", "-f", "-"], { stdin });
  assertEquals(diff.code, 1, diff.stderr);
  assertMatch(diff.stdout, /- +value: "20"\n\+ +value: "30"/);
  const dry = await k.must(["apply", "--dry-run=server", "-f", "-"], { stdin });
  assertStringIncludes(dry, "configured (server dry run)");
  assertEquals(await value(), "20");
  const editor = join(api.dir, "editor");
  await Deno.writeTextFile(editor, '#!/bin/sh\nexec sed -i \'s/value: "20"/value: "25"/\' "$1"\n');
  await Deno.chmod(editor, 0o755);
  const env = { EDITOR: editor, TMPDIR: api.dir };
  await k.must(["edit", "device", "t1"], { env });
  assertEquals(await value(), "25");
  const alpha = "devices.v1alpha2.devices.kubeedge.io";
  await Deno.writeTextFile(editor, '#!/bin/sh\nexec sed -i "s/- n1/- n2/" "$1"\n');
  await k.must(["edit", alpha, "t1"], { env });
  assertEquals(await k.must(["get", "device", "t1", "-o", "jsonpath={.spec.nodeName}"]), "n2");
  await Deno.writeTextFile(editor, '#!/bin/sh\nexec sed -i \'s/value: "25"/value: "91"/\' "$1"\n');
  const refused = await k.run(["edit", "device", "t1"], { env });
  assertEquals(refused.code, 1);
  assertEquals(await value(), "25");
}

async function replaces(k: KubectlClient): Promise<void> {
  const stdin = JSON.stringify(device("t1", "setpoint", "40"));
  const uid = () => k.must(["get", "device", "t1", "-o", "jsonpath={.metadata.uid}"]);
  const before = await uid();
  await k.must(["replace", "-f", "-"], { stdin });
  assertEquals(await uid(), before);
  const state = ["get", "device", "t1", "-o", "jsonpath={.status.state}"];
  assertEquals(await k.must(state), "online");
  await k.must(["replace", "--force", "-f", "-"], { stdin });
  assertEquals(await uid() === before, false);
  assertEquals(await k.must(state), "");
}

async function bigValues(k: KubectlClient): Promise<void> {
  const fits = "x".repeat(VALUE_BYTES_MAX);
  await k.apply(device("big", "note", fits));
  await k.apply(device("big", "note", fits), "--server-side", "--force-conflicts");
  const got = await k.must([
    ...["get", "device", "big", "-o"],
    "jsonpath={.spec.properties[0].desired.value}",
  ]);
  assertEquals(got.length, VALUE_BYTES_MAX);
  const stdin = JSON.stringify(device("bigger", "note", `${fits}x`));
  const { code, stderr } = await k.run(["create", "-f", "-"], { stdin });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "spec.properties[0].desired.value: Too long");
  await k.must(["delete", "device", "big"]);
}

async function deletesModel(k: KubectlClient): Promise<void> {
  const { code, stderr } = await k.run(["delete", "devicemodel", "thermo"]);
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, 'Warning: device model "thermo" is used by devices "t1"');
  assertMatch(await k.must(["get", "devices"]), /t1 +thermo /);
  await k.apply(MODEL);
}

async function pages(k: KubectlClient): Promise<void> {
  const items = Array.from({ length: 60 }, (_, i) => device(`p${i}`, "setpoint", `${i}`));
  await k.must(["create", "-f", "-"], {
    stdin: JSON.stringify({ apiVersion: "v1", kind: "List", items }),
  });
  for (const size of ["0", "7", "60", "61", "500"]) {
    const list = await k.must(["get", "devices", "-o", "name", `--chunk-size=${size}`]);
    assertEquals(list.trim().split("\n").length, 61, `--chunk-size=${size}`);
  }
  await k.must(["delete", "devices", "--all", "--wait=false"]); // waiting, kubectl asks 5 times a s
  const left = await k.run(["get", "devices,devicestatuses"]);
  assertStringIncludes(left.stderr, "No resources found");
}
