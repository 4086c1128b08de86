import { assert, assertEquals, assertMatch } from "@std/assert";
import { IMAGE, TestNode, testPod } from "../testing.ts";
import { linkName } from "./log_links.ts";
import { planRotated, rotationStamp } from "./log_rotation.ts";
import { type KnownImage, planImageGc } from "./plan_image_gc.ts";

const FOREVER = "trap 'exit 0' TERM; while true; do sleep 5; done";
const CHATTY = "while true; do echo 0123456789012345678901234567890123456789; sleep 1; done";
const GB = 1e9;

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map((entry) => entry.name).sort();
}

Deno.test("logs are rotated at their size; older ones are gzipped, the oldest go", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("web", CHATTY));
  await node.phase("uid-web", "Running");
  const dir = `${node.dir}/logs/default_web_uid-web/main`;
  await node.clock.until(() => names(dir).length === 2, { withinMs: 120_000 });
  const [, first = ""] = names(dir);
  assertMatch(first, /^0\.log\.\d{8}-\d{6}$/);
  assert(Deno.statSync(`${dir}/${first}`).size >= 1_000);
  await node.clock.until(() => names(dir).includes(`${first}.gz`), { withinMs: 60_000 });
  const gzip = await Deno.open(`${dir}/${first}.gz`);
  const text = gzip.readable.pipeThrough(new DecompressionStream("gzip"));
  assertMatch(await new Response(text).text(), /^\S+ stdout F 0123/);
  await node.clock.until(() => {
    const all = names(dir);
    const zipped = all.filter((name) => name.endsWith(".gz"));
    return !all.includes(`${first}.gz`) && all.length === 3 && zipped.length === 1;
  }, { withinMs: 60_000 });
});

Deno.test("a log that cannot be reopened keeps its name; a vanished one is made anew", async () => {
  await using node = await TestNode.start();
  node.apply(testPod("web", CHATTY));
  await node.phase("uid-web", "Running");
  const dir = `${node.dir}/logs/default_web_uid-web/main`;
  node.world.faults.fail("ReopenContainerLog", "internal", "injected", 1);
  await node.clock.advance(25_000);
  assertEquals(names(dir), ["0.log"]);
  Deno.removeSync(`${dir}/0.log`);
  await node.clock.until(() => names(dir)[0] === "0.log");
});

Deno.test("what stays of rotated logs", () => {
  const table: [string[], number, string[], string[]][] = [
    [[], 5, [], []],
    [["l.1.gz", "l.2.gz", "l.3.gz", "l.4"], 5, ["l.2.gz", "l.3.gz", "l.4"], ["l.1.gz"]],
    [["l.1", "l.1.gz", "l.2.gz.tmp"], 5, ["l.1.gz"], ["l.2.gz.tmp", "l.1"]],
    [["l.1"], 2, [], ["l.1"]],
  ];
  for (const [files, filesMax, rotated, remove] of table) {
    assertEquals(planRotated(files, filesMax), { rotated, remove });
  }
  assertEquals(rotationStamp(Date.UTC(2026, 0, 2, 3, 4, 5)), "20260102-030405");
});

Deno.test("logs are linked for collectors, and links without a log are swept", async () => {
  await using node = await TestNode.start();
  Deno.mkdirSync(`${node.dir}/links`);
  Deno.symlinkSync("/nowhere/else", `${node.dir}/links/other.log`);
  node.apply(testPod("web", FOREVER));
  const status = await node.phase("uid-web", "Running");
  const containerId = status.containerStatuses![0]!.containerID!.slice("fake://".length);
  const link = `web_default_main-${containerId}.log`;
  await node.clock.until(() => names(`${node.dir}/links`).includes(link));
  assertEquals(
    Deno.readLinkSync(`${node.dir}/links/${link}`),
    `${node.dir}/logs/default_web_uid-web/main/0.log`,
  );
  Deno.removeSync(`${node.dir}/links/${link}`);
  await node.clock.until(() => names(`${node.dir}/links`).includes(link), { withinMs: 80_000 });
  node.ledger.drop("pods/default/web");
  await node.clock.until(() => names(`${node.dir}/links`).join() === "other.log", {
    withinMs: 80_000,
  });
  const long = { podName: "p".repeat(250), namespace: "n", container: "c", containerId: "i" };
  assertEquals(linkName(long).length, 255);
});

Deno.test("image collection: thresholds, age and order", () => {
  const image = (id: string, change: Partial<KnownImage> = {}): KnownImage => ({
    id,
    bytes: GB,
    pinned: false,
    inUse: false,
    firstSeenAtMs: 0,
    lastUsedAtMs: 0,
    ...change,
  });
  const images = [
    image("old", { lastUsedAtMs: 10 }),
    image("older", { lastUsedAtMs: 5 }),
    image("used", { inUse: true }),
    image("pinned", { pinned: true }),
    image("young", { firstSeenAtMs: 990_000 }),
  ];
  const plan = (availableBytes: number, highPercent = 85) =>
    planImageGc(
      images,
      { capacityBytes: 10 * GB, availableBytes },
      { highPercent, lowPercent: 80 },
      1_000_000,
    );
  const short = (availableBytes: number, highPercent?: number) => {
    const { bytesToFree, remove } = plan(availableBytes, highPercent);
    return [bytesToFree / GB, remove.map((i) => i.id).join()];
  };
  assertEquals(short(2 * GB), [0, ""]);
  assertEquals(short(1.6 * GB), [0, ""]);
  assertEquals(short(1.5 * GB), [0.5, "older"]);
  assertEquals(short(0.5 * GB), [1.5, "older,old"]);
  assertEquals(short(0), [2, "older,old"]);
  assertEquals(short(0, 100), [0, ""]);
});

Deno.test("a full disk costs unused images only, and a node that stays full says so", async () => {
  await using node = await TestNode.start();
  const spare = node.world.images.add({ name: "docker.io/skerry/spare:1" });
  const pause = node.world.images.add({ name: "registry.k8s.io/pause:3.9" });
  const wanted = node.world.images.add({ name: "docker.io/library/wanted:latest" });
  node.apply(testPod("web", FOREVER));
  node.apply(testPod("waits", FOREVER, (pod) => {
    pod.spec.containers[0]!.image = "wanted";
    pod.spec.containers[0]!.imagePullPolicy = "Never";
    pod.spec.volumes = [{ name: "c", configMap: { name: "absent" } }];
  }));
  await node.phase("uid-web", "Running");
  await node.clock.advance(200_000);
  assert(node.world.images.find(spare.id));
  node.diskUse = { capacityBytes: 1e8, availableBytes: 1e6 };
  await node.clock.until(() => !node.world.images.find(spare.id), { withinMs: 320_000 });
  for (const name of [IMAGE, pause.id, wanted.id]) assert(node.world.images.find(name), name);
  await node.clock.until(() => node.events.messages("FreeDiskSpaceFailed").length > 0);
  assertMatch(
    node.events.messages("FreeDiskSpaceFailed")[0]!,
    /^Failed to garbage collect required amount of images\. Attempted to free 19000000 bytes/,
  );
});

Deno.test("an emptyDir that outgrows its limit ends its pod, and no other", async () => {
  await using node = await TestNode.start();
  for (const name of ["big", "small"]) {
    node.apply(testPod(name, FOREVER, (pod) => {
      pod.spec.volumes = [{ name: "scratch", emptyDir: { sizeLimit: "100Ki" } }];
      pod.spec.containers[0]!.volumeMounts = [{ name: "scratch", mountPath: "/s" }];
    }));
    await node.phase(`uid-${name}`, "Running");
  }
  const folder = (name: string) => `${node.dir}/pods/uid-${name}/volumes/scratch`;
  Deno.mkdirSync(`${folder("big")}/deep`);
  Deno.writeFileSync(`${folder("big")}/deep/file`, new Uint8Array(200 * 1024).fill(1));
  Deno.writeFileSync(`${folder("small")}/file`, new Uint8Array(50 * 1024).fill(1));
  const status = await node.phase("uid-big", "Failed", 80_000);
  assertEquals([status.reason, status.message], [
    "Evicted",
    'Usage of EmptyDir volume "scratch" exceeds the limit "100Ki". ',
  ]);
  await node.clock.advance(120_000);
  assertEquals(node.status("uid-small")?.phase, "Running");
  assertEquals(node.events.messages("Evicted").length, 1);
});
