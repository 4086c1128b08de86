import { assertEquals, assertThrows } from "@std/assert";
import { fc } from "../../../shared/testing/property.ts";
import { AppError } from "../../../shared/errors.ts";
import { decodeProtobuf } from "./decode_protobuf.ts";
import * as bodies from "./testdata/kubectl_bodies.ts";

function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(hex.match(/../g)?.map((pair) => parseInt(pair, 16)) ?? []);
}

Deno.test("decodeProtobuf() reads kubectl's namespace; empty strings are absent", () => {
  assertEquals(decodeProtobuf(bytesOf(bodies.NAMESPACE_BYTES)), {
    apiVersion: "v1",
    kind: "Namespace",
    object: {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "nnx" },
      spec: {},
      status: {},
    },
  });
});

Deno.test("decodeProtobuf() reads maps of text and of bytes", () => {
  assertEquals(decodeProtobuf(bytesOf(bodies.CONFIG_MAP_BYTES)).object["data"], {
    a: "1",
    b: "zwei",
  });
  assertEquals(decodeProtobuf(bytesOf(bodies.SECRET_BYTES)).object, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "s1" },
    data: { p: btoa("geheim") },
  });
});

Deno.test("decodeProtobuf() reads IntOrString and drops zeros of plain fields", () => {
  const { object } = decodeProtobuf(bytesOf(bodies.SERVICE_BYTES));
  assertEquals(object["spec"], {
    ports: [{ name: "80-8080", protocol: "TCP", port: 80, targetPort: 8080 }],
    selector: { app: "svc1" },
    type: "ClusterIP",
  });
});

Deno.test("decodeProtobuf() keeps a zero behind a pointer: a deployment of no replicas", () => {
  const { object } = decodeProtobuf(bytesOf(bodies.DEPLOYMENT_BYTES));
  assertEquals(object["spec"], {
    replicas: 0,
    selector: { matchLabels: { app: "d1" } },
    template: {
      metadata: { labels: { app: "d1" } },
      spec: {
        containers: [
          { name: "nginx", image: "nginx:1", ports: [{ containerPort: 80 }], resources: {} },
        ],
      },
    },
    strategy: {},
  });
});

Deno.test("decodeProtobuf() reads a whole pod with an inlined volume source", () => {
  const { object } = decodeProtobuf(bytesOf(bodies.DEBUG_POD_BYTES));
  assertEquals(object["spec"], {
    volumes: [{ name: "host-root", hostPath: { path: "/" } }],
    containers: [{
      name: "debugger",
      image: "busybox",
      resources: {},
      volumeMounts: [{ name: "host-root", mountPath: "/host" }],
      terminationMessagePolicy: "File",
    }],
    restartPolicy: "Never",
    nodeName: "n1",
    hostNetwork: true,
    hostPID: true,
    hostIPC: true,
    tolerations: [{ operator: "Exists" }],
  });
});

Deno.test("decodeProtobuf() refuses what is no envelope or no known kind", () => {
  const refused = (bytes: Uint8Array, text: string) =>
    assertThrows(() => decodeProtobuf(bytes), AppError, text);
  refused(new Uint8Array(), "must begin with");
  refused(new TextEncoder().encode('{"kind":"Pod"}'), "must begin with");
  refused(bytesOf(bodies.NAMESPACE_BYTES.replace("0a0f0a027631", "0a0f0a027632")), "no kind");
});

Deno.test("decodeProtobuf() answers any cut or flipped body with a value or a BadRequest", () => {
  const whole = bytesOf(bodies.DEBUG_POD_BYTES);
  fc.assert(
    fc.property(
      fc.nat(whole.length - 1),
      fc.nat(whole.length - 1),
      fc.nat(255),
      (length, at, value) => {
        const bytes = whole.slice(0, length);
        if (at < length) bytes[at] = value;
        try {
          decodeProtobuf(bytes);
        } catch (error) {
          assertEquals(error instanceof AppError && error.facts["reason"], "BadRequest");
        }
      },
    ),
    { numRuns: 2_000 },
  );
});
