/**
 * The same pods by CRI calls alone: what the runtime takes for them, with nobody who decides,
 * remembers or looks. Beside it stands what an agent adds.
 */
import { join } from "@std/path";
import { GrpcRuntime } from "../../edge/cri/grpc_runtime.ts";
import { SystemClock } from "../../shared/clock.ts";
import { SystemRandom } from "../../shared/random.ts";
import type { Containerd } from "./containerd.ts";
import { BUSYBOX_IMAGE } from "./images.ts";
import { removeCgroup } from "./site_sweep.ts";

/** As many at once as the pod agent starts. */
const AT_ONCE = 8;

const clock = new SystemClock();
const random = new SystemRandom();

/** Makes `count` pods of one container and removes them; ms until the last container runs. */
export async function startBare(containerd: Containerd, count: number): Promise<number> {
  const runtime = new GrpcRuntime(`unix://${containerd.socket}`);
  const sandboxes: string[] = [];
  const cgroup = `/skerry-bare-${random.bytes(4).toHex()}`;
  const left = Array.from({ length: count }, (_, i) => {
    const uid = `bare-${i}`;
    return {
      metadata: { name: uid, namespace: "bare", uid, attempt: 0 },
      hostname: uid,
      logDirectory: join(containerd.dir, "bare-logs", uid),
      linux: {
        cgroupParent: `${cgroup}/${uid}`,
        securityContext: { namespaceOptions: {} },
      },
    };
  });
  try {
    const startMs = clock.monotonicMs();
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let config = left.shift(); config; config = left.shift()) {
        await Deno.mkdir(config.logDirectory, { recursive: true });
        const podSandboxId = await runtime.runPodSandbox({ config });
        sandboxes.push(podSandboxId);
        await runtime.startContainer(
          await runtime.createContainer({
            podSandboxId,
            sandboxConfig: config,
            config: {
              metadata: { name: "c0" },
              image: { image: BUSYBOX_IMAGE },
              command: ["sh", "-c", "sleep 1000000"],
              logPath: "c0.log",
              linux: { securityContext: { namespaceOptions: {} } },
            },
          }),
        );
      }
    }));
    return clock.monotonicMs() - startMs;
  } finally {
    await Promise.all(sandboxes.map(async (id) => {
      await runtime.stopPodSandbox(id);
      await runtime.removePodSandbox(id);
    }));
    await runtime.close();
    await removeCgroup(cgroup);
  }
}
