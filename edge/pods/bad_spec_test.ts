import { assert, assertEquals, assertMatch } from "@std/assert";
import { fc } from "../../shared/testing/property.ts";
import type { Pod } from "../../shared/k8s/types.ts";
import { IMAGE, TestNode, testPod } from "./testing.ts";

const FOREVER = "trap 'exit 0' TERM; while true; do sleep 5; done";

/** Virtual time: files are real, and a busy machine takes its time with them. */
const LONG_MS = 3_600_000;

/** A pod that uses much of what a spec may hold. */
function richPod(name: string): Pod {
  const probe = { exec: { command: ["true"] }, periodSeconds: 5, timeoutSeconds: 1 };
  return testPod(name, FOREVER, (pod) => {
    pod.metadata.labels = { app: name };
    pod.metadata.annotations = { note: "n" };
    Object.assign(pod.spec, {
      hostname: "h",
      subdomain: "s",
      hostAliases: [{ ip: "192.0.2.9", hostnames: ["x"] }],
      dnsPolicy: "ClusterFirst",
      dnsConfig: { nameservers: ["192.0.2.1"], searches: ["x"], options: [{ name: "ndots" }] },
      securityContext: { runAsUser: 1, fsGroup: 2, sysctls: [{ name: "a.b", value: "1" }] },
      readinessGates: [{ conditionType: "example.com/a" }],
      imagePullSecrets: [{ name: "pull" }],
      terminationGracePeriodSeconds: 2,
      activeDeadlineSeconds: 600,
      runtimeClassName: undefined,
      volumes: [
        { name: "scratch", emptyDir: {} },
        { name: "config", configMap: { name: "c", optional: true } },
        { name: "all", projected: { sources: [{ secret: { name: "s", optional: true } }] } },
      ],
      initContainers: [{ name: "init", image: IMAGE, command: ["sh", "-c", "exit 0"] }],
    });
    Object.assign(pod.spec.containers[0]!, {
      args: ["$(A)"],
      env: [
        { name: "A", value: "a" },
        { name: "B", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
        { name: "C", valueFrom: { configMapKeyRef: { name: "c", key: "k", optional: true } } },
      ],
      envFrom: [{ prefix: "P_", configMapRef: { name: "c", optional: true } }],
      ports: [{ name: "web", containerPort: 80, hostPort: 8080, protocol: "TCP" }],
      resources: { requests: { cpu: "100m" }, limits: { memory: "64Mi" } },
      volumeMounts: [{ name: "scratch", mountPath: "/scratch", subPath: "a/b" }],
      securityContext: {
        capabilities: { add: ["NET_ADMIN"] },
        seccompProfile: { type: "Localhost", localhostProfile: "a.json" },
      },
      livenessProbe: probe,
      readinessProbe: { ...probe, httpGet: { port: 80, path: "/" }, exec: undefined },
      startupProbe: probe,
      lifecycle: { postStart: { exec: { command: ["true"] } }, preStop: { sleep: { seconds: 1 } } },
      terminationMessagePolicy: "FallbackToLogsOnError",
      restartPolicyRules: [{ action: "Restart", exitCodes: { operator: "In", values: [3] } }],
    });
  });
}

const STRANGE: unknown[] = [
  null,
  true,
  -1,
  0,
  1e308,
  0.5,
  2 ** 40,
  "",
  "\0",
  "../../etc",
  "a b\nc",
  "x".repeat(10_000),
  "$(A",
  [],
  {},
  [null],
  [[]],
  { name: {} },
  { a: { b: { c: [] } } },
  Array.from({ length: 200 }, () => ({})),
];

type Path = (string | number)[];

function pathsOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const inner = Object.entries(value).flatMap(([key, each]) =>
    pathsOf(each, [...path, Array.isArray(value) ? Number(key) : key])
  );
  return path.length === 0 ? inner : [path, ...inner];
}

function put(root: unknown, path: Path, value: unknown): void {
  let at = root as Record<string | number, unknown>; // paths lead through objects and lists
  for (const key of path.slice(0, -1)) {
    const next = at[key];
    if (typeof next !== "object" || next === null) return; // another change cut this one off
    at = next as Record<string | number, unknown>; // as above
  }
  at[path.at(-1)!] = structuredClone(value); // paths are not empty
}

/** What the ledger's key and the test's own bookkeeping need. */
const KEPT = new Set(["metadata/name", "metadata/namespace", "metadata/uid", "spec", "metadata"]);
const PATHS = pathsOf(richPod("x")).filter((path) =>
  ["spec", "metadata"].includes(String(path[0])) && !KEPT.has(path.join("/"))
);

const changes = fc.array(
  fc.record({ path: fc.constantFrom(...PATHS), value: fc.constantFrom(...STRANGE) }),
  { minLength: 1, maxLength: 3 },
);

/** The agent lives if a pod that is applied now comes to run. */
async function assertAlive(node: TestNode, name: string): Promise<void> {
  node.apply(testPod(name, FOREVER));
  await node.phase(`uid-${name}`, "Running", LONG_MS);
  node.ledger.drop(`pods/default/${name}`);
  await node.gone(`uid-${name}`, LONG_MS);
}

function said(node: TestNode, uid: string): string {
  const about = node.events.all.filter((e) => e.involvedObject.uid === uid);
  return JSON.stringify([node.status(uid), about.map((e) => e.message)]);
}

async function nothingLeft(node: TestNode): Promise<void> {
  await node.clock.until(() => node.world.sandboxes.size + node.world.containers.size === 0, {
    withinMs: LONG_MS,
    what: "nothing left in the runtime",
  });
}

Deno.test("no change of a spec brings the agent down, and each pod is told of", async () => {
  await using node = await TestNode.start();
  let count = 0;
  await fc.assert(
    fc.asyncProperty(changes, fc.boolean(), async (edits, isRunning) => {
      const name = `p${count++}`;
      const uid = `uid-${name}`;
      const pod = richPod(name);
      if (isRunning) {
        node.apply(testPod(name, FOREVER));
        await node.phase(uid, "Running", LONG_MS);
      }
      for (const { path, value } of edits) put(pod, path, value);
      node.apply(pod);
      await node.clock.until(() => node.status(uid), {
        withinMs: LONG_MS,
        what: `a status of ${name}`,
      });
      await node.clock.advance(2_000);
      node.ledger.drop(`pods/default/${name}`);
      await node.gone(uid, LONG_MS);
      await assertAlive(node, `q${count}`);
    }),
    { numRuns: Number(Deno.env.get("FUZZ_RUNS") ?? 60), seed: 20_260, endOnFailure: true },
  );
  await nothingLeft(node);
});

const CASES: [string, (pod: Pod) => void, RegExp][] = [
  ["containers that are no list", (p) => put(p, ["spec", "containers"], {}), /must be a list/],
  ["no containers", (p) => put(p, ["spec", "containers"], []), /spec\.containers is empty/],
  ["a null container", (p) => put(p, ["spec", "containers", 0], null), /\[0\] must be an object/],
  ["a name that is none", (p) => put(p, ["spec", "containers", 0, "name"], "A/B"), /not a name/],
  ["a NUL byte", (p) => put(p, ["spec", "containers", 0, "args"], ["\0"]), /NUL byte/],
  ["text for a number", (p) => put(p, ["spec", "activeDeadlineSeconds"], "5"), /whole number/],
  ["a list of the wrong", (p) => put(p, ["spec", "volumes"], [5]), /volumes\[0\] must be an obj/],
  ["labels that are no map", (p) => put(p, ["metadata", "labels"], "a=b"), /metadata\.labels must/],
  [
    "more than any pod has",
    (p) => put(p, ["spec", "hostAliases"], Array(20_000).fill({ ip: "1.1.1.1" })),
    /at most 10000 items/,
  ],
];
for (const [what, change, problem] of CASES) {
  Deno.test(`a pod with ${what} is refused in words`, async () => {
    await using node = await TestNode.start();
    const pod = testPod("bad", FOREVER);
    change(pod);
    node.apply(pod);
    const status = await node.phase("uid-bad", "Failed");
    assertEquals(status.reason, "InvalidPodSpec");
    assertMatch(status.message ?? "", problem);
    assert(node.events.messages("InvalidPodSpec").length > 0);
    await assertAlive(node, "good");
    node.ledger.drop("pods/default/bad");
    await node.gone("uid-bad", LONG_MS);
  });
}

Deno.test("a running pod whose new spec cannot be used goes on, is told of, and ends", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("web", FOREVER, (pod) => pod.spec.hostNetwork = true));
  await node.phase("uid-web", "Running");
  const before = [...node.world.containers.keys()];
  node.apply(testPod("web", FOREVER, (pod) => put(pod, ["spec", "volumes"], "none")));
  await node.clock.until(() => node.events.messages("InvalidPodSpec").length > 0);
  await node.clock.advance(30_000);
  assertEquals([...node.world.containers.keys()], before);
  assertMatch(said(node, "uid-web"), /it goes on as it was: spec\.volumes must be a list/);
  node.ledger.drop("pods/default/web");
  await node.gone("uid-web", LONG_MS);
  await nothingLeft(node);
});
