import { assert, assertEquals } from "@std/assert";
import { findMessage } from "../schema/message_table.ts";
import { CONFIG_MAP } from "./config_map.ts";
import { EVENT } from "./event.ts";
import { invalidStatus } from "./field_error.ts";
import { LEASE } from "./lease.ts";
import { NAMESPACE } from "./namespace.ts";
import { SERVICE } from "./network_kinds.ts";
import { NODE } from "./node.ts";
import { allKinds, findKind } from "./registry.ts";
import { SECRET } from "./secret.ts";
import { created, lines } from "./testing.ts";

const meta = (name = "a") => ({ name, namespace: "default" });

Deno.test("every kind is found by its path and has a message", () => {
  for (const kind of allKinds()) {
    assertEquals(findKind(kind.group, kind.version, kind.plural), kind);
    assert(findMessage(kind.schema)?.fields.has("metadata"), kind.kind);
    assertEquals(Object.keys(kind.fields({ metadata: {}, spec: {} })), [...kind.selectableFields]);
  }
  assertEquals(findKind("", "v1", "gadgets"), undefined);
});

Deno.test("names, labels, annotations and namespaces follow the rules", () => {
  const errors = (metadata: object) =>
    lines(CONFIG_MAP.validateCreate(created(CONFIG_MAP, { metadata })));
  assertEquals(errors({ ...meta(), labels: { "a/b": "c" } }), []);
  assertEquals(errors({ namespace: "x" }), [
    "metadata.name: Required value: name or generateName is required",
  ]);
  assert(errors(meta("A"))[0]?.startsWith('metadata.name: Invalid value: "A": a lowercase RFC'));
  assert(errors({ ...meta(), labels: { "a b": "c" } })[0]?.startsWith("metadata.labels: Invalid"));
  assertEquals(errors({ ...meta(), annotations: { a: "x".repeat(262_144) } }), [
    "metadata.annotations: Too long: may not be more than 262144 bytes",
  ]);
  assertEquals(
    lines(NODE.validateCreate(created(NODE, { metadata: meta() }))),
    ["metadata.namespace: Forbidden: not allowed on this type"],
  );
});

Deno.test("an update cannot change identity nor add finalizers while deleting", () => {
  const old = created(CONFIG_MAP, { metadata: meta() });
  const stored = { ...old, metadata: { ...old.metadata, uid: "1", deletionTimestamp: "t" } };
  const next = { ...old, metadata: { ...meta("b"), uid: "2", finalizers: ["x/y"] } };
  const prepared = CONFIG_MAP.prepareUpdate(next, stored, "");
  assertEquals(prepared.metadata.deletionTimestamp, "t");
  assertEquals(lines(CONFIG_MAP.validateUpdate(prepared, stored, "")), [
    "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being " +
    'deleted, found new finalizers []string{"x/y"}',
    'metadata.name: Invalid value: "b": field is immutable',
    'metadata.uid: Invalid value: "2": field is immutable',
  ]);
});

Deno.test("an immutable config map stays as it is", () => {
  const old = created(CONFIG_MAP, { metadata: meta(), data: { a: "1" }, immutable: true });
  const detail = "Forbidden: field is immutable when `immutable` is set";
  assertEquals(lines(CONFIG_MAP.validateUpdate({ ...old, data: {} }, old, "")), [
    `data: ${detail}`,
  ]);
  assertEquals(lines(CONFIG_MAP.validateUpdate({ ...old, immutable: false }, old, "")), [
    `immutable: ${detail}`,
  ]);
  assertEquals(CONFIG_MAP.validateUpdate(old, old, ""), []);
});

Deno.test("config keys and the size of data are bounded", () => {
  const body = { metadata: meta(), data: { "a b": "x".repeat(1_048_577) } };
  const errors = lines(CONFIG_MAP.validateCreate(created(CONFIG_MAP, body)));
  assertEquals(errors[0], "[]: Too long: may not be more than 1048576 bytes");
  assert(errors[1]?.startsWith('data[a b]: Invalid value: "a b": a valid config key'));
});

Deno.test("stringData wins over data and is not stored; the type is for good", () => {
  const secret = created(SECRET, {
    metadata: meta(),
    data: { a: btoa("1"), b: btoa("2") },
    stringData: { a: "ü" },
  });
  assertEquals(secret["data"], { a: "w7w=", b: btoa("2") });
  assertEquals(secret["stringData"], undefined);
  assertEquals(secret["type"], "Opaque");
  assertEquals(lines(SECRET.validateUpdate({ ...secret, type: "x" }, secret, "")), [
    'type: Invalid value: "x": field is immutable',
  ]);
});

Deno.test("a secret of a known type must hold its keys", () => {
  const body = { metadata: meta(), type: "kubernetes.io/tls", data: { "tls.crt": "" } };
  assertEquals(lines(SECRET.validateCreate(created(SECRET, body))), [
    "data[tls.key]: Required value",
  ]);
});

Deno.test("a namespace is labelled with its name and active", () => {
  const namespace = created(NAMESPACE, { metadata: { name: "x" } });
  assertEquals(namespace.metadata.labels, { "kubernetes.io/metadata.name": "x" });
  assertEquals(namespace["status"], { phase: "Active" });
  const finalized = NAMESPACE.prepareUpdate({ ...namespace, spec: {} }, namespace, "finalize");
  assertEquals(finalized["spec"], {});
});

Deno.test("a node brings its status, and its taints are checked", () => {
  const node = created(NODE, {
    metadata: { name: "n" },
    spec: { taints: [{ key: "a", effect: "Never" }, { key: "a", effect: "NoSchedule" }] },
    status: { capacity: { cpu: "2" } },
  });
  assertEquals(node["status"], { capacity: { cpu: "2" }, allocatable: { cpu: "2" } });
  assertEquals(lines(NODE.validateCreate(node)), [
    'spec.taints[0].effect: Unsupported value: "Never": supported values: "NoSchedule", ' +
    '"PreferNoSchedule", "NoExecute"',
  ]);
});

Deno.test("events live with what they are about; leases last longer than nothing", () => {
  const event = created(EVENT, {
    metadata: meta("web.17"),
    involvedObject: { kind: "Pod", namespace: "other", name: "web" },
  });
  assertEquals(lines(EVENT.validateCreate(event)), [
    'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
  ]);
  assertEquals(EVENT.fields(event)["involvedObject.name"], "web");
  const lease = created(LEASE, { metadata: meta(), spec: { leaseDurationSeconds: 0 } });
  assertEquals(lines(LEASE.validateCreate(lease)), [
    "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
  ]);
});

Deno.test("a service gets its defaults", () => {
  const service = created(SERVICE, { metadata: meta(), spec: { ports: [{ port: 80 }] } });
  assertEquals(service["spec"], {
    ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
    sessionAffinity: "None",
    type: "ClusterIP",
    internalTrafficPolicy: "Cluster",
  });
  assertEquals(SERVICE.validateCreate(service), []);
});

Deno.test("invalidStatus() is what kubectl prints", () => {
  const errors = CONFIG_MAP.validateCreate({ metadata: { namespace: "a" } });
  assertEquals(invalidStatus(CONFIG_MAP, "x", errors), {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message:
      'ConfigMap "x" is invalid: metadata.name: Required value: name or generateName is required',
    reason: "Invalid",
    details: {
      name: "x",
      kind: "ConfigMap",
      causes: [{
        reason: "FieldValueRequired",
        message: "Required value: name or generateName is required",
        field: "metadata.name",
      }],
    },
    code: 422,
  });
});
