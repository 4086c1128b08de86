import { assertEquals, assertThrows } from "@std/assert";
import type { KubeObject, Pod, PodSpec } from "../../shared/k8s/types.ts";
import { admitRuntimeClass } from "./runtime_class_admission.ts";

const CLASSES: Record<string, KubeObject> = {
  plain: { metadata: { name: "plain" }, handler: "runc" },
  kata: {
    metadata: { name: "kata" },
    handler: "kata",
    overhead: { podFixed: { cpu: "250m", memory: "120Mi" } },
    scheduling: {
      nodeSelector: { kata: "yes" },
      tolerations: [{ key: "kata", operator: "Exists" }],
    },
  },
};

function admit(spec: Partial<PodSpec>): PodSpec {
  const pod: Pod = { metadata: { name: "p" }, spec: { containers: [], ...spec } };
  return admitRuntimeClass(pod, (name) => CLASSES[name]).spec;
}

Deno.test("admitRuntimeClass() gives the pod its class's overhead, selector, tolerations", () => {
  assertEquals(admit({}), { containers: [] });
  assertEquals(admit({ runtimeClassName: "plain" }), {
    containers: [],
    runtimeClassName: "plain",
  });
  const tolerations = [{ key: "other" }];
  const spec = { runtimeClassName: "kata", nodeSelector: { disk: "ssd" }, tolerations };
  assertEquals(admit(spec), {
    containers: [],
    runtimeClassName: "kata",
    overhead: { cpu: "250m", memory: "120Mi" },
    nodeSelector: { disk: "ssd", kata: "yes" },
    tolerations: [{ key: "other" }, { key: "kata", operator: "Exists" }],
  });
});

const REFUSED: [Partial<PodSpec>, string][] = [
  [{ runtimeClassName: "none" }, 'pod rejected: RuntimeClass "none" not found'],
  [{ overhead: { cpu: "1" } }, "Pod Overhead set without corresponding RuntimeClass"],
  [{ runtimeClassName: "plain", overhead: { cpu: "1" } }, "Pod Overhead set without"],
  [{ runtimeClassName: "kata", overhead: { cpu: "1" } }, "Pod's Overhead doesn't match"],
  [
    { runtimeClassName: "kata", nodeSelector: { kata: "no" } },
    "conflict: runtimeClass.scheduling.nodeSelector[kata] = yes; pod.spec.nodeSelector[kata] = no",
  ],
];
for (const [spec, message] of REFUSED) {
  Deno.test(`admitRuntimeClass() refuses: ${message}`, () => {
    assertThrows(() => admit(spec), Error, message);
  });
}
