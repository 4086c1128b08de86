import { assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { NamespaceMode } from "../../shared/gen/runtime/v1/api_pb.ts";
import type { Container, Pod } from "../../shared/k8s/types.ts";
import { cgroupParent, containerResources, cpuQuota, cpuShares, type HostFacts } from "./cgroup.ts";
import { dnsSettings, parseResolvConf } from "./dns.ts";
import { expand, resolveEnv } from "./env.ts";
import { parseImageName, pullCredentials } from "./image_name.ts";
import { oomScore, podRequests, qosClass } from "./qos.ts";
import { type CriContext, toContainerConfig, toSandboxConfig } from "./to_cri.ts";

const HOST: HostFacts = {
  memoryBytes: 8 * 1024 ** 3,
  cgroupV2: false,
  swapLimits: false,
  maskedPaths: [],
};
const CONTEXT: CriContext = {
  nodeName: "edge-1",
  podLogsDir: "/var/log/pods",
  seccompDir: "/data/seccomp",
  cgroupDriver: "cgroupfs",
  host: HOST,
  dns: {
    clusterDns: ["10.96.0.10"],
    clusterDomain: "cluster.local",
    host: { servers: ["192.0.2.1"], searches: ["lan"], options: ["rotate"] },
  },
};
const START = { attempt: 2, imageRef: "sha256:1", imageUser: {}, env: new Map(), mounts: [] };

function pod(spec: Partial<Pod["spec"]> = {}, container: Partial<Container> = {}): Pod {
  return {
    metadata: {
      name: "web",
      namespace: "shop",
      uid: "1-2",
      labels: { app: "web" },
      annotations: { note: "n" },
    },
    spec: { containers: [{ name: "main", image: "img:1", ...container }], ...spec },
  };
}

const config = (made: Pod, start: Partial<typeof START> = {}) =>
  toContainerConfig(made, made.spec.containers[0]!, { ...START, ...start }, CONTEXT);

Deno.test("toSandboxConfig() carries kubelet's labels, our mark and the pod's own", () => {
  const made = toSandboxConfig(pod(), 3, CONTEXT);
  assertEquals(made.metadata?.attempt, 3);
  assertEquals(made.hostname, "web");
  assertEquals(made.logDirectory, "/var/log/pods/shop_web_1-2");
  assertEquals(made.labels, {
    app: "web",
    "io.kubernetes.pod.name": "web",
    "io.kubernetes.pod.namespace": "shop",
    "io.kubernetes.pod.uid": "1-2",
  });
  assertEquals(made.annotations, { note: "n", "skerry.dev/node": "edge-1" });
  assertEquals(made.linux?.cgroupParent, "/kubepods/besteffort/pod1-2");
  const options = made.linux?.securityContext?.namespaceOptions;
  assertEquals(options?.pid, NamespaceMode.CONTAINER);
  assertEquals(options?.network, NamespaceMode.POD);
});

Deno.test("a pod cannot take another node's mark by its own annotation", () => {
  const made = pod();
  made.metadata.annotations = { "skerry.dev/node": "edge-9" };
  assertEquals(toSandboxConfig(made, 0, CONTEXT).annotations["skerry.dev/node"], "edge-1");
});

Deno.test("host namespaces and shared process namespace are asked for by their modes", () => {
  const hosted = toSandboxConfig(
    pod({ hostNetwork: true, hostPID: true, hostIPC: true }, {
      ports: [{ containerPort: 80 }],
    }),
    0,
    CONTEXT,
  );
  const options = hosted.linux?.securityContext?.namespaceOptions;
  assertEquals(
    [options?.network, options?.pid, options?.ipc],
    [NamespaceMode.NODE, NamespaceMode.NODE, NamespaceMode.NODE],
  );
  assertEquals(hosted.hostname, "");
  assertEquals(hosted.portMappings[0]?.hostPort, 80);
  const shared = toSandboxConfig(pod({ shareProcessNamespace: true }), 0, CONTEXT);
  assertEquals(shared.linux?.securityContext?.namespaceOptions?.pid, NamespaceMode.POD);
});

Deno.test("toContainerConfig() names logs and annotations by the run", () => {
  const made = config(
    pod({ terminationGracePeriodSeconds: 9 }, {
      command: ["sh", "-c", "echo $(WHO) $$(WHO) $(NOBODY)"],
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
    }),
    { env: new Map([["WHO", "me"]]) },
  );
  assertEquals(made.logPath, "main/2.log");
  assertEquals(made.metadata, { name: "main", attempt: 2 });
  assertEquals(made.command?.[2], "echo me $(WHO) $(NOBODY)");
  assertEquals(made.annotations?.["io.kubernetes.container.restartCount"], "2");
  assertEquals(made.annotations?.["io.kubernetes.pod.terminationGracePeriod"], "9");
  assertEquals(made.linux?.securityContext?.noNewPrivs, true);
  assertEquals(made.linux?.securityContext?.runAsUser?.value, 0n);
});

Deno.test("runAsNonRoot is kept, or the container does not start", () => {
  const nonRoot = { securityContext: { runAsNonRoot: true } };
  const refused: [Partial<Container>, object][] = [
    [nonRoot, {}],
    [nonRoot, { imageUser: { uid: 0n } }],
    [nonRoot, { imageUser: { username: "app" } }],
    [{ securityContext: { runAsNonRoot: true, runAsUser: 0 } }, { imageUser: { uid: 5n } }],
  ];
  for (const [container, start] of refused) {
    assertThrows(() => config(pod({}, container), start), AppError, "root");
  }
  const made = config(pod({}, nonRoot), { imageUser: { uid: 7n } });
  assertEquals(made.linux?.securityContext?.runAsUser?.value, 7n);
  assertThrows(
    () =>
      config(pod({}, {
        securityContext: { seccompProfile: { type: "Localhost", localhostProfile: "../x" } },
      })),
    AppError,
    "localhostProfile",
  );
});

Deno.test("QoS class, cgroup, oom score and cpu figures are kubelet's", () => {
  const all = { cpu: "500m", memory: "1Gi" };
  const guaranteed = pod({}, { resources: { limits: all } });
  const burstable = pod({}, { resources: { requests: { memory: "1Gi" } } });
  const bestEffort = pod();
  assertEquals([guaranteed, burstable, bestEffort].map(qosClass), [
    "Guaranteed",
    "Burstable",
    "BestEffort",
  ]);
  assertEquals([guaranteed, burstable, bestEffort].map((p) => cgroupParent(p, "systemd")), [
    "/kubepods.slice/kubepods-pod1_2.slice",
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice",
    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice",
  ]);
  const score = (p: Pod) => oomScore(p, p.spec.containers[0]!, HOST.memoryBytes);
  assertEquals([guaranteed, burstable, bestEffort].map(score), [-997, 875, 1000]);
  assertEquals([0, 1, 500, 1_000_000].map(cpuShares), [2, 2, 512, 262_144]);
  assertEquals([0, 5, 500].map(cpuQuota), [0, 1_000, 50_000]);
  const made = containerResources(guaranteed, guaranteed.spec.containers[0]!, {
    ...HOST,
    cgroupV2: true,
    swapLimits: true,
  });
  assertEquals(made.memorySwapLimitInBytes, 1_073_741_824n);
  assertEquals(made.unified, { "memory.oom.group": "1" });
});

Deno.test("podRequests() takes the larger of the init peak and what runs together", () => {
  const cpu = (amount: string) => ({ resources: { requests: { cpu: amount } } });
  const made = pod({
    initContainers: [
      { name: "side", restartPolicy: "Always", ...cpu("100m") },
      { name: "big", ...cpu("2") },
    ],
  }, cpu("300m"));
  assertEquals(podRequests(made).cpuMillis, 2_100);
});

Deno.test("dnsSettings() follows the policy", () => {
  const of = (spec: Partial<Pod["spec"]>, clusterDns = CONTEXT.dns.clusterDns) =>
    dnsSettings(pod(spec), { ...CONTEXT.dns, clusterDns });
  assertEquals(of({}), {
    servers: ["10.96.0.10"],
    searches: ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"],
    options: ["ndots:5"],
  });
  assertEquals(of({ dnsPolicy: "Default" }), CONTEXT.dns.host);
  assertEquals(of({ hostNetwork: true }), CONTEXT.dns.host);
  assertEquals(of({}, []), CONTEXT.dns.host);
  assertEquals(
    of({
      dnsPolicy: "None",
      dnsConfig: { nameservers: ["1.1.1.1"], options: [{ name: "ndots", value: "2" }] },
    }),
    { servers: ["1.1.1.1"], searches: [], options: ["ndots:2"] },
  );
  assertEquals(parseResolvConf("# c\nnameserver 9.9.9.9\nsearch a b\noptions x:1\n"), {
    servers: ["9.9.9.9"],
    searches: ["a", "b"],
    options: ["x:1"],
  });
});

Deno.test("resolveEnv() resolves every source in order and names what is missing", () => {
  const facts = {
    nodeName: "edge-1",
    hostIps: ["192.0.2.7"],
    podIps: ["10.0.0.2"],
    allocatable: {},
  };
  const source = {
    configMap: (name: string) =>
      name === "cm" ? { metadata: {}, data: { A: "from-cm", "1bad": "x" } } : undefined,
    secret: (name: string) =>
      name === "sec" ? { metadata: {}, data: { S: btoa("hidden") } } : undefined,
  };
  const of = (container: Partial<Container>) => {
    const made = pod({}, container);
    return Object.fromEntries(resolveEnv(made, made.spec.containers[0]!, source, facts));
  };
  assertEquals(
    of({
      envFrom: [{ prefix: "X_", configMapRef: { name: "cm" } }, { secretRef: { name: "sec" } }],
      env: [
        { name: "A", value: "$(X_A)-$(S)" },
        { name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
        { name: "LABEL", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
        { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
        {
          name: "NONE",
          valueFrom: { secretKeyRef: { name: "no", key: "k", optional: true } },
        },
      ],
      resources: { limits: { cpu: "1500m" } },
    }),
    {
      X_A: "from-cm",
      X_1bad: "x",
      S: "hidden",
      A: "from-cm-hidden",
      NODE: "edge-1",
      LABEL: "web",
      CPU: "2",
    },
  );
  const missing: [Partial<Container>, string][] = [
    [{ envFrom: [{ secretRef: { name: "no" } }] }, 'secret "no" not found'],
    [
      { env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "cm", key: "Z" } } }] },
      "couldn't find key Z in ConfigMap shop/cm",
    ],
    [
      { env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "spec.nope" } } }] },
      "unsupported fieldPath: spec.nope",
    ],
  ];
  for (const [container, message] of missing) assertThrows(() => of(container), AppError, message);
  assertEquals(expand("$$(A) $(A $A", new Map([["A", "1"]])), "$(A) $(A $A");
});

Deno.test("parseImageName() adds :latest, finds the registry, refuses what is no image", () => {
  const of = (image: string) => {
    const name = parseImageName(image);
    return name && [name.reference, name.registry, name.path, name.latest];
  };
  const sha = `sha256:${"a".repeat(64)}`;
  assertEquals(of("busybox"), ["busybox:latest", "docker.io", "library/busybox", true]);
  assertEquals(of("me/app:2"), ["me/app:2", "docker.io", "me/app", false]);
  assertEquals(of("localhost:5000/a"), ["localhost:5000/a:latest", "localhost:5000", "a", true]);
  assertEquals(of(`r.io/x/y@${sha}`), [`r.io/x/y@${sha}`, "r.io", "x/y", false]);
  for (const bad of ["", "UPPER", "a b", "x:!", "http://x/y", "a//b", "x".repeat(2_000)]) {
    assertEquals(of(bad), undefined, bad);
  }
});

Deno.test("pullCredentials() takes what matches, the longest prefix first", () => {
  const auths = {
    "r.io": { auth: btoa("u:p:q") },
    "https://r.io/team/": { username: "t", password: "x" },
    "*.other.io": { username: "w" },
    "https://index.docker.io/v1/": { identitytoken: "tok" },
  };
  const secret = {
    metadata: {},
    data: { ".dockerconfigjson": btoa(JSON.stringify({ auths })) },
  };
  const broken = { metadata: {}, data: { ".dockerconfigjson": btoa("null") } };
  const of = (image: string) =>
    pullCredentials(parseImageName(image)!, [broken, secret]).map((a) =>
      [a.username, a.password, a.identityToken].join("|")
    );
  assertEquals(of("r.io/team/app:1"), ["t|x|", "u|p:q|"]);
  assertEquals(of("r.io/teamster:1"), ["u|p:q|"]);
  assertEquals(of("a.other.io/x:1"), ["w||"]);
  assertEquals(of("busybox"), ["||tok"]);
  assertEquals(of("evil.io/r.io/team:1"), []);
});

Deno.test("setHostnameAsFQDN names the sandbox by its place in the cluster's DNS", () => {
  const named = { subdomain: "db", setHostnameAsFQDN: true };
  assertEquals(
    toSandboxConfig(pod(named), 0, CONTEXT).hostname,
    "web.db.shop.svc.cluster.local",
  );
  assertEquals(toSandboxConfig(pod({ setHostnameAsFQDN: true }), 0, CONTEXT).hostname, "web");
  assertEquals(toSandboxConfig(pod({ subdomain: "db" }), 0, CONTEXT).hostname, "web");
  const long = { ...named, hostname: "h".repeat(50) };
  assertThrows(() => toSandboxConfig(pod(long), 0, CONTEXT), AppError, "is too long (64 char");
});

Deno.test("the overhead of a RuntimeClass is reserved and told to the runtime", () => {
  const made = pod({ overhead: { cpu: "250m", memory: "120Mi" } });
  assertEquals(podRequests(made), { cpuMillis: 250, memoryBytes: 120 * 1024 ** 2 });
  const overhead = toSandboxConfig(made, 0, CONTEXT).linux?.overhead;
  assertEquals([overhead?.cpuQuota, overhead?.memoryLimitInBytes], [25_000n, 125829120n]);
});

Deno.test("containers are told of the Kubernetes API where it can be reached, and not else", () => {
  const source = { configMap: () => undefined, secret: () => undefined };
  const facts = { nodeName: "n", hostIps: [], podIps: [], allocatable: {} };
  const made = pod({}, { env: [{ name: "API", value: "$(KUBERNETES_PORT)" }] });
  const env = (kubernetesApi: string) =>
    resolveEnv(made, made.spec.containers[0]!, source, { ...facts, kubernetesApi });
  assertEquals([...env("")], [["API", "$(KUBERNETES_PORT)"]]);
  const told = env("192.0.2.1:6443");
  assertEquals(told.get("KUBERNETES_SERVICE_HOST"), "192.0.2.1");
  assertEquals(told.get("KUBERNETES_SERVICE_PORT"), "6443");
  assertEquals(told.get("KUBERNETES_PORT_6443_TCP_ADDR"), "192.0.2.1");
  assertEquals(told.get("API"), "tcp://192.0.2.1:6443");
  assertEquals(env("[fd00::1]:6443").get("KUBERNETES_PORT"), "tcp://[fd00::1]:6443");
});
