import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AppError } from "../../../shared/errors.ts";
import type { KubeObject, Pod, Volume } from "../../../shared/k8s/types.ts";
import { etcHosts, readTerminationMessage } from "../pod_files.ts";
import { writeAtomically } from "./atomic_writer.ts";
import { prepareHostPath } from "./host_path.ts";
import { NoMounter } from "./mounter.ts";
import { isSafeName, isSafeUid, safeRelative } from "./paths.ts";
import { type Payload, type PayloadContext, volumePayload } from "./payload.ts";
import { PodVolumes, VolumeError } from "./pod_volumes.ts";
import { resolveSubPath } from "./sub_path.ts";

const text = (value: string, mode = 0o644) => ({ bytes: new TextEncoder().encode(value), mode });
const files = (payload: Payload | undefined) =>
  Object.fromEntries(
    Array.from(payload ?? [], ([path, f]) => [path, new TextDecoder().decode(f.bytes)]),
  );

async function inTemp(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-vol-" });
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function context(volumes: Volume[] = []): PayloadContext {
  const pod: Pod = {
    metadata: { name: "p", namespace: "ns", uid: "u-1", labels: { a: "1" } },
    spec: { containers: [{ name: "c", resources: { limits: { memory: "64Mi" } } }], volumes },
  };
  return {
    pod,
    source: {
      configMap: (name) =>
        name === "cm"
          ? { metadata: {}, data: { k: "v", l: "w" }, binaryData: { b: btoa("x") } }
          : undefined,
      secret: (name) => name === "sec" ? { metadata: {}, data: { p: btoa("pw") } } : undefined,
    },
    facts: { nodeName: "n", hostIps: [], podIps: [], allocatable: {} },
  };
}

Deno.test("volumePayload() gives the files of each kind", () => {
  const of = (volume: Omit<Volume, "name">) =>
    files(volumePayload({ name: "v", ...volume }, context()));
  assertEquals(of({ configMap: { name: "cm" } }), { k: "v", l: "w", b: "x" });
  assertEquals(of({ configMap: { name: "cm", items: [{ key: "k", path: "d/e" }] } }), {
    "d/e": "v",
  });
  assertEquals(of({ secret: { secretName: "sec" } }), { p: "pw" });
  assertEquals(of({ configMap: { name: "no", optional: true } }), {});
  assertEquals(
    of({
      downwardAPI: {
        items: [
          { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
          {
            path: "mem",
            resourceFieldRef: { containerName: "c", resource: "limits.memory", divisor: "1Mi" },
          },
        ],
      },
    }),
    { labels: 'a="1"', mem: "64" },
  );
  assertEquals(
    of({
      projected: {
        sources: [{ configMap: { name: "cm", items: [{ key: "k", path: "k" }] } }, {
          secret: { name: "sec" },
        }],
      },
    }),
    { k: "v", p: "pw" },
  );
});

Deno.test("volumePayload() refuses what is missing and what climbs out", () => {
  const refused: [Omit<Volume, "name">, string][] = [
    [{ configMap: { name: "no" } }, 'configmap "no" not found'],
    [{ secret: { secretName: "no" } }, 'secret "no" not found'],
    [
      { configMap: { name: "cm", items: [{ key: "z", path: "z" }] } },
      'references non-existent key "z" in configmap ns/cm',
    ],
    [{ configMap: { name: "cm", items: [{ key: "k", path: "../x" }] } }, "relative path"],
    [{ configMap: { name: "cm", items: [{ key: "k", path: "/x" }] } }, "relative path"],
    [{ configMap: { name: "cm", items: [{ key: "k", path: "..data" }] } }, "must name a file"],
    [{ projected: { sources: [{ clusterTrustBundle: {} }] } }, "is not supported"],
  ];
  for (const [volume, message] of refused) {
    assertThrows(() => volumePayload({ name: "v", ...volume }, context()), AppError, message);
  }
});

Deno.test("writeAtomically() shows all of the old or all of the new", () =>
  inTemp(async (dir) => {
    const read = (name: string) => Deno.readTextFile(`${dir}/${name}`);
    assert(await writeAtomically(dir, new Map([["a", text("1", 0o400)], ["d/b", text("2")]])));
    assertEquals([await read("a"), await read("d/b")], ["1", "2"]);
    assertEquals((await Deno.stat(`${dir}/a`)).mode! & 0o777, 0o400);
    const first = await Deno.readLink(`${dir}/..data`);
    assertEquals(
      await writeAtomically(dir, new Map([["a", text("1", 0o400)], ["d/b", text("2")]])),
      false,
    );
    assertEquals(await Deno.readLink(`${dir}/..data`), first);
    assert(await writeAtomically(dir, new Map([["a", text("3")]])));
    assertEquals(await read("a"), "3");
    const names = [...Deno.readDirSync(dir)].map((e) => e.name).filter((n) => n !== "..data");
    assertEquals(names.filter((n) => !n.startsWith("..")), ["a"]);
    assertEquals(names.length, 2, "the old folder is gone");
  }));

Deno.test("writeAtomically() mends what a crash left", () =>
  inTemp(async (dir) => {
    await Deno.symlink("..gone", `${dir}/..data`);
    await Deno.symlink("..other", `${dir}/..data_tmp`);
    assert(await writeAtomically(dir, new Map([["a", text("1")]])));
    assertEquals(await Deno.readTextFile(`${dir}/a`), "1");
  }));

Deno.test("resolveSubPath() makes folders and never leaves the volume", () =>
  inTemp(async (dir) => {
    const root = `${dir}/vol`;
    await Deno.mkdir(root);
    assertEquals(await resolveSubPath(root, "x/y"), `${root}/x/y`);
    assert((await Deno.stat(`${root}/x/y`)).isDirectory);
    await Deno.symlink("/etc", `${root}/out`);
    await Deno.symlink("x", `${root}/in`);
    assertEquals(await resolveSubPath(root, "in/y"), `${root}/x/y`);
    for (const bad of ["../z", "/etc", "x/../../z", "out", "out/passwd"]) {
      await assertRejects(() => resolveSubPath(root, bad), AppError);
    }
  }));

Deno.test("prepareHostPath() checks the kind and makes what it may", () =>
  inTemp(async (dir) => {
    await prepareHostPath(`${dir}/made/deep`, "DirectoryOrCreate");
    await prepareHostPath(`${dir}/made/deep`, "Directory");
    await prepareHostPath(`${dir}/file`, "FileOrCreate");
    await prepareHostPath(`${dir}/file`, "File");
    await prepareHostPath("/dev/null", "CharDevice");
    await prepareHostPath(`${dir}/absent`, "");
    const refused: [string, string][] = [
      [`${dir}/absent`, "Directory"],
      [`${dir}/absent`, "File"],
      [`${dir}/file`, "Directory"],
      [`${dir}/file`, "Socket"],
      [`${dir}/file`, "BlockDevice"],
      ["relative", ""],
      ["/a/../b", ""],
      [dir, "Nonsense"],
    ];
    for (const [path, type] of refused) {
      await assertRejects(() => prepareHostPath(path, type), AppError);
    }
  }));

Deno.test("PodVolumes prepares again and again, and removes without a trace", () =>
  inTemp(async (dir) => {
    const volumes = new PodVolumes(`${dir}/pods`, new NoMounter());
    const made = context([
      { name: "e", emptyDir: {} },
      { name: "s", secret: { secretName: "sec" } },
      { name: "h", hostPath: { path: dir } },
    ]);
    const prepared = await volumes.prepare(made);
    await Deno.writeTextFile(`${prepared.get("e")!.path}/kept`, "yes");
    await volumes.prepare(made);
    assertEquals(await Deno.readTextFile(`${prepared.get("e")!.path}/kept`), "yes");
    const mounts = await volumes.mounts(
      "uid-1",
      {
        name: "c",
        volumeMounts: [
          { name: "s", mountPath: "/s" },
          { name: "e", mountPath: "e", readOnly: true, subPathExpr: "$(N)" },
        ],
      },
      prepared,
      new Map([["N", "sub"]]),
    );
    assertEquals(mounts.map((m) => [m.containerPath, m.readonly]), [["/s", true], ["/e", true]]);
    assertEquals(mounts[1]?.hostPath, `${dir}/pods/u-1/volumes/e/sub`);
    await volumes.remove("u-1");
    await volumes.remove("u-1");
    assertEquals([...Deno.readDirSync(`${dir}/pods`)], []);
  }));

Deno.test("PodVolumes names the volume it cannot set up", () =>
  inTemp(async (dir) => {
    const volumes = new PodVolumes(`${dir}/pods`, new NoMounter());
    const refused: [Volume, string][] = [
      [
        { name: "data", iscsi: {} },
        'MountVolume.SetUp failed for volume "data" : ' +
        "volume source iscsi is not supported",
      ],
      [{ name: "../up", emptyDir: {} }, "must be a DNS label"],
      [{ name: "m", emptyDir: { medium: "Odd" } }, "medium Odd is not supported"],
    ];
    for (const [volume, message] of refused) {
      await assertRejects(() => volumes.prepare(context([volume])), VolumeError, message);
    }
  }));

Deno.test("names, uids and paths that are none are told apart", () => {
  assertEquals(["web", "a.b-c", "", "A", "-a", "a..b", "a/b", "x".repeat(260)].map(isSafeName), [
    true,
    true,
    false,
    false,
    false,
    false,
    false,
    false,
  ]);
  assertEquals(["2f-9", "..", "a/b", "", undefined].map(isSafeUid), [
    true,
    false,
    false,
    false,
    false,
  ]);
  assertEquals(safeRelative("a//./b", "x"), "a/b");
});

Deno.test("etcHosts() names the pod, its aliases, and takes the host's file on its network", () => {
  const { pod } = context();
  pod.spec.hostAliases = [{ ip: "1.2.3.4", hostnames: ["x", "y"] }];
  pod.spec.subdomain = "sub";
  const input = { podIps: ["10.0.0.2"], clusterDomain: "c.local", hostFile: "9.9.9.9 host\n" };
  const made = etcHosts(pod, input);
  assert(made.includes("10.0.0.2\tp.sub.ns.svc.c.local\tp\n"), made);
  assert(made.includes("1.2.3.4\tx\ty\n"), made);
  pod.spec.hostNetwork = true;
  assert(etcHosts(pod, input).includes("9.9.9.9 host\n"));
});

Deno.test("readTerminationMessage() reads the file, else the end of the log where asked", () =>
  inTemp(async (dir) => {
    const file = `${dir}/m`;
    const logPath = `${dir}/0.log`;
    await Deno.writeTextFile(file, "x".repeat(5_000));
    await Deno.writeTextFile(logPath, "2026-01-01T00:00:00Z stderr F one\nT stdout F two\n");
    const of = (q: Partial<Parameters<typeof readTerminationMessage>[0]>) =>
      readTerminationMessage({ file: "", logPath, fallbackToLogs: true, exitCode: 1, ...q });
    assertEquals((await of({ file })).length, 4_096);
    assertEquals(await of({}), "one\ntwo\n");
    assertEquals(await of({ exitCode: 0 }), "");
    assertEquals(await of({ fallbackToLogs: false, file: `${dir}/absent` }), "");
  }));

Deno.test("a claim stands for the local or hostPath volume it is bound to", async () => {
  await inTemp(async (dir) => {
    Deno.mkdirSync(`${dir}/disk`);
    Deno.writeTextFileSync(`${dir}/disk/file`, "x");
    const claims: Record<string, KubeObject> = {
      good: claim("pv-local"),
      host: claim("pv-host"),
      csi: claim("pv-csi"),
      lost: claim("pv-none"),
      stolen: claim("pv-stolen"),
      waits: { metadata: {}, spec: {}, status: { phase: "Pending" } },
      "p-scratch": claim("pv-local"),
    };
    const volumes: Record<string, KubeObject> = {
      "pv-local": { metadata: {}, spec: { local: { path: `${dir}/disk` } } },
      "pv-host": {
        metadata: {},
        spec: { hostPath: { path: `${dir}/new`, type: "DirectoryOrCreate" } },
      },
      "pv-csi": { metadata: {}, spec: { csi: { driver: "d" } } },
      "pv-stolen": { metadata: {}, spec: { claimRef: { uid: "another" }, local: { path: dir } } },
    };
    const storage = {
      claim: (name: string) => claims[name],
      volume: (name: string) => volumes[name],
    };
    const podVolumes = new PodVolumes(`${dir}/pods`, new NoMounter());
    const prepare = async (volume: Omit<Volume, "name">, name = "v") => {
      const given = { ...context([{ name, ...volume }]), storage };
      return (await podVolumes.prepare(given)).get(name);
    };
    const of = (claimName: string) => ({ persistentVolumeClaim: { claimName } });
    assertEquals(await prepare(of("good")), { path: `${dir}/disk`, readOnly: false });
    assertEquals(
      await prepare({ persistentVolumeClaim: { claimName: "good", readOnly: true } }),
      { path: `${dir}/disk`, readOnly: true },
    );
    assertEquals((await prepare(of("host")))?.path, `${dir}/new`);
    assertEquals((await prepare({ ephemeral: {} }, "scratch"))?.path, `${dir}/disk`);
    const refusals: [string, string][] = [
      ["absent", 'persistentvolumeclaim "absent" not found'],
      ["waits", 'PVC is not bound: phase "Pending", volume ""'],
      ["lost", 'persistentvolume "pv-none" not found'],
      ["csi", 'persistentvolume "pv-csi" is neither local, hostPath nor nfs'],
      ["stolen", 'persistentvolume "pv-stolen" is bound to another claim'],
    ];
    for (const [name, why] of refusals) {
      await assertRejects(
        () => prepare(of(name)),
        VolumeError,
        `MountVolume.SetUp failed for volume "v" : error processing PVC ns/${name}: ${why}`,
      );
    }
  });
});

Deno.test("a local volume is given to the pod's group once for the pod, by its policy", () =>
  inTemp(async (dir) => {
    Deno.mkdirSync(`${dir}/disk`);
    Deno.writeTextFileSync(`${dir}/disk/file`, "x");
    const volume = { metadata: {}, spec: { local: { path: `${dir}/disk` } } };
    const storage = { claim: () => claim("pv"), volume: () => volume };
    const podVolumes = new PodVolumes(`${dir}/pods`, new NoMounter());
    const fsGroup = Deno.gid() ?? 0;
    const prepare = async (name: string, fsGroupChangePolicy = "", more: object = {}) => {
      const source = { persistentVolumeClaim: { claimName: "good", ...more } };
      const given = { ...context([{ name, ...source }]), storage };
      given.pod.spec.securityContext = { fsGroup, fsGroupChangePolicy };
      await podVolumes.prepare(given);
    };
    await prepare("v");
    const mode = (path: string) => (Deno.statSync(path).mode ?? 0) & 0o7777;
    assertEquals(mode(`${dir}/disk`) & 0o2070, 0o2070);
    assertEquals(mode(`${dir}/disk/file`) & 0o060, 0o060);
    // Once for a pod: what it does to its files itself is left as it is.
    await Deno.chmod(`${dir}/disk/file`, 0o600);
    await prepare("v");
    assertEquals(mode(`${dir}/disk/file`), 0o600);
    await prepare("w", "", { readOnly: true });
    assertEquals(mode(`${dir}/disk/file`), 0o600, "nothing is given that may only be read");
    await prepare("w");
    assertEquals(mode(`${dir}/disk/file`), 0o660, "Always: for the next, all of it again");
    await Deno.chmod(`${dir}/disk/file`, 0o600);
    await prepare("x", "OnRootMismatch");
    assertEquals(mode(`${dir}/disk/file`), 0o600, "the top is the group's already");
    await assertRejects(
      () => prepare("y", "Sometimes"),
      VolumeError,
      'MountVolume.SetUp failed for volume "y" : fsGroupChangePolicy must be',
    );
  }));

function claim(volumeName: string): KubeObject {
  return { metadata: { uid: "c-1" }, spec: { volumeName }, status: { phase: "Bound" } };
}

Deno.test("a token is the one sent for its audience; without it the pod waits", () => {
  const source = { audience: "vault", expirationSeconds: 600, path: "t" };
  const volume = { name: "v", projected: { sources: [{ serviceAccountToken: source }] } };
  const token = { expirationSeconds: 600, issuedAtMs: 0, expiresAtMs: 1, token: "old" };
  const tokens = [{ ...token, audience: "" }, { ...token, audience: "vault", token: "mine" }];
  const payload = volumePayload(volume, { ...context(), tokens });
  assertEquals(new TextDecoder().decode(payload?.get("t")?.bytes), "mine");
  assertThrows(
    () => volumePayload(volume, context()),
    AppError,
    'token of service account "default" has not come from the cloud yet',
  );
});
