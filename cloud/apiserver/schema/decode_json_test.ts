import { assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../../../shared/errors.ts";
import { decodeJson, type FieldValidation } from "./decode_json.ts";
import { duplicateKeys } from "./duplicate_keys.ts";

const POD = { group: "", version: "v1", kind: "Pod", schema: "Pod" };

function decode(spec: unknown, fieldValidation: FieldValidation = "Strict", text?: string) {
  const value = { apiVersion: "v1", kind: "Pod", metadata: { name: "a" }, spec };
  return decodeJson(
    POD,
    value,
    text === undefined ? { fieldValidation } : { fieldValidation, text },
  );
}

function messageOf(work: () => unknown): string {
  const error = assertThrows(work, AppError);
  assertEquals(error.facts["reason"], "BadRequest");
  return error.message.replace('Pod in version "v1" cannot be handled as a Pod: ', "");
}

Deno.test("decodeJson() names unknown fields with their path, all of them", () => {
  const spec = { containers: [{ name: "a", imagee: "b" }], x: 1 };
  assertEquals(
    messageOf(() => decode(spec)),
    'strict decoding error: unknown field "spec.containers[0].imagee", unknown field "spec.x"',
  );
});

Deno.test("decodeJson() prunes unknown fields and warns, or is silent", () => {
  const spec = { containers: [], x: 1 };
  assertEquals(decode(spec, "Warn").warnings, ['unknown field "spec.x"']);
  assertEquals(decode(spec, "Warn").object["spec"], { containers: [] });
  assertEquals(decode(spec, "Ignore").warnings, []);
  assertEquals(decode(spec, "Ignore").object["spec"], { containers: [] });
});

Deno.test("decodeJson() finds duplicate keys in the raw text", () => {
  const text = '{"spec":{"containers":[],"containers":[]}}';
  assertEquals(
    messageOf(() => decode({}, "Strict", text)),
    'strict decoding error: duplicate field "spec.containers"',
  );
  assertEquals(duplicateKeys('{"a":[{"b":"{\\"c\\":1,"},{"b":1,"\\u0062":2}],"a":0}', 9), [
    "a[1].b",
    "a",
  ]);
});

Deno.test("decodeJson() names field and expected type of a wrong value", () => {
  const cases: [unknown, string][] = [
    [
      { containers: [{ ports: [{ containerPort: "80" }] }] },
      "json: cannot unmarshal string into Go struct field " +
      "ContainerPort.spec.containers.ports.containerPort of type int32",
    ],
    ["x", "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"],
    [
      { containers: {} },
      "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type " +
      "[]v1.Container",
    ],
    [
      { terminationGracePeriodSeconds: 1.5 },
      "json: cannot unmarshal number 1.5 into Go struct field " +
      "PodSpec.spec.terminationGracePeriodSeconds of type int64",
    ],
    [
      { nodeSelector: { a: 1 } },
      "json: cannot unmarshal number into Go struct field PodSpec.spec.nodeSelector of type string",
    ],
    [
      { containers: [{ resources: { limits: { cpu: "one" } } }] },
      "spec.containers[0].resources.limits[cpu]: quantities must match the regular expression " +
      "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ],
  ];
  for (const [spec, text] of cases) assertEquals(messageOf(() => decode(spec)), text);
});

Deno.test("decodeJson() drops null and brings leaves to their stored form", () => {
  const { object } = decodeJson(POD, {
    metadata: {
      name: "a",
      creationTimestamp: null,
      deletionTimestamp: "2026-01-02T03:04:05.678+01:00",
    },
    spec: { containers: [{ resources: { limits: { cpu: 0.5, memory: "1024Mi" } } }] },
  }, { fieldValidation: "Strict" });
  assertEquals(object, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "a", deletionTimestamp: "2026-01-02T02:04:05Z" },
    spec: { containers: [{ resources: { limits: { cpu: "500m", memory: "1Gi" } } }] },
  });
});

Deno.test("decodeJson() refuses another kind, another version, and what is no object", () => {
  const options = { fieldValidation: "Strict" } as const;
  assertEquals(
    messageOf(() => decodeJson(POD, { apiVersion: "v1", kind: "Node" }, options)),
    "the kind in the data (Node) does not match the expected kind (Pod)",
  );
  assertEquals(
    messageOf(() => decodeJson(POD, { apiVersion: "v2" }, options)),
    "the API version in the data (v2) does not match the expected API version (v1)",
  );
  assertEquals(
    messageOf(() => decodeJson(POD, [], options)),
    "json: cannot unmarshal array into Go value of type v1.Pod",
  );
});

Deno.test("decodeJson() refuses data that is not base64", () => {
  const secret = { group: "", version: "v1", kind: "Secret", schema: "Secret" };
  const read = (data: string) =>
    decodeJson(secret, { data: { a: data } }, { fieldValidation: "Strict" }).object["data"];
  assertEquals(read("aGk="), { a: "aGk=" });
  for (const bad of ["a b", "aGk", "aG=k"]) {
    assertThrows(() => read(bad), AppError, "data[a]: illegal");
  }
});
