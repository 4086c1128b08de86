import { assert, assertEquals, assertMatch } from "@std/assert";
import { SYSTEM } from "./authorize.ts";
import { testServer } from "./testing.ts";

const AUTH = "/apis/authorization.k8s.io/v1";
const reader = { username: "reader", groups: ["system:authenticated"] };

Deno.test("access: without credentials only health and version are told", async () => {
  await using api = await testServer();
  for (const path of ["/healthz", "/livez", "/readyz", "/version"]) {
    assertEquals((await api.server.app.request(path)).status, 200, path);
  }
  for (const path of ["/api", "/apis", "/api/v1/pods", "/openapi/v3", "/nowhere"]) {
    const response = await api.server.app.request(path);
    assertEquals([response.status, (await response.json()).reason], [401, "Unauthorized"], path);
  }
});

Deno.test("access: the authenticator sees header and certificate, and is believed", async () => {
  const seen: unknown[] = [];
  await using api = await testServer({
    authenticator: {
      authenticate: (...credentials) => {
        seen.push(credentials);
        return Promise.resolve({ username: "root", groups: ["system:masters"] });
      },
    },
  });
  const clientCertificate = { commonName: "root", organizations: ["system:masters"] };
  const headers = { authorization: "Bearer x" };
  const request = new Request("http://test/api/v1/nodes", { headers });
  assertEquals((await api.server.app.fetch(request, { clientCertificate })).status, 200);
  assertEquals(seen, [["Bearer x", clientCertificate]]);
});

Deno.test("access: who is not an administrator is told what it may not do", async () => {
  await using api = await testServer();
  const path = "/api/v1/namespaces/default/pods/x";
  const { body } = await api.call("DELETE", path, undefined, { user: reader, expect: 403 });
  assertEquals(
    body.message,
    'pods "x" is forbidden: User "reader" cannot delete resource "pods" in API group "" in the ' +
      'namespace "default"',
  );
  const watch = await api.call("GET", "/api/v1/nodes?watch=true", undefined, { user: reader });
  assertMatch(watch.body.message, /cannot watch resource "nodes" .* at the cluster scope/);
  await api.call("GET", "/apis", undefined, { user: reader, expect: 200 });
});

Deno.test("access: an administrator acting as another has no more than that one", async () => {
  await using api = await testServer();
  const pods = "/api/v1/namespaces/default/pods";
  const asBob = { "impersonate-user": "bob" };
  const { body } = await api.call("GET", pods, undefined, { headers: asBob, expect: 403 });
  assertMatch(body.message, /User "bob" cannot list/);
  const admins = { ...asBob, "impersonate-group": "dev,system:masters" };
  await api.call("GET", pods, undefined, { headers: admins, expect: 200 });
  await api.call("GET", pods, undefined, { headers: admins, user: reader, expect: 403 });
  const group = { "impersonate-group": "dev" };
  await api.call("GET", pods, undefined, { headers: group, expect: 400 });
});

Deno.test("paths: a part of a pod that is not served is named", async () => {
  await using api = await testServer();
  const path = "/api/v1/namespaces/default/pods/x/exec?command=ls";
  const { body } = await api.call("POST", path, undefined, { expect: 404 });
  assertEquals(body.message, "the server does not serve pods/exec");
});

Deno.test("reviews: say who one is and what one may do", async () => {
  await using api = await testServer();
  const who = await api.call(
    "POST",
    "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    { kind: "SelfSubjectReview", apiVersion: "authentication.k8s.io/v1" },
    { user: reader, expect: 201 },
  );
  assertEquals(who.body.status.userInfo, reader);
  const may = async (spec: unknown, user = reader) =>
    (await api.call("POST", `${AUTH}/selfsubjectaccessreviews`, { spec }, { user })).body.status
      ?.allowed;
  const pods = { resourceAttributes: { verb: "get", resource: "pods", namespace: "default" } };
  assertEquals([await may(pods), await may(pods, SYSTEM)], [false, true]);
  assertEquals(await may({ nonResourceAttributes: { verb: "get", path: "/apis/x" } }), true);
  assertEquals(await may({ nonResourceAttributes: { verb: "get", path: "/metrics" } }), false);
  assertEquals(await may({}), undefined);
  const rules = await api.call("POST", `${AUTH}/selfsubjectrulesreviews`, {
    spec: { namespace: "default" },
  });
  assert(
    rules.body.status.resourceRules.some((rule: { resources: string[] }) =>
      rule.resources.includes("*")
    ),
  );
});

Deno.test("discovery: a slash at the end changes nothing", async () => {
  await using api = await testServer();
  for (const path of ["/version", "/api", "/api/v1", "/apis", "/apis/coordination.k8s.io/v1"]) {
    const plain = await api.call("GET", path, undefined, { expect: 200 });
    const slash = await api.call("GET", `${path}/`, undefined, { expect: 200 });
    assertEquals(slash.body, plain.body);
  }
});

Deno.test("discovery: aggregated in the version asked for, else plain", async () => {
  await using api = await testServer();
  const range = (v: string) =>
    `application/json;g=apidiscovery.k8s.io;v=${v};as=APIGroupDiscoveryList`;
  for (const v of ["v2", "v2beta1"]) {
    const accept = `${range(v)},application/json`;
    const { headers, body } = await api.call("GET", "/api", undefined, { headers: { accept } });
    assertEquals(headers.get("content-type"), range(v));
    assertEquals(body.apiVersion, `apidiscovery.k8s.io/${v}`);
    const { resources } = body.items[0].versions[0];
    const pods = resources.find(({ resource }: { resource: string }) => resource === "pods");
    assertEquals([pods.scope, pods.responseKind.kind], ["Namespaced", "Pod"]);
    const names = pods.subresources.map((sub: { subresource: string }) => sub.subresource);
    for (const name of ["binding", "eviction", "log", "status"]) assert(names.includes(name), name);
  }
  assertEquals((await api.call("GET", "/api")).body.versions, ["v1"]);
  const groups = (await api.call("GET", "/apis")).body.groups;
  const lease = groups.find(({ name }: { name: string }) => name === "coordination.k8s.io");
  assertEquals(lease.preferredVersion, { groupVersion: "coordination.k8s.io/v1", version: "v1" });
  const core = (await api.call("GET", "/api/v1")).body.resources;
  const eviction = core.find(({ name }: { name: string }) => name === "pods/eviction");
  assertEquals([eviction.group, eviction.version, eviction.kind], ["policy", "v1", "Eviction"]);
  assertEquals((await api.call("GET", "/apis/coordination.k8s.io")).body.kind, "APIGroup");
  assertEquals((await api.call("GET", "/apis/coordination.k8s.io/v1")).body.resources.length, 1);
});

Deno.test("openapi: v2 is empty with kubectl's type, v3 leads to documents", async () => {
  await using api = await testServer();
  const v2 = await api.call("GET", "/openapi/v2", undefined, { expect: 200 });
  assertEquals(v2.body, "");
  assertMatch(v2.headers.get("content-type") ?? "", /proto-openapi/);
  const { paths } = (await api.call("GET", "/openapi/v3")).body;
  for (const { serverRelativeURL } of Object.values(paths) as { serverRelativeURL: string }[]) {
    assertEquals((await api.call("GET", serverRelativeURL)).body.openapi, "3.0.0");
  }
  assert(paths["api/v1"]);
});

Deno.test("version: names a Kubernetes kubectl knows, and ours", async () => {
  await using api = await testServer({ notReady: () => "the store is closed" });
  const version = (await api.call("GET", "/version")).body;
  assertEquals(version.gitVersion, "v1.33.0+skerry.0.1.0");
  const ready = await api.call("GET", "/readyz", undefined, { expect: 503 });
  assertEquals(ready.body, "not ready: the store is closed\n");
});
