/** The pod agent on a real, private containerd. Needs root, containerd, runc, CNI and busybox. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { GrpcRuntime } from "../../edge/cri/grpc_runtime.ts";
import type { Pod } from "../../shared/k8s/types.ts";
import { POD_NODE_PARTS, PodNode } from "../support/pod_node.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

const FOREVER = "trap 'exit 0' TERM; echo up; while true; do sleep 0.2; done";

testWith(
  POD_NODE_PARTS,
  "pods run, are adopted, and end without a trace on containerd",
  async () => {
    await using node = await PodNode.start();
    await until(() => node.agent.runtimeState().ready, { what: "runtime ready" });
    assertEquals(node.agent.runtimeState().name, "containerd");

    const web = node.pod("web", FOREVER, (pod) => {
      pod.spec.volumes = [
        { name: "conf", configMap: { name: "conf" } },
        { name: "pass", secret: { secretName: "pass" } },
        { name: "scratch", emptyDir: {} },
      ];
      pod.spec.containers[0]!.volumeMounts = [
        { name: "conf", mountPath: "/conf" },
        { name: "pass", mountPath: "/pass" },
        { name: "scratch", mountPath: "/scratch", subPath: "deep/er" },
      ];
      pod.spec.containers[0]!.env = [
        { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
        { name: "HELLO", value: "$(IP)!" },
      ];
      pod.spec.containers[0]!.resources = { requests: { cpu: "10m" }, limits: { memory: "64Mi" } };
    });
    node.ledger.put("configmaps", { metadata: { name: "conf" }, data: { a: "1" } });
    node.ledger.put("secrets", { metadata: { name: "pass" }, data: { p: btoa("s3cret") } });
    node.ledger.put("pods", web);
    const status = await node.phase(web, "Running");
    assertMatch(status.podIP ?? "", /^10\./);

    const startedAtMs = node.clock.monotonicMs();
    const quick = node.pod("quick", FOREVER);
    node.ledger.put("pods", quick);
    await node.phase(quick, "Running");
    const tookMs = node.clock.monotonicMs() - startedAtMs;
    console.log(`ledger to Running: ${Math.round(tookMs)} ms`);
    assert(tookMs < 3_000, `${tookMs} ms`); // bound for a busy machine; the bench has the figure

    const runtime = new GrpcRuntime(node.containerd.endpoint);
    const containerId = status.containerStatuses![0]!.containerID!.slice("containerd://".length);
    const cmd = [
      "sh",
      "-c",
      "cat /conf/a /pass/p; echo $HELLO; hostname; touch /scratch/x; cat /etc/hosts",
    ];
    const { stdout } = await runtime.execSync({ containerId, cmd, timeout: 5n });
    const text = new TextDecoder().decode(stdout);
    assertMatch(text, new RegExp(`^1s3cret${status.podIP}!\nweb\n`));
    assertMatch(text, new RegExp(`${status.podIP}\tweb`));
    await runtime.close();

    const tasks = [...(await node.containerd.tasks()).keys()].sort();
    await node.stopAgent();
    await node.startAgent();
    await until(() => node.agent.runtimeState().ready, { what: "runtime ready again" });
    await node.clock.sleep(1_500);
    assertEquals([...(await node.containerd.tasks()).keys()].sort(), tasks);

    await node.deleteAll();
    assertEquals(await node.containerd.containers(), []);
    assertEquals([...Deno.readDirSync(`${node.dir}/pods`)], []);
  },
);

testWith(
  POD_NODE_PARTS,
  "crash loop, missing image, one-shot, broken command on containerd",
  async () => {
    await using node = await PodNode.start();
    const crash = node.pod("crash", "echo bye > /dev/termination-log; exit 3");
    const absent = node.pod("absent", FOREVER, (pod) => {
      pod.spec.containers[0]!.image = "127.0.0.1:1/none:1";
    });
    const once = node.pod("once", "echo done", (pod) => pod.spec.restartPolicy = "Never");
    const host = node.pod("host", FOREVER, (pod) => pod.spec.hostNetwork = true);
    const broken = node.pod("broken", "", (pod) => {
      pod.spec.containers[0]!.command = ["/no/such/program"];
    });
    for (const pod of [crash, absent, once, host, broken]) node.ledger.put("pods", pod);
    assertEquals((await node.phase(host, "Running")).podIP, "192.0.2.7");
    const done = await node.phase(once, "Succeeded");
    assertEquals(done.containerStatuses?.[0]?.state?.terminated?.reason, "Completed");
    const waits = (pod: Pod, reason: string) =>
      until(() => {
        const status = node.status(pod)?.containerStatuses?.[0];
        return status?.state?.waiting?.reason === reason ? status : undefined;
      }, { what: `${pod.metadata.name} ${reason}`, timeoutMs: 20_000 });
    const looping = await waits(crash, "CrashLoopBackOff");
    assertEquals(looping.lastState?.terminated?.exitCode, 3);
    assertEquals(looping.lastState?.terminated?.message, "bye\n");
    await waits(absent, "ErrImagePull");
    await waits(absent, "ImagePullBackOff");
    await until(() => {
      const reason = node.status(broken)?.containerStatuses?.[0]?.state?.waiting?.reason;
      return reason === "RunContainerError" || reason === "CrashLoopBackOff";
    }, { what: "broken start" });
    const log = await node.agent.localPods.log(
      { namespace: "default", pod: "once", previous: false },
      AbortSignal.timeout(5_000),
    );
    assertMatch(await Deno.readTextFile(log.path), /stdout F done\n/);
    await node.deleteAll();
    assertEquals(await node.containerd.containers(), []);
  },
);
