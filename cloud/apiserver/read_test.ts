import { assert, assertEquals } from "@std/assert";
import { samplePod, type TestServer, testServer } from "./testing.ts";

const PODS = "/api/v1/namespaces/default/pods";
const MAPS = "/api/v1/namespaces/default/configmaps";
const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

async function withMaps(names: string[]): Promise<TestServer> {
  const api = await testServer();
  for (const name of names) {
    await api.call("POST", MAPS, { metadata: { name } }, { expect: 201 });
  }
  return api;
}

const namesOf = (list: { items: { metadata: { name: string } }[] }) =>
  list.items.map(({ metadata }) => metadata.name);

Deno.test("get: a missing object is NotFound, in kubectl's words", async () => {
  await using api = await testServer();
  const { body } = await api.call("GET", `${PODS}/x`, undefined, { expect: 404 });
  assertEquals(body, {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: 'pods "x" not found',
    reason: "NotFound",
    details: { name: "x", kind: "pods" },
    code: 404,
  });
});

Deno.test("list: pages show one revision, whatever changes between them", async () => {
  await using api = await withMaps(["a", "b", "c", "d"]);
  const first = (await api.call("GET", `${MAPS}?limit=2`)).body;
  assertEquals([namesOf(first), first.metadata.remainingItemCount], [["a", "b"], 2]);
  await api.call("DELETE", `${MAPS}/c`, undefined, { expect: 200 });
  await api.call("POST", MAPS, { metadata: { name: "e" } }, { expect: 201 });
  const token = encodeURIComponent(first.metadata.continue);
  const second = (await api.call("GET", `${MAPS}?limit=2&continue=${token}`)).body;
  assertEquals(namesOf(second), ["c", "d"]);
  assertEquals(second.metadata, { resourceVersion: first.metadata.resourceVersion });
  const { body } = await api.call("GET", `${MAPS}?continue=nonsense`, undefined, { expect: 400 });
  assertEquals(body.message, "continue key is not valid");
});

Deno.test("list: a page's token from before a restart is 410 Expired", async () => {
  const first = await withMaps(["a", "b"]);
  const { body } = await first.call("GET", `${MAPS}?limit=1`);
  await first.call("DELETE", `${MAPS}/b`, undefined, { expect: 200 });
  await first.server.close();
  await using second = await testServer({ store: first.store });
  const token = encodeURIComponent(body.metadata.continue);
  const answer = await second.call("GET", `${MAPS}?continue=${token}`, undefined, { expect: 410 });
  assertEquals(answer.body.reason, "Expired");
});

Deno.test("list: selectors choose, unknown fields and bad grammar are 400", async () => {
  await using api = await testServer();
  for (const [name, app] of [["a", "x"], ["b", "y"]] as const) {
    const pod = samplePod(name, { metadata: { name, labels: { app } } });
    await api.call("POST", PODS, pod, { expect: 201 });
  }
  const get = async (query: string, expect = 200) =>
    (await api.call("GET", `${PODS}?${query}`, undefined, { expect })).body;
  assertEquals(namesOf(await get("labelSelector=app%20in%20(x,z)")), ["a"]);
  assertEquals(namesOf(await get("labelSelector=app!%3Dx")), ["b"]);
  assertEquals(namesOf(await get("fieldSelector=metadata.name%3Db,status.phase!%3DFailed")), ["b"]);
  assertEquals((await get("labelSelector=a%20b", 400)).reason, "BadRequest");
  const unknown = await get("fieldSelector=spec.colour%3Dred", 400);
  assertEquals(unknown.message, "field label not supported: spec.colour");
  assertEquals((await get("limit=many", 400)).reason, "BadRequest");
  const limited = await get("limit=1&labelSelector=app");
  assert(limited.metadata.continue);
  assertEquals(limited.metadata.remainingItemCount, undefined);
});

Deno.test("list: all namespaces, and forms: Table, metadata only", async () => {
  await using api = await withMaps(["a"]);
  const all = await api.call("GET", "/api/v1/configmaps", undefined, { expect: 200 });
  assertEquals([all.body.kind, namesOf(all.body)], ["ConfigMapList", ["a"]]);
  const table = await api.call("GET", MAPS, undefined, { headers: { accept: TABLE } });
  assertEquals(table.body.kind, "Table");
  assertEquals(table.body.rows[0].object.kind, "PartialObjectMetadata");
  const full = await api.call("GET", `${MAPS}?includeObject=Object`, undefined, {
    headers: { accept: TABLE },
  });
  assertEquals(full.body.rows[0].object.kind, "ConfigMap");
  const accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
  const partial = await api.call("GET", MAPS, undefined, { headers: { accept } });
  assertEquals(partial.body.kind, "PartialObjectMetadataList");
  assertEquals(Object.keys(partial.body.items[0]), ["kind", "apiVersion", "metadata"]);
  const protobuf = await api.call("GET", MAPS, undefined, {
    headers: { accept: "application/vnd.kubernetes.protobuf,application/json" },
  });
  assertEquals(protobuf.headers.get("content-type"), "application/json");
});

Deno.test("paths and methods that are not served are 404 and 405", async () => {
  await using api = await testServer();
  const expect = async (method: string, path: string, status: number, reason: string) => {
    const { body } = await api.call(method, path, undefined, { expect: status });
    assertEquals([body.kind, body.reason], ["Status", reason], `${method} ${path}`);
  };
  for (
    const path of [
      "/nowhere",
      "/api/v2",
      "/api/v1/gadgets",
      "/apis/none.example/v1/things",
      "/apis/none.example",
      "/api/v1/pods/x",
      "/api/v1/namespaces/default/nodes",
      `${PODS}/x/exec`,
      `${PODS}/x/y/z`,
      "/api/v1/namespaces//pods",
      "/api/v1/namespaces/%zz/pods",
      "/openapi/v3/api/v9",
    ]
  ) await expect("GET", path, 404, "NotFound");
  await expect("POST", "/api/v1/pods", 405, "MethodNotAllowed");
  await expect("POST", `${PODS}/x`, 405, "MethodNotAllowed");
  await expect("PUT", PODS, 405, "MethodNotAllowed");
  await expect("POST", `${PODS}/x/status`, 405, "MethodNotAllowed");
  await expect(
    "GET",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    405,
    "MethodNotAllowed",
  );
});
