/** Volumes as containers see them, in as few pods as it takes. */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import type { Pod, Volume, VolumeMount } from "../../shared/k8s/types.ts";
import { must, run } from "../support/process.ts";
import type { Site } from "../support/site.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { type SiteContext, siteTest } from "./site_test_case.ts";

const NEVER = { restartPolicy: "Never" } as const;

const resource = (name: string, divisor: string) => ({
  resourceFieldRef: { containerName: "main", resource: name, divisor },
});
const SOURCES = [
  { configMap: { name: "words", items: [{ key: "a", path: "deep/a", mode: 0o440 }] } },
  { secret: { name: "hidden" } },
  { secret: { name: "absent", optional: true } },
  {
    downwardAPI: {
      items: [
        { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
        { path: "cpu", ...resource("limits.cpu", "1m") },
        { path: "memory", ...resource("requests.memory", "1Mi") },
      ],
    },
  },
];

/** The lines a pod prints, once it has ended. */
async function printed(site: Site, manifest: ReturnType<typeof podManifest>): Promise<string[]> {
  const { name } = manifest.metadata;
  await site.kubectl.apply(manifest);
  await site.podIs(name, "ended", ({ status }) => /Succeeded|Failed/.test(status?.phase ?? ""));
  return (await site.kubectl.must(["logs", name])).trimEnd().split("\n");
}

async function says(site: Site, name: string, reason: string): Promise<string> {
  return await until(async () => {
    const events = await site.cloud.events(name);
    return events.find((event) => event.reason === reason)?.message;
  }, { what: `event ${reason} on ${name}`, timeoutMs: 30_000 });
}

siteTest("volumes hold what their kinds promise", async (context) => {
  const { site, t } = context;
  await t.step(
    "hostPath: each type, made where it may be, refused by name",
    () => hostPaths(context),
  );
  await t.step("downward API, projected parts, expansion, modes", () => files(context));
  await t.step("fsGroup: whose the files are", () => groups(context));
  await t.step("mounts travel as far as their propagation says", () => propagation(context));
  await t.step("a configMap that is optional may be missing, and shows up later", async () => {
    const volume = { name: "v", configMap: { name: "later", optional: true } };
    await site.kubectl.apply(podManifest("optional", {
      script: "ls /v; until [ -e /v/k ]; do sleep 0.1; done; cat /v/k; readlink /v/k",
      container: { volumeMounts: [{ name: "v", mountPath: "/v" }] },
      spec: { ...NEVER, volumes: [volume] },
    }));
    await site.podRuns("optional");
    await site.kubectl.must(["create", "configmap", "later", "--from-literal=k=here"]);
    await site.podIs("optional", "ended", ({ status }) => status?.phase === "Succeeded");
    assertEquals(await site.kubectl.must(["logs", "optional"]), "here..data/k\n");
  });
});

async function hostPaths({ site }: SiteContext): Promise<void> {
  const dir = join(site.dir, "host");
  await Deno.mkdir(dir);
  await Deno.writeTextFile(join(dir, "file"), "text\n");
  using _socket = Deno.listen({ transport: "unix", path: join(dir, "socket") });
  const types: [string, string][] = [
    ["new/folder", "DirectoryOrCreate"],
    ["new-file", "FileOrCreate"],
    [".", "Directory"],
    ["file", "File"],
    ["socket", "Socket"],
  ];
  const volumes: Volume[] = types.map(([path, type], i) => ({
    name: `v${i}`,
    hostPath: { path: join(dir, path), type },
  }));
  volumes.push({ name: "v5", hostPath: { path: "/dev/null", type: "CharDevice" } });
  const isBlock = (await run("mknod", [join(dir, "block"), "b", "7", "77"])).code === 0;
  if (isBlock) {
    volumes.push({ name: "v6", hostPath: { path: join(dir, "block"), type: "BlockDevice" } });
  }
  const volumeMounts = volumes.map(({ name }) => ({ name, mountPath: `/m/${name}` }));
  const lines = await printed(
    site,
    podManifest("host", {
      script: "stat -c '%n %F' /m/*; echo more >> /m/v1; cat /m/v3",
      container: { volumeMounts },
      spec: { ...NEVER, volumes },
    }),
  );
  assertEquals(lines, [
    "/m/v0 directory",
    "/m/v1 regular empty file",
    "/m/v2 directory",
    "/m/v3 regular file",
    "/m/v4 socket",
    "/m/v5 character special file",
    ...isBlock ? ["/m/v6 block special file"] : [],
    "text",
  ]);
  const info = await Deno.stat(join(dir, "new-file"));
  assertEquals([info.size, (info.mode ?? 0) & 0o777], [5, 0o644]);
  assertEquals(((await Deno.stat(join(dir, "new/folder"))).mode ?? 0) & 0o777, 0o755);
  const wrong = { name: "v", hostPath: { path: join(dir, "file"), type: "Directory" } };
  await site.kubectl.apply(podManifest("wrong", {
    container: { volumeMounts: [{ name: "v", mountPath: "/v" }] },
    spec: { volumes: [wrong] },
  }));
  assertEquals(
    await says(site, "wrong", "FailedMount"),
    `MountVolume.SetUp failed for volume "v" : hostPath type check failed: ${dir}/file is not ` +
      "a directory",
  );
}

async function files({ site }: SiteContext): Promise<void> {
  const { kubectl } = site;
  await kubectl.must(["create", "configmap", "words", "--from-literal=a=alpha"]);
  await kubectl.must(["create", "secret", "generic", "hidden", "--from-literal=key=s3cret"]);
  const volumeMounts: VolumeMount[] = [
    { name: "all", mountPath: "/all", readOnly: true },
    { name: "scratch", mountPath: "/mine", subPathExpr: "$(POD_NAME)/$(A)" },
    { name: "scratch", mountPath: "/whole" },
    { name: "memory", mountPath: "/memory" },
  ];
  const lines = await printed(
    site,
    podManifest("files", {
      script: "cd /all; cat deep/a; echo; cat key; echo; cat labels; echo; cat cpu; echo; " +
        "cat memory; echo; stat -L -c %a deep/a key; touch x 2>&1; touch /mine/x; " +
        "find /whole -type f; echo $CPU $MEMORY $B; grep -c '/memory tmpfs' /proc/mounts; " +
        "dd if=/dev/zero of=/memory/x bs=1M count=3 2>&1 | grep -o 'No space'",
      container: {
        volumeMounts,
        resources: {
          requests: { cpu: "100m", memory: "16Mi" },
          limits: { cpu: "250m", memory: "64Mi" },
        },
        env: [
          { name: "A", value: "part" },
          { name: "B", value: "$(A)-$(POD_NAME)-$$(A)-$(NONE)" },
          { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
          { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
          {
            name: "MEMORY",
            valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Ki" } },
          },
        ],
      },
      spec: {
        ...NEVER,
        volumes: [
          { name: "all", projected: { sources: SOURCES, defaultMode: 0o400 } },
          { name: "scratch", emptyDir: {} },
          { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "2Mi" } },
        ],
      },
    }),
  );
  assertEquals(lines, [
    "alpha",
    "s3cret",
    'app="files"',
    "250",
    "16",
    "440",
    "400",
    "touch: x: Read-only file system",
    "/whole/files/part/x",
    "1 65536 part-$(POD_NAME)-$(A)-$(NONE)",
    "1",
    "No space",
  ]);
}

async function groups({ site }: SiteContext): Promise<void> {
  const lines = await printed(
    site,
    podManifest("grouped", {
      script: "id -u; id -g; id -G; touch /scratch/x; stat -c '%g %a' /scratch /scratch/x; " +
        "stat -L -c '%g %a' /secret/key; cat /secret/key",
      container: {
        volumeMounts: [
          { name: "scratch", mountPath: "/scratch" },
          { name: "secret", mountPath: "/secret" },
        ],
      },
      spec: {
        ...NEVER,
        securityContext: {
          runAsUser: 1_000,
          runAsGroup: 3_000,
          fsGroup: 2_000,
          supplementalGroups: [4_000],
        },
        volumes: [
          { name: "scratch", emptyDir: {} },
          { name: "secret", secret: { secretName: "hidden", defaultMode: 0o400 } },
        ],
      },
    }),
  );
  assertEquals(lines.slice(0, 2), ["1000", "3000"]);
  assertEquals(lines[2]?.split(" ").sort(), ["2000", "3000", "4000"]);
  assertEquals(lines.slice(3), ["2000 2777", "2000 644", "2000 440", "s3cret"]);
}

async function propagation({ site }: SiteContext): Promise<void> {
  const dir = join(site.dir, "shared");
  await Deno.mkdir(dir);
  await must("mount", ["--bind", dir, dir]);
  await must("mount", ["--make-shared", dir]);
  const mounting = (name: string, mountPropagation: string, script: string, privileged = false) =>
    podManifest(name, {
      script,
      container: {
        volumeMounts: [{ name: "v", mountPath: "/v", mountPropagation } as VolumeMount],
        securityContext: { privileged },
      },
      spec: { ...NEVER, volumes: [{ name: "v", hostPath: { path: dir } }] },
    });
  const sees = "until [ -e /v/in/mark ]; do sleep 0.1; done; echo seen";
  const blind = "until [ -e /v/told ]; do sleep 0.1; done; ls /v/in";
  await site.kubectl.apply(mounting("slave", "HostToContainer", sees));
  await site.kubectl.apply(mounting("none", "None", blind));
  await Promise.all(["slave", "none"].map((name) => site.podRuns(name)));
  const mounts = "mkdir /v/in; mount -t tmpfs t /v/in; touch /v/in/mark; touch /v/told; " +
    "until [ -e /v/done ]; do sleep 0.1; done; umount /v/in";
  await site.kubectl.apply(mounting("master", "Bidirectional", mounts, true));
  const isOver = ({ status }: Pod) => status?.phase === "Succeeded";
  for (const name of ["slave", "none"]) await site.podIs(name, "ended", isOver);
  assertEquals(await site.kubectl.must(["logs", "slave"]), "seen\n");
  assertEquals(await site.kubectl.must(["logs", "none"]), "");
  assertMatch(await Deno.readTextFile("/proc/mounts"), new RegExp(`${dir}/in tmpfs`));
  await Deno.writeTextFile(join(dir, "done"), "");
  await site.podIs("master", "ended", isOver);
  const manifest = JSON.stringify(mounting("plain", "Bidirectional", "true"));
  const { stderr } = await site.kubectl.run(["apply", "-f", "-"], { stdin: manifest });
  assertMatch(stderr, /Bidirectional mount propagation is available only to privileged containers/);
}
