import { assertEquals } from "@std/assert";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { type Answer, openWatch, type TestServer, testServer } from "../testing.ts";

const BETA = "/apis/devices.kubeedge.io/v1beta1/namespaces/default";
const ALPHA = "/apis/devices.kubeedge.io/v1alpha2/namespaces/default";
const RULES = "/apis/rules.kubeedge.io/v1/namespaces/default";

const MODEL = {
  metadata: { name: "m" },
  spec: {
    properties: [
      { name: "t", type: "DOUBLE", accessMode: "ReadWrite", minimum: "0", maximum: "1" },
      { name: "raw", type: "BYTES", accessMode: "ReadOnly" },
    ],
  },
};

function device(properties: unknown[], name = "d"): KubeObject {
  return { metadata: { name }, spec: { deviceModelRef: { name: "m" }, properties } };
}

const warningsOf = ({ headers }: Answer) => headers.get("warning");
const causesOf = ({ body }: Answer): string[] =>
  body.details.causes.map((cause: { field: string; reason: string }) =>
    `${cause.field} ${cause.reason}`
  );

async function withModel(): Promise<TestServer> {
  const api = await testServer();
  await api.call("POST", `${BETA}/devicemodels`, MODEL, { expect: 201 });
  return api;
}

Deno.test("a device that does not fit its model is refused, field by field", async () => {
  await using api = await withModel();
  const wrong = device([
    { name: "t", desired: { value: "1.5" } },
    { name: "raw", desired: { value: "AQ==" } },
    { name: "u" },
  ]);
  const answer = await api.call("POST", `${BETA}/devices`, wrong, { expect: 422 });
  assertEquals(causesOf(answer), [
    "spec.properties[0].desired.value FieldValueInvalid",
    "spec.properties[2].name FieldValueNotFound",
  ]);
  const fine = device([{ name: "t", desired: { value: "0.30000000000000004" } }]);
  const made = await api.call("POST", `${BETA}/devices`, fine, { expect: 201 });
  assertEquals(made.body.spec.properties[0].desired.value, "0.30000000000000004");
  assertEquals(warningsOf(made), null);
});

Deno.test("what KubeEdge takes is taken, with a word; read-only is not asked later", async () => {
  await using api = await withModel();
  const made = device([
    { name: "raw", desired: { value: "AQ==" }, collectCycle: -1 },
    { name: "t", pushMethod: { http: { port: 80 } } },
  ]);
  const answer = await api.call("POST", `${BETA}/devices`, made, { expect: 201 });
  const warnings = warningsOf(answer) ?? "";
  for (
    const words of [
      "spec.properties[0].desired: Forbidden: property raw is ReadOnly in its model",
      "spec.properties[0].collectCycle: Invalid value: -1",
      "spec.properties[1].pushMethod.http.hostName: Required value: nothing is pushed without it",
    ]
  ) assertEquals(warnings.includes(words), true, warnings);
  const headers = { "content-type": "application/merge-patch+json" };
  const path = `${BETA}/devices/d`;
  const other = { spec: { properties: [{ name: "raw", desired: { value: "AQ==" } }] } };
  await api.call("PATCH", path, other, { expect: 200, headers });
  await api.call("POST", `${BETA}/devices`, device([{ name: "raw" }], "e"), { expect: 201 });
  const asked = await api.call("PATCH", `${BETA}/devices/e`, other, { expect: 422, headers });
  assertEquals(causesOf(asked), ["spec.properties[0].desired FieldValueForbidden"]);
  const bare = await api.call("POST", `${BETA}/devices`, { metadata: { name: "f" } });
  assertEquals(bare.status, 201);
  assertEquals(warningsOf(bare)?.includes("spec.deviceModelRef.name: Required value"), true);
});

Deno.test("how the state is reported may stand in the status, as before 1.23", async () => {
  await using api = await withModel();
  const status = { reportToCloud: false, reportCycle: 5_000, state: "ok" };
  const made = await api.call("POST", `${BETA}/devices`, { ...device([]), status }, {
    expect: 201,
  });
  assertEquals(made.body.spec.stateReport, { reportToCloud: false, reportCycle: 5_000 });
  assertEquals(made.body.status, undefined);
  const spec = { deviceModelRef: { name: "m" }, stateReport: { reportCycle: 1 } };
  const said = { metadata: { name: "e" }, spec, status };
  const kept = await api.call("POST", `${BETA}/devices`, said, { expect: 201 });
  assertEquals(kept.body.spec.stateReport, { reportCycle: 1 });
});

Deno.test("a device before its model is a warning, as a model that some do not fit", async () => {
  await using api = await testServer();
  const early = device([{ name: "t", desired: { value: "1" } }]);
  const made = await api.call("POST", `${BETA}/devices`, early, { expect: 201 });
  assertEquals(
    warningsOf(made),
    '299 - "spec.deviceModelRef.name: device model \\"m\\" does not exist yet"',
  );
  const strict = { metadata: { name: "m" }, spec: { properties: [{ name: "u", type: "INT" }] } };
  const model = await api.call("POST", `${BETA}/devicemodels`, strict, { expect: 201 });
  assertEquals(
    warningsOf(model),
    '299 - "device \\"d\\" does not fit: spec.properties[0].name: Not found: \\"t\\""',
  );
});

Deno.test("what stopped fitting stays editable, and is not made worse", async () => {
  await using api = await withModel();
  const path = `${BETA}/devices/d`;
  await api.call("POST", `${BETA}/devices`, device([{ name: "t", desired: { value: "1" } }]));
  const spec = { properties: [{ name: "x", type: "INT" }] };
  const headers = { "content-type": "application/merge-patch+json" };
  await api.call("PATCH", `${BETA}/devicemodels/m`, { spec }, { headers, expect: 200 });
  const labels = { metadata: { labels: { a: "b" } } };
  await api.call("PATCH", path, labels, { headers, expect: 200 });
  await api.call("PATCH", path, { spec: { nodeName: "n2" } }, { headers, expect: 200 });
  const worse = { spec: { properties: [{ name: "t" }, { name: "y" }] } };
  const answer = await api.call("PATCH", path, worse, { headers, expect: 422 });
  assertEquals(causesOf(answer), ["spec.properties[1].name FieldValueNotFound"]);
});

Deno.test("status and spec are written apart, and reports leave conditions alone", async () => {
  await using api = await withModel();
  await api.call("POST", `${BETA}/devices`, {
    ...device([]),
    status: { state: "online" },
  });
  const path = `${BETA}/devices/d`;
  assertEquals((await api.call("GET", path)).body.status, undefined);
  const report = { metadata: { name: "d" }, status: { state: "online" } };
  await api.call("PUT", `${BETA}/devicestatuses/d/status`, report, { expect: 200 });
  const condition = {
    type: "Accepted",
    status: "False",
    reason: "ModelNotFound",
    message: "",
    lastTransitionTime: "2026-01-01T00:00:00Z",
  };
  const headers = { "content-type": "application/merge-patch+json" };
  const body = { status: { conditions: [condition] } };
  await api.call("PATCH", `${path}/status`, body, { headers, expect: 200 });
  await api.call("PUT", `${BETA}/devicestatuses/d/status`, {
    ...report,
    status: { state: "offline" },
  }, { expect: 200 });
  const { status, metadata } = (await api.call("GET", path)).body;
  assertEquals(status, { state: "offline", conditions: [condition] });
  assertEquals(metadata.generation, 1);
  const shown = (await api.call("GET", `${BETA}/devicestatuses/d`)).body;
  assertEquals(shown.status, { state: "offline" });
  assertEquals(shown.metadata.ownerReferences[0].uid, metadata.uid);
  for (const method of ["POST", "DELETE"]) {
    const at = method === "POST" ? `${BETA}/devicestatuses` : `${BETA}/devicestatuses/d`;
    await api.call(method, at, method === "POST" ? report : undefined, { expect: 405 });
  }
});

Deno.test("v1alpha2 refuses in its own words, and a model of it comes back whole", async () => {
  await using api = await testServer();
  const common = { com: { baudRate: 7 } };
  const spec = { deviceModelRef: { name: "m" }, protocol: { modbus: {}, common } };
  const bad = await api.call("POST", `${ALPHA}/devices`, { metadata: { name: "d" }, spec });
  assertEquals(causesOf(bad), ["spec.protocol.common.com.baudRate FieldValueNotSupported"]);
  const type = { double: { accessMode: "ReadOnly", defaultValue: 0.5, maximum: 100.25 } };
  const model = { metadata: { name: "m" }, spec: { properties: [{ name: "t", type }] } };
  const made = await api.call("POST", `${ALPHA}/devicemodels`, model, { expect: 201 });
  assertEquals(made.body.spec, model.spec);
  const stored = (await api.call("GET", `${BETA}/devicemodels/m`)).body;
  assertEquals(stored.spec.properties[0].maximum, "100.25");
  const word = {
    metadata: { name: "w" },
    spec: {
      properties: [{
        name: "t",
        type: {
          int: {
            minimum: "x",
          },
        },
      }],
    },
  };
  await api.call("POST", `${ALPHA}/devicemodels`, word, { expect: 400 });
});

Deno.test("rules: pairs, keys, and no two for one source", async () => {
  await using api = await testServer();
  for (const [name, type] of [["r", "rest"], ["e", "eventbus"]]) {
    const spec = { ruleEndpointType: type };
    await api.call("POST", `${RULES}/ruleendpoints`, { metadata: { name }, spec }, { expect: 201 });
  }
  const rule = (name: string, spec: Record<string, unknown>, expect: number) =>
    api.call("POST", `${RULES}/rules`, { metadata: { name }, spec }, { expect });
  const toTopic = { target: "e", targetResource: { topic: "t" } };
  await rule("a", { source: "r", sourceResource: { path: "/a" }, ...toTopic }, 201);
  const twice = { source: "r", sourceResource: { path: "/a" }, ...toTopic };
  assertEquals(causesOf(await rule("b", twice, 422)), [
    "spec.sourceResource[path] FieldValueDuplicate",
  ]);
  const toRest = { target: "r", targetResource: { resource: "ftp://h" } };
  const bare = { source: "e", sourceResource: { topic: "t" }, ...toRest };
  assertEquals(causesOf(await rule("c", bare, 422)), [
    "spec.sourceResource[node_name] FieldValueRequired",
    "spec.targetResource[resource] FieldValueInvalid",
  ]);
  const early = await rule("d", { ...twice, source: "unknown" }, 201);
  assertEquals(
    warningsOf(early),
    '299 - "spec.source: rule endpoint \\"unknown\\" does not exist yet"',
  );
});

Deno.test("a watch of a view shows the changes of what it is a view of", async () => {
  await using api = await withModel();
  await api.call("POST", `${BETA}/devices`, device([]));
  const list = (await api.call("GET", `${BETA}/devicestatuses`)).body;
  const query = `watch=true&resourceVersion=${list.metadata.resourceVersion}`;
  const watches = [
    await openWatch(api, `${BETA}/devicestatuses?${query}`),
    await openWatch(api, `${ALPHA}/devices?${query}`),
  ];
  const report = { metadata: { name: "d" }, status: { state: "online" } };
  await api.call("PUT", `${BETA}/devicestatuses/d/status`, report, { expect: 200 });
  const kinds: string[] = [];
  for (const watch of watches) {
    const { type, object } = await watch.next();
    kinds.push(`${type} ${object.apiVersion} ${object.kind}`);
    await watch.close();
  }
  assertEquals(kinds, [
    "MODIFIED devices.kubeedge.io/v1beta1 DeviceStatus",
    "MODIFIED devices.kubeedge.io/v1alpha2 Device",
  ]);
});

Deno.test("devices are chosen by node and state, in every kind that shows them", async () => {
  await using api = await withModel();
  for (const [name, nodeName] of [["a", "n1"], ["b", "n2"]] as const) {
    const one = { metadata: { name }, spec: { deviceModelRef: { name: "m" }, nodeName } };
    await api.call("POST", `${BETA}/devices`, one, { expect: 201 });
  }
  const headers = { "content-type": "application/merge-patch+json" };
  const report = { status: { state: "online" } };
  await api.call("PATCH", `${BETA}/devicestatuses/b/status`, report, { headers, expect: 200 });
  for (const path of [`${BETA}/devices`, `${BETA}/devicestatuses`, `${ALPHA}/devices`]) {
    for (const [selector, want] of [["status.state=online", "b"], ["spec.nodeName=n1", "a"]]) {
      const query = `fieldSelector=${encodeURIComponent(selector!)}`;
      const { body } = await api.call("GET", `${path}?${query}`, undefined, { expect: 200 });
      const names = body.items.map(({ metadata }: KubeObject) => metadata.name);
      assertEquals(names, [want], `${path} ${selector}`);
    }
  }
});

Deno.test("who deletes a model is told which devices use it", async () => {
  await using api = await withModel();
  for (const name of ["a", "b", "c", "d", "e", "f", "g"]) {
    await api.call("POST", `${BETA}/devices`, device([], name), { expect: 201 });
  }
  const path = `${BETA}/devicemodels/m`;
  const names = ["a", "b", "c", "d", "e"].map((name) => `\\"${name}\\"`).join(", ");
  const told = `299 - "device model \\"m\\" is used by devices ${names} and 2 more"`;
  const dry = await api.call("DELETE", `${path}?dryRun=All`, undefined, { expect: 200 });
  assertEquals(warningsOf(dry), told);
  const real = await api.call("DELETE", path, undefined, { expect: 200 });
  assertEquals(warningsOf(real), told);
  await api.call("DELETE", `${BETA}/devices`, undefined, { expect: 200 });
  await api.call("POST", `${BETA}/devicemodels`, MODEL, { expect: 201 });
  assertEquals(warningsOf(await api.call("DELETE", path)), null);
});
