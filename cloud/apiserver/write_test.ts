import { assert, assertEquals, assertMatch } from "@std/assert";
import { BODY_BYTES_MAX, PROTOBUF_CONTENT_TYPE } from "./body.ts";
import { samplePod, testServer } from "./testing.ts";

const NS = "/api/v1/namespaces";
const PODS = `${NS}/default/pods`;
const MAPS = `${NS}/default/configmaps`;
const MERGE = { headers: { "content-type": "application/merge-patch+json" } };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4/;

Deno.test("create: the server owns uid, times, revision and status", async () => {
  await using api = await testServer();
  const wish = samplePod("a", {
    metadata: {
      name: "a",
      uid: "mine",
      creationTimestamp: "2001-01-01T00:00:00Z",
      deletionTimestamp: "2001-01-01T00:00:00Z",
    },
    status: { phase: "Running" },
  });
  const { body } = await api.call("POST", PODS, wish, { expect: 201 });
  assertMatch(body.metadata.uid, UUID);
  assert(Date.parse(body.metadata.creationTimestamp) > Date.parse("2020-01-01"));
  assertEquals(body.metadata.deletionTimestamp, undefined);
  assertEquals([body.metadata.namespace, body.metadata.generation], ["default", 1]);
  assertEquals([body.kind, body.status.phase], ["Pod", "Pending"]);
  const again = await api.call("POST", PODS, samplePod("a"), { expect: 409 });
  assertEquals([again.body.reason, again.body.message], [
    "AlreadyExists",
    'pods "a" already exists',
  ]);
});

Deno.test("create: names are given, generated, or asked for", async () => {
  await using api = await testServer();
  const names = new Set<string>();
  for (let i = 0; i < 3; i++) {
    const { body } = await api.call("POST", MAPS, { metadata: { generateName: "g-" } }, {
      expect: 201,
    });
    assertMatch(body.metadata.name, /^g-[a-z0-9]{5}$/);
    names.add(body.metadata.name);
  }
  assertEquals(names.size, 3);
  const none = await api.call("POST", MAPS, { metadata: {} }, { expect: 422 });
  assertMatch(none.body.message, /name or generateName is required/);
  const ns = await api.call("POST", NS, { metadata: { generateName: "n-" } }, { expect: 201 });
  const { name, labels } = ns.body.metadata;
  assertEquals(labels["kubernetes.io/metadata.name"], name);
});

Deno.test("create: the namespace must be there and agree with the path", async () => {
  await using api = await testServer();
  const lost = await api.call("POST", `${NS}/no/configmaps`, { metadata: { name: "a" } }, {
    expect: 404,
  });
  assertEquals(lost.body.message, 'namespaces "no" not found');
  const other = { metadata: { name: "a", namespace: "kube-system" } };
  const wrong = await api.call("POST", MAPS, other, { expect: 400 });
  assertMatch(wrong.body.message, /does not match the namespace sent on the request/);
});

Deno.test("dryRun=All checks and answers, and stores nothing", async () => {
  await using api = await testServer();
  const dry = "?dryRun=All";
  await api.call("POST", MAPS + dry, { metadata: { name: "a" } }, { expect: 201 });
  await api.call("GET", `${MAPS}/a`, undefined, { expect: 404 });
  await api.call("POST", MAPS, { metadata: { name: "a" } }, { expect: 201 });
  await api.call("POST", MAPS + dry, { metadata: { name: "a" } }, { expect: 409 });
  const patched = await api.call("PATCH", `${MAPS}/a${dry}`, { data: { k: "v" } }, MERGE);
  assertEquals(patched.body.data, { k: "v" });
  await api.call("DELETE", `${MAPS}/a${dry}`, undefined, { expect: 200 });
  await api.call("DELETE", `${MAPS}/a`, { dryRun: ["All"] }, { expect: 200 });
  const { body } = await api.call("GET", `${MAPS}/a`, undefined, { expect: 200 });
  assertEquals(body.data, undefined);
  await api.call("POST", `${MAPS}?dryRun=Some`, { metadata: { name: "b" } }, { expect: 400 });
});

Deno.test("fieldValidation: Strict refuses, Warn warns, Ignore is silent; all prune", async () => {
  await using api = await testServer();
  const body = (name: string) => ({ metadata: { name }, colour: "red" });
  const strict = await api.call("POST", `${MAPS}?fieldValidation=Strict`, body("a"), {
    expect: 400,
  });
  assertMatch(strict.body.message, /strict decoding error: unknown field "colour"/);
  const warn = await api.call("POST", MAPS, body("b"), { expect: 201 });
  assertEquals(warn.headers.get("warning"), '299 - "unknown field \\"colour\\""');
  assertEquals(warn.body.colour, undefined);
  const ignore = await api.call("POST", `${MAPS}?fieldValidation=Ignore`, body("c"), {
    expect: 201,
  });
  assertEquals([ignore.headers.get("warning"), ignore.body.colour], [null, undefined]);
  await api.call("POST", `${MAPS}?fieldValidation=Maybe`, body("d"), { expect: 400 });
});

Deno.test("bodies: protobuf and YAML are read, other types and broken ones refused", async () => {
  await using api = await testServer();
  const hex =
    "6b3873000a0f0a02763112094e616d657370616365121b0a130a036e6e7812001a0022002a0032003800" +
    "420012001a020a001a002200";
  const bytes = Uint8Array.from(hex.match(/../g)!, (pair) => parseInt(pair, 16));
  const created = await api.server.fetchAs({ username: "a", groups: ["system:masters"] })(
    `http://test${NS}`,
    { method: "POST", body: bytes, headers: { "content-type": PROTOBUF_CONTENT_TYPE } },
  );
  assertEquals([created.status, (await created.json()).metadata.name], [201, "nnx"]);
  const send = (type: string, text: string, expect: number) =>
    api.call("POST", MAPS, text, { headers: { "content-type": type }, expect });
  await send("application/yaml", "metadata:\n  name: y\ndata:\n  k: v\n", 201);
  const media = await send("application/cbor", "x", 415);
  assertEquals(media.body.reason, "UnsupportedMediaType");
  for (const text of ["{", "[]", '"x"', "", "null"]) {
    assertEquals((await send("application/json", text, 400)).body.reason, "BadRequest", text);
  }
  await send("application/json", '{"kind":"Secret","metadata":{"name":"s"}}', 400);
  const large = `{"metadata":{"name":"l"},"x":"${"x".repeat(BODY_BYTES_MAX)}"}`;
  assertEquals((await send("application/json", large, 413)).body.reason, "RequestEntityTooLarge");
  const huge = { metadata: { name: "h" }, data: { k: "x".repeat(2_000_000) } };
  const refused = await api.call("POST", MAPS, huge);
  assert([413, 422].includes(refused.status), JSON.stringify(refused.body));
});

Deno.test("update: a stale revision, another name or uid is refused", async () => {
  await using api = await testServer();
  const made = (await api.call("POST", MAPS, { metadata: { name: "a" } }, { expect: 201 })).body;
  const put = (object: unknown, expect: number) => api.call("PUT", `${MAPS}/a`, object, { expect });
  const same = await put(made, 200);
  assertEquals(same.body.metadata.resourceVersion, made.metadata.resourceVersion);
  const changed = (await put({ ...made, data: { k: "1" } }, 200)).body;
  assert(changed.metadata.resourceVersion !== made.metadata.resourceVersion);
  assertEquals(changed.metadata.uid, made.metadata.uid);
  const stale = await put({ ...made, data: { k: "2" } }, 409);
  assertEquals(stale.body.reason, "Conflict");
  assertMatch(
    stale.body.message,
    /Operation cannot be fulfilled on configmaps "a": the object has/,
  );
  await put({ metadata: { name: "a" }, data: { k: "3" } }, 200); // no revision: unconditional
  await put({ metadata: { name: "b" } }, 400);
  await put({ metadata: { name: "a", uid: "00000000-0000-4000-8000-000000000000" } }, 409);
  await api.call("PUT", `${MAPS}/missing`, { metadata: { name: "missing" } }, { expect: 404 });
});

Deno.test("update: a Lease may be created by it, others not", async () => {
  await using api = await testServer();
  const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
  const lease = { metadata: { name: "n" }, spec: { holderIdentity: "n" } };
  await api.call("PUT", `${leases}/n`, lease, { expect: 201 });
  await api.call("PUT", `${leases}/n`, lease, { expect: 200 });
});

Deno.test("status: its own writes change only it, writes of the object never do", async () => {
  await using api = await testServer();
  await api.call("POST", PODS, samplePod("a"), { expect: 201 });
  const both = {
    metadata: { labels: { l: "1" } },
    spec: { nodeName: "n" },
    status: { phase: "Running" },
  };
  const viaStatus = (await api.call("PATCH", `${PODS}/a/status`, both, MERGE)).body;
  assertEquals([viaStatus.status.phase, viaStatus.spec.nodeName], ["Running", undefined]);
  const viaMain =
    (await api.call("PATCH", `${PODS}/a`, { status: { phase: "Failed" } }, MERGE)).body;
  assertEquals(viaMain.status.phase, "Running");
  assertEquals((await api.call("GET", `${PODS}/a/status`)).body.status.phase, "Running");
});

Deno.test("patch: a revision in it is a condition; apply creates", async () => {
  await using api = await testServer();
  const made = (await api.call("POST", MAPS, { metadata: { name: "a" } }, { expect: 201 })).body;
  const patch = (
    body: unknown,
    expect: number,
    query = "",
    type = "application/merge-patch+json",
  ) => api.call("PATCH", `${MAPS}/a${query}`, body, { headers: { "content-type": type }, expect });
  await patch({ data: { k: "1" } }, 200);
  await patch({ metadata: { resourceVersion: made.metadata.resourceVersion } }, 409);
  await patch({ data: { k: 1 } }, 400);
  await patch({}, 415, "", "text/plain");
  await patch([{ op: "add", path: "/data/j", value: "2" }], 200, "", "application/json-patch+json");
  await patch("not json", 400);
  await api.call("PATCH", `${MAPS}/none`, {}, { ...MERGE, expect: 404 });
  const apply = "application/apply-patch+yaml";
  const text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\ndata:\n  k: v\n";
  const by = (query: string, expect: number) =>
    api.call("PATCH", `${MAPS}/b${query}`, text, { headers: { "content-type": apply }, expect });
  await by("", 400);
  await by("?fieldManager=m", 201);
  await by("?fieldManager=m", 200);
});

Deno.test("validation: every wrong field is a cause with its path", async () => {
  await using api = await testServer();
  const pod = samplePod("Bad_Name", { spec: { containers: [{ image: "x" }] } });
  const { body } = await api.call("POST", PODS, pod, { expect: 422 });
  assertEquals([body.reason, body.details.kind], ["Invalid", "Pod"]);
  const fields = body.details.causes.map(({ field }: { field: string }) => field);
  assert(fields.includes("metadata.name") && fields.includes("spec.containers[0].name"), fields);
});

Deno.test("write: YAML nested beyond all measure is refused at once", async () => {
  await using api = await testServer();
  const headers = { "content-type": "application/apply-patch+yaml" };
  for (const body of ["[".repeat(500_000), "- ".repeat(500_000), "? ".repeat(500_000)]) {
    const path = "/api/v1/namespaces/default/configmaps/a?fieldManager=me";
    const { body: status } = await api.call("PATCH", path, body, { headers, expect: 400 });
    assertMatch(status.message, /not valid YAML: must be nested at most 500 deep/);
  }
});
