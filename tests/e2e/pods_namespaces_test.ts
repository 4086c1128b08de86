/** What a pod shares with its node or keeps to itself: network, processes, IPC, ports and names. */
import { assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import type { PodSpec } from "../../shared/k8s/types.ts";
import { BUSYBOX_IMAGE } from "../support/images.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { type SiteContext, siteTest } from "./site_test_case.ts";

/** What `script` prints in a pod of its own. */
async function printed(
  { site }: SiteContext,
  name: string,
  script: string,
  spec: Partial<PodSpec> = {},
): Promise<string> {
  await site.kubectl.apply(
    podManifest(name, { script, spec: { restartPolicy: "Never", ...spec } }),
  );
  await site.podIs(name, "ended", ({ status }) => status?.phase === "Succeeded");
  return await site.kubectl.must(["logs", name]);
}

const NAMESPACES = "for n in net ipc pid uts; do readlink /proc/self/ns/$n; done";

function ofHost(): string[] {
  return ["net", "ipc", "pid"].map((n) => Deno.readLinkSync(`/proc/self/ns/${n}`));
}

siteTest("namespaces, names and ports of pods", async (context) => {
  const { site, t } = context;
  const { kubectl } = site;

  await t.step("a pod has its own; hostNetwork, hostIPC and hostPID share the node's", async () => {
    const own = (await printed(context, "own", NAMESPACES)).trim().split("\n");
    const host = { hostNetwork: true, hostIPC: true, hostPID: true, dnsPolicy: "Default" } as const;
    const shared = (await printed(context, "shared", NAMESPACES, host)).trim().split("\n");
    const nodes = ofHost();
    assertEquals(shared.slice(0, 3), nodes);
    nodes.forEach((node, i) => assertEquals(own[i] === node, false, node));
    const pod = await site.cloud.pod("shared");
    assertEquals(pod.status?.podIP, pod.status?.hostIP);
  });

  await t.step("shareProcessNamespace: containers see one another", async () => {
    const other = { name: "other", image: BUSYBOX_IMAGE, command: ["sleep", "4343"] };
    const pod = podManifest("family", { script: "sleep 1; ps -o args; sleep 600" });
    const containers = [...pod.spec.containers, other];
    await kubectl.apply({
      ...pod,
      spec: { ...pod.spec, containers, shareProcessNamespace: true },
    });
    await until(
      async () =>
        (await kubectl.run(["logs", "family", "-c", "main"])).stdout.includes("sleep 4343"),
      { what: "the other's process", timeoutMs: 30_000 },
    );
  });

  await t.step("hostname, subdomain, FQDN, aliases and DNS", async () => {
    const script = "hostname; cat /etc/hosts; echo --; cat /etc/resolv.conf";
    const text = await printed(context, "named", script, {
      hostname: "front",
      subdomain: "shop",
      hostAliases: [{ ip: "192.0.2.99", hostnames: ["old.example", "older.example"] }],
      dnsPolicy: "None",
      dnsConfig: {
        nameservers: ["192.0.2.53"],
        searches: ["example.test"],
        options: [{ name: "ndots", value: "2" }, { name: "edns0" }],
      },
    });
    const [hosts = "", resolver = ""] = text.split("--\n");
    assertMatch(hosts, /^front\n/);
    assertMatch(hosts, /^[\d.]+\tfront\.shop\.default\.svc\.cluster\.local\tfront$/m);
    assertMatch(hosts, /^192\.0\.2\.99\told\.example\tolder\.example$/m);
    assertEquals(resolver.trim().split("\n"), [
      "search example.test",
      "nameserver 192.0.2.53",
      "options ndots:2 edns0",
    ]);
    const full = await printed(context, "full", "hostname", {
      hostname: "front",
      subdomain: "shop",
      setHostnameAsFQDN: true,
    });
    assertEquals(full, "front.shop.default.svc.cluster.local\n");
  });

  await t.step("hostPort: the node's port reaches the pod; a second taker is refused", async () => {
    const port = 20_000 + Deno.pid % 10_000;
    const web = (name: string) =>
      podManifest(name, {
        script: "mkdir -p /w; echo hello > /w/index.html; exec httpd -f -p 8080 -h /w",
        container: { ports: [{ containerPort: 8080, hostPort: port }] },
        spec: { nodeName: site.nodeName },
      });
    await kubectl.apply(web("front"));
    await site.podRuns("front");
    const node = (await site.cloud.pod("front")).status?.hostIP;
    await until(async () => {
      const answer = await fetch(`http://${node}:${port}/`).catch(() => undefined);
      return await answer?.text() === "hello\n";
    }, { what: `an answer on port ${port}`, timeoutMs: 30_000 });
    await kubectl.apply(web("second"));
    const second = await site.podIs("second", "refused", (pod) => pod.status?.phase === "Failed");
    assertEquals(second.status?.reason, "NodePorts");
    assertStringIncludes(
      second.status?.message ?? "",
      `TCP/0.0.0.0/${port} is held by default/front`,
    );
  });

  await t.step("no variables of services that lead nowhere", async () => {
    assertNotMatch(await printed(context, "env", "env"), /_SERVICE_HOST=/);
  });
});
