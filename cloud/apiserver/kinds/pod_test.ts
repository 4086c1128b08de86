import { assertEquals } from "@std/assert";
import type { KubeObject, Pod } from "../../../shared/k8s/types.ts";
import { POD } from "./pod.ts";
import { isLatest } from "./pod_defaults.ts";
import { created, lines, podBody } from "./testing.ts";

function createErrors(spec: object = {}, container: object = {}): string[] {
  return lines(POD.validateCreate(created(POD, podBody(spec, container))));
}

/** An update as the handlers do it. */
function update(old: KubeObject, change: (pod: Pod) => void, subresource = "") {
  const next = structuredClone(old) as Pod;
  change(next);
  const prepared = POD.prepareUpdate(POD.default(next), old, subresource);
  return { pod: prepared as Pod, errors: lines(POD.validateUpdate(prepared, old, subresource)) };
}

Deno.test("a pod gets its defaults, and getting them twice changes nothing", () => {
  const pod = created(
    POD,
    podBody({ volumes: [{ name: "v" }] }, { ports: [{ containerPort: 80 }] }),
  );
  assertEquals(pod["spec"], {
    containers: [{
      name: "main",
      image: "nginx:1.27",
      ports: [{ containerPort: 80, protocol: "TCP" }],
      terminationMessagePath: "/dev/termination-log",
      terminationMessagePolicy: "File",
      imagePullPolicy: "IfNotPresent",
      resources: {},
    }],
    volumes: [{ name: "v", emptyDir: {} }],
    restartPolicy: "Always",
    dnsPolicy: "ClusterFirst",
    terminationGracePeriodSeconds: 30,
    schedulerName: "default-scheduler",
    securityContext: {},
    enableServiceLinks: true,
  });
  assertEquals(pod["status"], { phase: "Pending", qosClass: "BestEffort" });
  assertEquals(pod.metadata.generation, 1);
  assertEquals(POD.default(pod), pod);
});

Deno.test("probes, limits and host ports are filled in", () => {
  const pod = created(
    POD,
    podBody({ hostNetwork: true }, {
      ports: [{ containerPort: 80 }],
      resources: { limits: { cpu: "1", memory: "1Gi" } },
      livenessProbe: { httpGet: { port: 80 } },
    }),
  ) as Pod;
  const main = pod.spec.containers[0];
  assertEquals(main?.ports?.[0]?.hostPort, 80);
  assertEquals(main?.resources?.requests, { cpu: "1", memory: "1Gi" });
  assertEquals(main?.livenessProbe, {
    httpGet: { port: 80, path: "/", scheme: "HTTP" },
    timeoutSeconds: 1,
    periodSeconds: 10,
    successThreshold: 1,
    failureThreshold: 3,
  });
  assertEquals(pod.status?.qosClass, "Guaranteed");
});

Deno.test("isLatest() reads tags, digests and ports of registries", () => {
  const cases: [string, boolean][] = [
    ["nginx", true],
    ["nginx:latest", true],
    ["nginx:1", false],
    ["host:5000/nginx", true],
    ["host:5000/nginx:1", false],
    ["nginx@sha256:ab", false],
    ["nginx:latest@sha256:ab", false],
  ];
  for (const [image, latest] of cases) assertEquals(isLatest(image), latest, image);
});

Deno.test("a good pod has no errors", () => {
  assertEquals(
    createErrors({
      volumes: [{ name: "v", configMap: { name: "c", items: [{ key: "a", path: "b" }] } }],
      nodeSelector: { "kubernetes.io/hostname": "edge-1" },
      tolerations: [{ operator: "Exists" }],
    }, {
      env: [{ name: "N", valueFrom: { fieldRef: { fieldPath: "metadata.labels['a/b']" } } }],
      envFrom: [{ secretRef: { name: "s" } }],
      volumeMounts: [{ name: "v", mountPath: "/v" }],
      readinessProbe: { tcpSocket: { port: "http" } },
    }),
    [],
  );
});

const MISTAKES: [spec: object, container: object, error: string][] = [
  [{ containers: [] }, {}, "spec.containers: Required value"],
  [{}, { image: "" }, "spec.containers[0].image: Required value"],
  [
    {},
    { volumeMounts: [{ name: "v", mountPath: "/v", mountPropagation: "Bidirectional" }] },
    "spec.containers[0].volumeMounts[0].mountPropagation: Forbidden: Bidirectional mount " +
    "propagation is available only to privileged containers",
  ],
  [
    {},
    { volumeMounts: [{ name: "x", mountPath: "/x" }] },
    'spec.containers[0].volumeMounts[0].name: Not found: "x"',
  ],
  [
    { restartPolicy: "Sometimes" },
    {},
    'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", ' +
    '"OnFailure", "Never"',
  ],
  [
    { securityContext: { fsGroupChangePolicy: "Never" } },
    {},
    'spec.securityContext.fsGroupChangePolicy: Unsupported value: "Never": supported values: ' +
    '"Always", "OnRootMismatch"',
  ],
  [
    {},
    { resources: { requests: { cpu: "2" }, limits: { cpu: "1" } } },
    'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to ' +
    "cpu limit of 1",
  ],
  [
    {},
    { resources: { limits: { memory: "-1Gi" }, requests: { memory: "-2Gi" } } },
    'spec.containers[0].resources.limits[memory]: Invalid value: "-1Gi": must be greater than ' +
    "or equal to 0",
  ],
  [
    {},
    { ports: [{ containerPort: 70000 }] },
    "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and " +
    "65535, inclusive",
  ],
  [
    { terminationGracePeriodSeconds: -1 },
    {},
    "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0",
  ],
  [
    { volumes: [{ name: "v", emptyDir: {}, hostPath: { path: "/x" } }] },
    {},
    "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
  ],
  [
    { volumes: [{ name: "v" }, { name: "v" }] },
    {},
    'spec.volumes[1].name: Duplicate value: "v"',
  ],
  [
    {},
    { livenessProbe: {} },
    "spec.containers[0].livenessProbe: Required value: must specify " +
    "a handler type",
  ],
  [
    {},
    { env: [{ name: "A", value: "x", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }] },
    'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` ' +
    "is not empty",
  ],
  [
    { tolerations: [{ key: "a", operator: "Exists", value: "b" }] },
    {},
    'spec.tolerations[0].operator: Invalid value: "b": value must be empty when `operator` is ' +
    "'Exists'",
  ],
];

Deno.test("what is wrong with a pod is named as the API server names it", () => {
  for (const [spec, container, error] of MISTAKES) {
    assertEquals(createErrors(spec, container).includes(error), true, error);
  }
});

Deno.test("a missing spec is errors, not a crash", () => {
  const errors = lines(POD.validateCreate(created(POD, { metadata: { name: "a b" } })));
  assertEquals(errors.includes("spec.containers: Required value"), true);
  assertEquals(errors.includes("metadata.namespace: Required value"), true);
});

Deno.test("an update may change the image, which raises the generation", () => {
  const old = created(POD, podBody());
  const { pod, errors } = update(old, (next) => next.spec.containers[0]!.image = "nginx:2");
  assertEquals(errors, []);
  assertEquals(pod.metadata.generation, 2);
  assertEquals(update(old, (next) => next.metadata.labels = { a: "b" }).pod.metadata.generation, 1);
});

Deno.test("an update may not change anything else of the spec, and the error says what", () => {
  const old = created(POD, podBody());
  const { errors } = update(old, (next) => next.spec.containers[0]!.command = ["sh"]);
  assertEquals(errors.length, 1);
  assertEquals(
    errors[0]?.startsWith("spec: Forbidden: pod updates may not change fields other than"),
    true,
  );
  assertEquals(errors[0]?.endsWith("changed: spec.containers[0].command"), true);
  assertEquals(update(old, (next) => next.spec.containers.push({ name: "b", image: "i" })).errors, [
    "spec.containers: Forbidden: pod updates may not add or remove containers",
  ]);
});

Deno.test("an update may add tolerations but not take one away", () => {
  const old = created(POD, podBody({ tolerations: [{ key: "a", operator: "Exists" }] }));
  assertEquals(update(old, (next) => next.spec.tolerations!.push({ key: "b" })).errors, []);
  assertEquals(update(old, (next) => next.spec.tolerations = []).errors, [
    "spec.tolerations: Forbidden: existing toleration can not be modified except its " +
    "tolerationSeconds",
  ]);
});

Deno.test("a write to status changes status only, a main write never does", () => {
  const old = created(POD, podBody());
  const change = (next: Pod) => {
    next.status = { phase: "Running" };
    next.spec.containers[0]!.image = "nginx:2";
  };
  const status = update(old, change, "status");
  assertEquals(status.errors, []);
  assertEquals(status.pod.status?.phase, "Running");
  assertEquals(status.pod.spec, (old as Pod).spec);
  const main = update(old, change);
  assertEquals(main.pod.status?.phase, "Pending");
});

Deno.test("a binding sets the node and nothing else", () => {
  const old = created(POD, podBody());
  const { pod, errors } = update(old, (next) => next.spec.nodeName = "edge-1", "binding");
  assertEquals(errors, []);
  assertEquals(pod.spec.nodeName, "edge-1");
  assertEquals(POD.fields(pod)["spec.nodeName"], "edge-1");
});
