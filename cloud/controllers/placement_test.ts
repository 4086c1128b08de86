import { assert, assertEquals } from "@std/assert";
import { fc } from "../../shared/testing/property.ts";
import type { Node, NodeSelectorTerm, Pod, Taint, Toleration } from "../../shared/k8s/types.ts";
import { NodeViews } from "./node_view.ts";
import { placePod } from "./placement.ts";
import { podRequests } from "./pod_requests.ts";
import { sampleNode, samplePod } from "./testing/samples.ts";

function place(pod: Pod, nodes: Node[], bound: [Pod, string][] = []): string {
  const views = new NodeViews();
  for (const node of nodes) views.setNode(node);
  bound.forEach(([held, node], i) =>
    views.hold({ ...held, metadata: { ...held.metadata, uid: `held-${i}` } }, node)
  );
  const placement = placePod(pod, views.views());
  return placement.kind === "place" ? placement.node : placement.message;
}

function asking(requests: Record<string, string>, name = "web"): Pod {
  return samplePod(name, { containers: [{ name: "c", resources: { requests } }] });
}

function labelled(name: string, labels: Record<string, string>): Node {
  return sampleNode(name, { metadata: { name, labels } });
}

function tainted(name: string, ...taints: Taint[]): Node {
  return sampleNode(name, { spec: { taints } });
}

const AFFINITY_FAULT = "0/1 nodes are available: 1 node(s) didn't match Pod's node " +
  "affinity/selector.";

Deno.test("placePod() says when there are no nodes", () => {
  assertEquals(place(samplePod("web"), []), "no nodes available to schedule pods");
});

Deno.test("placePod() goes to the node with more free", () => {
  const nodes = [sampleNode("a"), sampleNode("b")];
  assertEquals(place(samplePod("web"), nodes, [[asking({ cpu: "1" }), "a"]]), "b");
  assertEquals(place(samplePod("web"), nodes, [[samplePod("x"), "a"]]), "b");
  assertEquals(place(samplePod("web"), nodes), "a");
});

Deno.test("placePod() follows nodeSelector", () => {
  const pod = samplePod("web", { nodeSelector: { disk: "ssd" } });
  assertEquals(place(pod, [labelled("a", {}), labelled("b", { disk: "ssd" })]), "b");
  assertEquals(place(pod, [labelled("a", { disk: "hdd" })]), AFFINITY_FAULT);
});

const TERMS: [string, NodeSelectorTerm, boolean][] = [
  ["In", { matchExpressions: [{ key: "k", operator: "In", values: ["5", "6"] }] }, true],
  ["In, other", { matchExpressions: [{ key: "k", operator: "In", values: ["6"] }] }, false],
  ["NotIn", { matchExpressions: [{ key: "k", operator: "NotIn", values: ["6"] }] }, true],
  ["NotIn, there", { matchExpressions: [{ key: "k", operator: "NotIn", values: ["5"] }] }, false],
  ["NotIn, absent", { matchExpressions: [{ key: "z", operator: "NotIn", values: ["5"] }] }, true],
  ["Exists", { matchExpressions: [{ key: "k", operator: "Exists" }] }, true],
  ["Exists, absent", { matchExpressions: [{ key: "z", operator: "Exists" }] }, false],
  ["DoesNotExist", { matchExpressions: [{ key: "z", operator: "DoesNotExist" }] }, true],
  ["Gt", { matchExpressions: [{ key: "k", operator: "Gt", values: ["4"] }] }, true],
  ["Gt, equal", { matchExpressions: [{ key: "k", operator: "Gt", values: ["5"] }] }, false],
  ["Lt", { matchExpressions: [{ key: "k", operator: "Lt", values: ["10"] }] }, true],
  ["Lt, not a number", { matchExpressions: [{ key: "w", operator: "Lt", values: ["1"] }] }, false],
  ["name", { matchFields: [{ key: "metadata.name", operator: "In", values: ["a"] }] }, true],
  [
    "name, other",
    { matchFields: [{ key: "metadata.name", operator: "NotIn", values: ["a"] }] },
    false,
  ],
  ["both, one fails", {
    matchExpressions: [{ key: "k", operator: "Exists" }, { key: "z", operator: "Exists" }],
  }, false],
  ["empty term", {}, false],
];

for (const [name, term, isMatch] of TERMS) {
  Deno.test(`required node affinity: ${name}`, () => {
    const pod = samplePod("web", {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] },
        },
      },
    });
    assertEquals(
      place(pod, [labelled("a", { k: "5", w: "word" })]),
      isMatch ? "a" : AFFINITY_FAULT,
    );
  });
}

Deno.test("preferred node affinity outweighs free room", () => {
  const pod = samplePod("web", {
    affinity: {
      nodeAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [{
          weight: 10,
          preference: { matchExpressions: [{ key: "zone", operator: "In", values: ["x"] }] },
        }],
      },
    },
  });
  const nodes = [labelled("a", {}), labelled("b", { zone: "x" })];
  assertEquals(place(pod, nodes, [[asking({ cpu: "1" }), "b"]]), "b");
});

const GPU: Taint = { key: "gpu", value: "yes", effect: "NoSchedule" };
const TOLERATIONS: [string, Toleration, boolean][] = [
  ["Equal", { key: "gpu", operator: "Equal", value: "yes", effect: "NoSchedule" }, true],
  ["Equal is the default", { key: "gpu", value: "yes" }, true],
  ["Equal, other value", { key: "gpu", value: "no" }, false],
  ["Exists", { key: "gpu", operator: "Exists" }, true],
  ["Exists for everything", { operator: "Exists" }, true],
  ["other effect", { key: "gpu", operator: "Exists", effect: "NoExecute" }, false],
  ["no key needs Exists", { value: "yes" }, false],
];

for (const [name, toleration, isTolerated] of TOLERATIONS) {
  Deno.test(`tolerations: ${name}`, () => {
    const pod = samplePod("web", { tolerations: [toleration] });
    const refusal = "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}.";
    assertEquals(place(pod, [tainted("a", GPU)]), isTolerated ? "a" : refusal);
  });
}

Deno.test("PreferNoSchedule only lowers the score", () => {
  const soft: Taint = { key: "soft", effect: "PreferNoSchedule" };
  assertEquals(place(samplePod("web"), [tainted("a", soft), sampleNode("b")]), "b");
  assertEquals(place(samplePod("web"), [tainted("a", soft)]), "a");
});

Deno.test("a node that is not Ready, or cordoned, takes nothing unless tolerated", () => {
  const unknown = sampleNode("a", {
    status: { conditions: [{ type: "Ready", status: "Unknown" }] },
  });
  const silent = sampleNode("b", { status: { conditions: [] } });
  const cordoned = sampleNode("c", { spec: { unschedulable: true } });
  assertEquals(
    place(samplePod("web"), [unknown, silent, cordoned]),
    "0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, " +
      "1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, " +
      "1 node(s) were unschedulable.",
  );
  const brave = samplePod("web", { tolerations: [{ operator: "Exists" }] });
  for (const node of [unknown, silent, cordoned]) {
    assertEquals(place(brave, [node]), node.metadata.name);
  }
});

Deno.test("the reasons are counted, sorted and worded as users know them", () => {
  const message = place(
    asking({ memory: "4Gi", cpu: "1500m" }),
    [sampleNode("a"), tainted("b", GPU), tainted("c", GPU)],
    [[asking({ cpu: "1" }), "a"]],
  );
  assertEquals(
    message,
    "0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, " +
      "2 node(s) had untolerated taint {gpu: yes}.",
  );
});

Deno.test("pods, ephemeral storage and extended resources are counted too", () => {
  const small = sampleNode("a", { status: { ...sampleNode("a").status } });
  small.status!.allocatable = { cpu: "2", memory: "2Gi", pods: "1", "example.com/fpga": "1" };
  assertEquals(
    place(samplePod("web"), [small], [[samplePod("x"), "a"]]),
    "0/1 nodes are available: 1 Too many pods.",
  );
  assertEquals(place(asking({ "example.com/fpga": "1" }), [small]), "a");
  assertEquals(
    place(asking({ "example.com/fpga": "2", "ephemeral-storage": "1Gi" }), [small]),
    "0/1 nodes are available: 1 Insufficient ephemeral-storage, 1 Insufficient example.com/fpga.",
  );
});

Deno.test("host ports do not clash on one node", () => {
  const withPort = (port: number, hostIP?: string) =>
    samplePod("p", {
      containers: [{
        name: "c",
        ports: [{ containerPort: 80, hostPort: port, ...(hostIP ? { hostIP } : {}) }],
      }],
    });
  const nodes = [sampleNode("a")];
  const refusal = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested " +
    "pod ports.";
  assertEquals(place(withPort(80), nodes, [[withPort(80), "a"]]), refusal);
  assertEquals(place(withPort(81), nodes, [[withPort(80), "a"]]), "a");
  assertEquals(place(withPort(80, "10.0.0.1"), nodes, [[withPort(80, "10.0.0.2"), "a"]]), "a");
  assertEquals(place(withPort(80, "10.0.0.1"), nodes, [[withPort(80), "a"]]), refusal);
});

Deno.test("podRequests() takes the most any moment of a pod's life needs", () => {
  const container = (name: string, cpu: string, restartPolicy?: string) => ({
    name,
    resources: { requests: { cpu } },
    ...(restartPolicy ? { restartPolicy } : {}),
  });
  const pod = samplePod("p", {
    initContainers: [
      container("i1", "3"),
      container("side", "1", "Always"),
      container("i2", "2500m"),
    ],
    containers: [container("a", "1"), { name: "b", resources: { limits: { cpu: "500m" } } }],
  });
  // i1 alone 3000; side + i2 3500; a + b + side 2500
  assertEquals(podRequests(pod).amounts.cpu, 3500);
});

Deno.test("a chosen node always has room, whatever the world", () => {
  const amount = fc.integer({ min: 0, max: 3000 });
  fc.assert(fc.property(
    fc.array(amount, { minLength: 1, maxLength: 5 }),
    fc.array(amount, { maxLength: 20 }),
    (offers, wishes) => {
      const views = new NodeViews();
      offers.forEach((cpu, i) => {
        const node = sampleNode(`n${i}`);
        node.status!.allocatable = { cpu: `${cpu}m`, memory: "100Gi", pods: "4" };
        views.setNode(node);
      });
      wishes.forEach((cpu, i) => {
        const pod = asking({ cpu: `${cpu}m` }, `p${i}`);
        pod.metadata.uid = `u${i}`;
        const placement = placePod(pod, views.views());
        if (placement.kind === "place") views.hold(pod, placement.node);
      });
      for (const { allocatable, used } of views.views()) {
        assert((used.amounts.cpu ?? 0) <= allocatable.cpu!);
        assert(used.pods <= 4);
      }
      wishes.forEach((_, i) => views.release(`u${i}`));
      for (const { used } of views.views()) {
        assertEquals([used.pods, used.amounts.cpu ?? 0, used.scored.cpu], [0, 0, 0]);
      }
    },
  ));
});
