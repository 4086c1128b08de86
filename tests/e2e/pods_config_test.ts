import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { must } from "../support/process.ts";
import type { Site } from "../support/site.ts";
import { conditionOf } from "../support/site_clients.ts";
import { until } from "../support/until.ts";
import { cpuLimit, cpuShares, memoryLimitBytes } from "./cgroups.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

/** The log of a pod that ends by itself, line by line. */
async function outputOf(site: Site, name: string): Promise<string[]> {
  await site.podIs(name, "ended", ({ status }) => /Succeeded|Failed/.test(status?.phase ?? ""));
  return (await site.kubectl.must(["logs", name])).trimEnd().split("\n");
}

siteTest("a pod gets what its spec says", async ({ site, t }) => {
  const { kubectl } = site;
  const from = ["--from-literal=greeting=hello", "--from-literal=b.txt=second"];
  await kubectl.must(["create", "configmap", "words", ...from]);
  await kubectl.must(["create", "secret", "generic", "hidden", "--from-literal=key=s3cret"]);

  await t.step("command, args, environment, working directory", async () => {
    await kubectl.apply(podManifest("env", {
      spec: { restartPolicy: "Never" },
      container: {
        command: ["sh", "-c", 'echo "$0 $1"; pwd; env | grep ^SK_ | sort; id -u'],
        args: ["$(SK_PLAIN)", "$$(SK_PLAIN)"],
        workingDir: "/tmp",
        securityContext: { runAsUser: 65534 },
        env: [
          { name: "SK_PLAIN", value: "plain" },
          { name: "SK_MADE", value: "<$(SK_PLAIN)>" },
          { name: "SK_MAP", valueFrom: { configMapKeyRef: { name: "words", key: "greeting" } } },
          { name: "SK_SECRET", valueFrom: { secretKeyRef: { name: "hidden", key: "key" } } },
          { name: "SK_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
          { name: "SK_NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
          {
            name: "SK_OPTIONAL",
            valueFrom: { configMapKeyRef: { name: "absent", key: "k", optional: true } },
          },
        ],
        envFrom: [{ prefix: "SK_ALL_", secretRef: { name: "hidden" } }],
      },
    }));
    assertEquals(await outputOf(site, "env"), [
      "plain $(SK_PLAIN)",
      "/tmp",
      "SK_ALL_key=s3cret",
      "SK_MADE=<plain>",
      "SK_MAP=hello",
      "SK_NAME=env",
      "SK_NODE=edge-1",
      "SK_PLAIN=plain",
      "SK_SECRET=s3cret",
      "65534",
    ]);
  });

  await t.step("volumes: configMap, secret, emptyDir shared by containers, hostPath", async () => {
    const host = join(site.dir, "host");
    await Deno.mkdir(host);
    await Deno.writeTextFile(join(host, "in"), "from the host\n");
    const mounts = ["words", "hidden", "shared", "host"].map((name) => ({
      name,
      mountPath: `/v/${name}`,
      readOnly: name === "words",
    }));
    const script = "cat /v/words/greeting /v/words/b.txt; echo; cat /v/hidden/key; echo; " +
      "stat -L -c %a /v/hidden/key; cat /v/host/in; echo out > /v/host/out; " +
      "touch /v/words/no 2>/dev/null || echo read-only; " +
      "until [ -e /v/shared/x ]; do sleep 0.05; done; cat /v/shared/x; df /v/shared | tail -1";
    const manifest = podManifest("volumes", {
      script,
      container: { volumeMounts: mounts },
      spec: {
        restartPolicy: "Never",
        volumes: [
          { name: "words", configMap: { name: "words" } },
          { name: "hidden", secret: { secretName: "hidden", defaultMode: 0o400 } },
          { name: "shared", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
          { name: "host", hostPath: { path: host, type: "Directory" } },
        ],
      },
    });
    const [main] = manifest.spec.containers;
    const second = { ...main, name: "second", command: ["sh", "-c", "echo shared > /v/shared/x"] };
    await kubectl.apply({
      ...manifest,
      spec: { ...manifest.spec, containers: [main, second] },
    });
    await site.podIs("volumes", "Succeeded", (pod) => pod.status?.phase === "Succeeded");
    const lines = (await kubectl.must(["logs", "volumes", "-c", "main"])).trimEnd().split("\n");
    assertEquals(lines.slice(0, -1), [
      "hellosecond",
      "s3cret",
      "400",
      "from the host",
      "read-only",
      "shared",
    ]);
    assertMatch(lines.at(-1) ?? "", /^tmpfs /);
    assertEquals(await Deno.readTextFile(join(host, "out")), "out\n");
    await kubectl.must(["delete", "pod", "volumes"]);
    assertEquals(await Deno.readTextFile(join(host, "in")), "from the host\n");
  });

  await t.step("a mounted configMap follows its object", async () => {
    await kubectl.apply(podManifest("follows", {
      container: { volumeMounts: [{ name: "words", mountPath: "/words" }] },
      script: "until [ $(cat /words/greeting) = changed ]; do sleep 0.1; done; echo saw it",
      spec: {
        restartPolicy: "Never",
        volumes: [{ name: "words", configMap: { name: "words" } }],
      },
    }));
    await site.podRuns("follows");
    const patch = JSON.stringify({ data: { greeting: "changed" } });
    await kubectl.must(["patch", "configmap", "words", "--type=merge", "-p", patch]);
    assertEquals(await outputOf(site, "follows"), ["saw it"]);
  });

  await t.step("resources become limits of the kernel", async () => {
    await kubectl.apply(podManifest("limited", {
      container: {
        resources: {
          requests: { cpu: "100m", memory: "16Mi" },
          limits: { cpu: "250m", memory: "32Mi" },
        },
      },
    }));
    const pod = await site.podRuns("limited");
    assertEquals(pod.status?.qosClass, "Burstable");
    const id = pod.status?.containerStatuses?.[0]?.containerID?.replace("containerd://", "") ?? "";
    const pid = (await site.containerd.tasks()).get(id) ?? 0;
    assertEquals(await memoryLimitBytes(pid), 32 * 1024 * 1024);
    assertEquals(await cpuLimit(pid), 0.25);
    assertEquals(await cpuShares(pid) ?? 102, 102);
  });

  await t.step("a pod without its configMap waits by name, and runs once it is there", async () => {
    await kubectl.apply(podManifest("waits", {
      container: { envFrom: [{ configMapRef: { name: "later" } }] },
    }));
    const waiting = await site.podIs(
      "waits",
      "waiting for its configMap",
      (pod) =>
        pod.status?.containerStatuses?.[0]?.state?.waiting?.reason ===
          "CreateContainerConfigError",
    );
    assertMatch(
      waiting.status?.containerStatuses?.[0]?.state?.waiting?.message ?? "",
      /configmap "later" not found/,
    );
    await kubectl.must(["create", "configmap", "later", "--from-literal=a=1"]);
    await site.podRuns("waits");
  });
});

siteTest("pods have a network", async ({ site, t }) => {
  await t.step("an address of their own, reached from the node", async () => {
    await site.kubectl.apply(podManifest("web", {
      script: "mkdir /w; echo served > /w/index.html; exec httpd -f -p 8080 -h /w",
    }));
    const pod = await site.podRuns("web");
    const { podIP = "", podIPs, hostIP } = pod.status ?? {};
    assertEquals(podIPs, [{ ip: podIP }]);
    assertEquals(podIP === hostIP, false);
    const prefix = site.containerd.network?.subnet.replace(/0\/24$/, "") ?? "none";
    assertEquals(podIP.startsWith(prefix), true);
    const page = await until(() => must("curl", ["-sf", `http://${podIP}:8080/`]), {
      what: "an answer of the pod",
    });
    assertEquals(page, "served\n");
    assertEquals(conditionOf(pod, "Ready")?.status, "True");
  });

  await t.step("host network: the node's address and interfaces", async () => {
    await site.kubectl.apply(podManifest("onhost", {
      script: "ls /sys/class/net | sort; sleep 60",
      spec: { hostNetwork: true, terminationGracePeriodSeconds: 0 },
    }));
    const { status } = await site.podRuns("onhost");
    assertEquals(status?.podIP, status?.hostIP);
    await until(async () => {
      const lines = (await site.kubectl.must(["logs", "onhost"])).trim().split("\n");
      return lines.includes("lo") && lines.includes(site.bridge ?? "");
    }, { what: "the node's bridge among the pod's interfaces" });
  });
});
