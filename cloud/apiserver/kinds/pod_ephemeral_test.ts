import { assertEquals } from "@std/assert";
import { MIRROR_ANNOTATION } from "../../../shared/k8s/mirror.ts";
import type { EphemeralContainer, KubeObject, Pod } from "../../../shared/k8s/types.ts";
import { POD } from "./pod.ts";
import { created, lines, podBody } from "./testing.ts";

const DEBUGGER = { name: "debugger", image: "busybox:1.36", targetContainerName: "main" };

/** A write to pods/ephemeralcontainers, as the handlers do it. */
function write(old: KubeObject, ephemeral: object[], change: (pod: Pod) => void = () => {}) {
  const next = structuredClone(old) as Pod;
  next.spec.ephemeralContainers = ephemeral as EphemeralContainer[];
  change(next);
  const prepared = POD.prepareUpdate(POD.default(next), old, "ephemeralcontainers") as Pod;
  const errors = lines(POD.validateUpdate(prepared, old, "ephemeralcontainers"));
  return { pod: prepared, errors };
}

Deno.test("an ephemeral container is added, with defaults, and nothing else is taken", () => {
  const old = created(POD, podBody());
  const { pod, errors } = write(old, [DEBUGGER], (next) => {
    next.spec.containers[0]!.image = "other:1";
    next.metadata.labels = { a: "b" };
  });
  assertEquals(errors, []);
  assertEquals(pod.metadata.generation, 2);
  assertEquals(pod.metadata.labels, undefined);
  assertEquals(pod.spec.containers[0]?.image, "nginx:1.27");
  assertEquals(pod.spec.ephemeralContainers?.[0], {
    ...DEBUGGER,
    imagePullPolicy: "IfNotPresent",
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    resources: {},
  });
});

const CASES: [string, object, string[]][] = [
  ["ports", { ports: [{ containerPort: 80 }] }, [
    "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
  ]],
  ["a probe", { livenessProbe: { exec: { command: ["a"] } } }, [
    "spec.ephemeralContainers[0].livenessProbe: Forbidden: " +
    "cannot be set for an Ephemeral Container",
  ]],
  ["resources", { resources: { limits: { cpu: "1" } } }, [
    "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container",
  ]],
  ["a hook", { lifecycle: { preStop: { exec: { command: ["a"] } } } }, [
    "spec.ephemeralContainers[0].lifecycle: Forbidden: cannot be set for an Ephemeral Container",
  ]],
  ["a taken name", { name: "main" }, [
    'spec.ephemeralContainers[0].name: Duplicate value: "main"',
  ]],
  ["an unknown target", { targetContainerName: "who" }, [
    'spec.ephemeralContainers[0].targetContainerName: Not found: "who"',
  ]],
  ["no image", { image: "" }, ["spec.ephemeralContainers[0].image: Required value"]],
];
for (const [what, change, expected] of CASES) {
  Deno.test(`an ephemeral container with ${what} is refused`, () => {
    assertEquals(write(created(POD, podBody()), [{ ...DEBUGGER, ...change }]).errors, expected);
  });
}

Deno.test("ephemeral containers stay as they are once added", () => {
  const { pod } = write(created(POD, podBody()), [DEBUGGER]);
  const second = { ...DEBUGGER, name: "second" };
  assertEquals(write(pod, [...pod.spec.ephemeralContainers!, second]).errors, []);
  assertEquals(write(pod, []).errors, [
    'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debugger" may not be ' +
    "removed",
  ]);
  assertEquals(write(pod, [{ ...DEBUGGER, image: "other:1" }]).errors, [
    'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debugger" may not be ' +
    "changed",
  ]);
});

Deno.test("a static pod takes no ephemeral containers", () => {
  const old = created(POD, podBody());
  old.metadata.annotations = { [MIRROR_ANNOTATION]: "abc" };
  assertEquals(write(old, [DEBUGGER]).errors, [
    "spec.ephemeralContainers: Forbidden: ephemeral containers may not be added to a static pod",
  ]);
});

Deno.test("restart rules of a container need its own policy, and codes", () => {
  const rule = { action: "Restart", exitCodes: { operator: "In", values: [42] } };
  const errors = (container: object) =>
    lines(POD.validateCreate(created(POD, podBody({}, container))));
  assertEquals(errors({ restartPolicy: "Never", restartPolicyRules: [rule] }), []);
  assertEquals(errors({ restartPolicyRules: [rule] }), [
    "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart " +
    "rules are used",
  ]);
  assertEquals(
    errors({ restartPolicy: "Never", restartPolicyRules: [{ action: "Restart" }] }),
    ["spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified"],
  );
});
