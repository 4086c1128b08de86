import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Pod } from "../../shared/k8s/types.ts";
import { must } from "../support/process.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

const CRUN = decodeURIComponent(new URL("../support/crun", import.meta.url).pathname);

const runtimeClass = (name: string, handler: string, more: object = {}) => ({
  apiVersion: "node.k8s.io/v1",
  kind: "RuntimeClass",
  metadata: { name },
  handler,
  ...more,
});

siteTest("a RuntimeClass chooses the runtime of a pod: runc and crun", async ({ site, t }) => {
  const { kubectl, containerd } = site;
  const sandboxOf = async (name: string): Promise<string> => {
    const list = await containerd.ctr(
      "containers",
      "ls",
      `labels."io.kubernetes.pod.name"==${name}`,
    );
    return list;
  };
  const overhead = { podFixed: { cpu: "20m", memory: "16Mi" } };
  await kubectl.apply(runtimeClass("light", "crun", { overhead }));
  await kubectl.apply(runtimeClass("usual", "runc"));
  await kubectl.apply(runtimeClass("lost", "no-such-handler"));

  await t.step("kubectl shows the classes", async () => {
    assertMatch(await kubectl.must(["get", "runtimeclass"]), /light\s+crun\s+\d+s/);
  });

  await t.step("each pod runs under the handler of its class", async () => {
    for (const [name, runtimeClassName] of [["a", "light"], ["b", "usual"], ["c", undefined]]) {
      await kubectl.apply(
        podManifest(name!, { spec: runtimeClassName ? { runtimeClassName } : {} }),
      );
    }
    const pods = new Map<string, Pod>();
    for (const name of ["a", "b", "c"]) pods.set(name, await site.podRuns(name));
    const states = async (program: string, folder: string) => {
      const root = `${containerd.dir}/${folder}/k8s.io`;
      return JSON.parse(await must(program, ["--root", root, "list", "-f", "json"]) || "[]") as {
        id: string;
      }[];
    };
    const idOf = (name: string) =>
      pods.get(name)?.status?.containerStatuses?.[0]?.containerID?.replace("containerd://", "");
    const crun = (await states(CRUN, "crun")).map(({ id }) => id);
    const runc = (await states("runc", "runc")).map(({ id }) => id);
    assertEquals([crun.length, crun.includes(idOf("a")!)], [2, true]);
    assertEquals([runc.length, runc.includes(idOf("b")!), runc.includes(idOf("c")!)], [
      4,
      true,
      true,
    ]);
    assertEquals(pods.get("a")?.spec.overhead, { cpu: "20m", memory: "16Mi" });
    assertStringIncludes(await sandboxOf("a"), idOf("a")!);
  });

  await t.step("its containers crash and restart as any other's", async () => {
    const spec = { runtimeClassName: "light" };
    await kubectl.apply(podManifest("crash", { script: "sleep 0.2; exit 5", spec }));
    const crashed = await site.podIs(
      "crash",
      "restarted",
      (pod) => (pod.status?.containerStatuses?.[0]?.restartCount ?? 0) >= 1,
    );
    assertEquals(crashed.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 5);
  });

  await t.step("a class that is not there is refused by name", async () => {
    const spec = { runtimeClassName: "absent" };
    const manifest = JSON.stringify(podManifest("refused", { spec }));
    const { stderr } = await kubectl.run(["apply", "-f", "-"], { stdin: manifest });
    assertStringIncludes(stderr, 'pod rejected: RuntimeClass "absent" not found');
  });

  await t.step("a handler the runtime does not know is said on the pod", async () => {
    await kubectl.apply(podManifest("lost", { spec: { runtimeClassName: "lost" } }));
    const event = await until(
      async () =>
        (await site.cloud.events("lost")).find((e) => e.reason === "FailedCreatePodSandBox"),
      { what: "the event of the pod" },
    );
    assertStringIncludes(event.message ?? "", "no-such-handler");
    assertEquals((await site.cloud.pod("lost")).status?.phase, "Pending");
    await kubectl.must(["delete", "pod", "lost", "--wait=true"]);
  });
}, { parts: ["crun"], containerd: { handlers: { crun: CRUN } } });
