/** Image collection on a real, private containerd. Needs root, containerd, CNI and busybox. */
import { assertEquals } from "@std/assert";
import { GrpcRuntime } from "../../edge/cri/grpc_runtime.ts";
import { ImageGc } from "../../edge/pods/housekeeping/image_gc.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { buildImage, BUSYBOX_IMAGE, PAUSE_IMAGE } from "../support/images.ts";
import { POD_NODE_PARTS, PodNode } from "../support/pod_node.ts";
import { testWith } from "../support/requirements.ts";

testWith(POD_NODE_PARTS, "a full disk costs neither the sandbox image nor one in use", async () => {
  await using node = await PodNode.start();
  const pod = node.pod("web", "trap 'exit 0' TERM; while true; do sleep 0.2; done");
  node.ledger.put("pods", pod);
  await node.phase(pod, "Running");
  const spare = "docker.io/library/spare:1";
  await node.containerd.importImage(await buildImage({ name: spare, files: { "etc/spare": "1" } }));
  const runtime = new GrpcRuntime(node.containerd.endpoint);
  try {
    const tags = async () =>
      (await runtime.listImages({})).flatMap((image) => image.repoTags).sort();
    assertEquals(await tags(), [BUSYBOX_IMAGE, spare, PAUSE_IMAGE]);
    const asked: string[] = [];
    const clock = new SimClock();
    const gc = new ImageGc({
      runtime,
      events: node.events,
      clock,
      nodeName: "edge-it",
      thresholds: { highPercent: 85, lowPercent: 80 },
      diskUse: (path) => {
        asked.push(path);
        return Promise.resolve({ capacityBytes: 1e12, availableBytes: 1 });
      },
      // Not even desired: the container that runs is reason enough.
      desiredPods: () => [],
    });
    const { signal } = new AbortController();
    await gc.collect(signal);
    assertEquals((await tags()).length, 3);
    await clock.advance(180_000);
    await gc.collect(signal);
    assertEquals(await tags(), [BUSYBOX_IMAGE, PAUSE_IMAGE]);
    assertEquals(node.events.messages("FreeDiskSpaceFailed").length, 2);
    assertEquals(Deno.statSync(asked[0]!).isDirectory, true);
  } finally {
    await runtime.close();
  }
  await node.deleteAll();
});
