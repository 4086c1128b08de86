/** Log rotation and links on a real, private containerd. Needs root, containerd, CNI, busybox. */
import { assert, assertMatch } from "@std/assert";
import { POD_NODE_PARTS, PodNode } from "../support/pod_node.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

testWith(POD_NODE_PARTS, "containerd goes on in a new file when a log is rotated", async () => {
  const links = await Deno.makeTempDir({ prefix: "skerry-links-" });
  try {
    await using node = await PodNode.start({
      logs: { bytesMax: 5_000, filesMax: 3, linksDir: links },
    });
    const script = "trap 'exit 0' TERM; n=0; while true; do n=$((n+1)); echo line $n " +
      "padding padding padding; sleep 0.05; done";
    const pod = node.pod("chatty", script);
    node.ledger.put("pods", pod);
    await node.phase(pod, "Running");
    const dir = `${node.dir}/logs/default_chatty_${pod.metadata.uid}/main`;
    const names = () => [...Deno.readDirSync(dir)].map((entry) => entry.name).sort();
    await until(() => names().length === 2, { what: "a rotated file", timeoutMs: 30_000 });
    const [current, rotated] = names().map((name) => `${dir}/${name}`) as [string, string];
    await until(() => Deno.statSync(current).size > 0, { what: "lines in the new file" });
    // No line is lost between the two.
    const lines = (Deno.readTextFileSync(rotated) + Deno.readTextFileSync(current)).trim().split(
      "\n",
    );
    const numbers = lines.map((line) => Number(/line (\d+) /.exec(line)?.[1]));
    assert(numbers.every((n, i) => n === i + 1), `${numbers}`);
    const [link] = [...Deno.readDirSync(links)].map((entry) => entry.name);
    assertMatch(link ?? "", /^chatty_default_main-[0-9a-f]{64}\.log$/);
    assertMatch(Deno.readTextFileSync(`${links}/${link}`), /stdout F line/);
    await node.deleteAll();
  } finally {
    await Deno.remove(links, { recursive: true });
  }
});
