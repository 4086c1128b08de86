/**
 * The pod's own cgroup on this machine's kernel, with real containers in it; and slices over a real
 * D-Bus daemon with a stand-in for systemd on it.
 */
import { assert, assertEquals } from "@std/assert";
import { SystemdSlices } from "../../edge/pods/cgroup_slices.ts";
import { PodCgroups } from "../../edge/pods/pod_cgroups.ts";
import { DBusConnection } from "../../shared/dbus/connection.ts";
import type { DBusValue } from "../../shared/dbus/marshal.ts";
import { testPod } from "../../edge/pods/testing.ts";
import { PrivateBus } from "../support/dbus.ts";
import { POD_NODE_PARTS, PodNode } from "../support/pod_node.ts";
import { testWith } from "../support/requirements.ts";

const ROOT = "/sys/fs/cgroup";
const FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.2; done";

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** The first of these files there is: version 2, or version 1. */
async function read(...paths: string[]): Promise<string> {
  for (const path of paths) if (await exists(path)) return (await Deno.readTextFile(path)).trim();
  throw new Error(`none of ${paths.join(", ")} is there`);
}

testWith(POD_NODE_PARTS, "a pod's own cgroup limits it, and goes with it", async () => {
  await using node = await PodNode.start({ podPidsLimit: 37 });
  const pod = node.pod("web", FOREVER, ({ spec }) => {
    spec.containers[0]!.resources = {
      requests: { cpu: "250m", memory: "32Mi" },
      limits: { cpu: "500m", memory: "64Mi" },
    };
  });
  node.ledger.put("pods", pod);
  await node.phase(pod, "Running");
  const group = `/kubepods/burstable/pod${pod.metadata.uid}`;
  const memory = await read(
    `${ROOT}${group}/memory.max`,
    `${ROOT}/memory${group}/memory.limit_in_bytes`,
  );
  assertEquals(memory, String(64 * 1024 ** 2));
  assertEquals(await read(`${ROOT}${group}/pids.max`, `${ROOT}/pids${group}/pids.max`), "37");
  const quota = await read(`${ROOT}${group}/cpu.max`, `${ROOT}/cpu${group}/cpu.cfs_quota_us`);
  assertEquals(quota.split(" ")[0], "50000");
  const shares = await read(`${ROOT}${group}/cpu.weight`, `${ROOT}/cpu${group}/cpu.shares`);
  assert(["10", "256"].includes(shares), shares);
  await node.deleteAll();
  for (const dir of [`${ROOT}${group}`, `${ROOT}/memory${group}`, `${ROOT}/cpu${group}`]) {
    assertEquals(await exists(dir), false, dir);
  }
});

testWith(["dbus-daemon"], "slices are asked of systemd, changed and stopped", async () => {
  await using bus = await PrivateBus.start();
  const systemd = await DBusConnection.open(bus.path);
  const asked: [string, ...DBusValue[]][] = [];
  systemd.onCall = ({ member = "", body = [] }) => {
    asked.push([member, ...body]);
    const isJob = member === "StartTransientUnit" || member === "StopUnit";
    return isJob ? { signature: "o", body: ["/job/1"] } : { signature: "", body: [] };
  };
  await systemd.requestName("org.freedesktop.systemd1");
  const slices = new SystemdSlices(bus.path);
  const cgroups = new PodCgroups({
    root: `${bus.dir}/cgroup`,
    isV2: true,
    driver: () => "systemd",
    slices,
    pidsMax: 50,
    pageSizes: [],
    pods: () => [],
  });
  try {
    await cgroups.ensure(testPod("a-b", "true"));
    assertEquals(asked.map(([member, unit, mode]) => [member, unit, mode]), [
      ["StartTransientUnit", "kubepods-besteffort.slice", "replace"],
      ["StartTransientUnit", "kubepods-besteffort-poduid_a_b.slice", "replace"],
    ]);
    const properties = asked[1]![3] as [string, DBusValue][];
    assertEquals(properties.find(([name]) => name === "TasksMax")?.[1], { type: "t", value: 50n });
    asked.length = 0;
    await cgroups.remove("uid-a-b");
    assertEquals(asked.map(([, unit]) => unit), [
      "kubepods-poduid_a_b.slice",
      "kubepods-burstable-poduid_a_b.slice",
      "kubepods-besteffort-poduid_a_b.slice",
    ]);
  } finally {
    await slices.close();
    systemd.close();
    await systemd.ended;
  }
});
