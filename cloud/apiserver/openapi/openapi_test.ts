import { assert, assertEquals } from "@std/assert";
import { isJsonObject } from "../../../shared/json/json.ts";
import { openapiDocument, openapiIndex } from "./openapi.ts";

/** The value at a path of keys. */
function at(value: unknown, ...path: string[]): unknown {
  return path.reduce((found, key) => isJsonObject(found) ? found[key] : undefined, value);
}

const CORE = "io.k8s.api.core.v1";

Deno.test("the index names a document for each group and version", () => {
  const paths = at(openapiIndex(), "paths");
  assert(isJsonObject(paths));
  assertEquals(Object.keys(paths).slice(0, 2), ["api/v1", "apis/coordination.k8s.io/v1"]);
  assert(paths["apis/devices.kubeedge.io/v1beta1"]);
  const url = String(at(paths, "api/v1", "serverRelativeURL"));
  assert(/^\/openapi\/v3\/api\/v1\?hash=[0-9A-F]{16}$/.test(url), url);
  assertEquals(openapiDocument("apps", "v9"), undefined);
});

Deno.test("every reference in a document leads somewhere", () => {
  for (const [group, version] of [["", "v1"], ["coordination.k8s.io", "v1"]] as const) {
    const document = openapiDocument(group, version);
    const schemas = at(document, "components", "schemas");
    assert(isJsonObject(schemas));
    const references = JSON.stringify(document).matchAll(
      /"\$ref":"#\/components\/schemas\/([^"]+)"/g,
    );
    for (const [, name] of references) assert(schemas[name!], name);
  }
});

Deno.test("patches name their kind, take fieldValidation and list their formats", () => {
  const path = "/api/v1/namespaces/{namespace}/pods/{name}";
  const patch = at(openapiDocument("", "v1"), "paths", path, "patch");
  assertEquals(at(patch, "x-kubernetes-group-version-kind"), {
    group: "",
    version: "v1",
    kind: "Pod",
  });
  assert(JSON.stringify(at(patch, "parameters")).includes('"name":"fieldValidation"'));
  const content = at(patch, "requestBody", "content");
  assert(isJsonObject(content) && content["application/strategic-merge-patch+json"]);
});

Deno.test("schemas tell kinds, required fields and how lists merge", () => {
  const schemas = at(openapiDocument("", "v1"), "components", "schemas");
  const pod = at(schemas, `${CORE}.Pod`);
  assertEquals(at(pod, "x-kubernetes-group-version-kind"), [
    { group: "", version: "v1", kind: "Pod" },
  ]);
  assertEquals(at(pod, "properties", "spec", "allOf"), [
    { $ref: `#/components/schemas/${CORE}.PodSpec` },
  ]);
  const spec = at(schemas, `${CORE}.PodSpec`);
  assertEquals(at(spec, "required"), ["containers"]);
  const volumes = at(spec, "properties", "volumes");
  assertEquals(at(volumes, "x-kubernetes-patch-merge-key"), "name");
  assertEquals(at(volumes, "x-kubernetes-patch-strategy"), "merge,retainKeys");
});
