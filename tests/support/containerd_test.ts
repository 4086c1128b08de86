import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { cniConflist, containerdToml, freeSubnet, lacksSysResource } from "./containerd_config.ts";
import { majorVersion } from "./containerd_programs.ts";
import { hostPortUndo, mountsBelow, natUndo } from "./containerd_sweep.ts";

Deno.test("containerdToml() keeps everything below its folder", () => {
  for (const format of [2, 3] as const) {
    const toml = containerdToml({
      dir: "/t/c",
      format,
      sandboxImage: "skerry.local/pause:1",
      snapshotter: "native",
      restrictOomScoreAdj: true,
      cniBinDir: "/usr/lib/cni",
    });
    const paths = [...toml.matchAll(/= "(\/[^"]+)"/g)].map((match) => match[1]);
    assertEquals(paths.filter((path) => !path?.startsWith("/t/c/")), ["/usr/lib/cni"]);
    assertStringIncludes(toml, `version = ${format}\n`);
    assertStringIncludes(toml, "restrict_oom_score_adj = true");
    assertStringIncludes(toml, 'snapshotter = "native"');
    assertStringIncludes(toml, '= "skerry.local/pause:1"');
  }
});

Deno.test("majorVersion() reads what containerd prints of itself", () => {
  assertEquals(majorVersion("containerd github.com/containerd/containerd 1.6.20~ds1"), 1);
  assertEquals(majorVersion("containerd github.com/containerd/containerd/v2 v2.1.4 abc"), 2);
  assertThrows(() => majorVersion("containerd built from source"), AppError, "No version");
});

Deno.test("cniConflist() names its own bridge, subnet and address folder", () => {
  const network = { name: "skerry-1", bridge: "sk1", subnet: "10.100.1.0/24", ownsHostPorts: true };
  const list = JSON.parse(cniConflist(network, "/t/c"));
  assertEquals(list.plugins[0].bridge, "sk1");
  assertEquals(list.plugins[0].ipam.ranges, [[{ subnet: "10.100.1.0/24" }]]);
  assertEquals(list.plugins[0].ipam.dataDir, "/t/c/cni/addresses");
});

Deno.test("freeSubnet() skips what has a route and says when nothing is left", () => {
  assertEquals(freeSubnet("", 0), "10.100.0.0/24");
  assertEquals(freeSubnet("10.100.0.0/24 dev br0", 0), "10.100.1.0/24");
  assertEquals(freeSubnet("", 0.999999), "10.199.255.0/24");
  const all = Array.from(
    { length: 100 * 256 },
    (_, at) => `10.${100 + (at >> 8)}.${at & 255}.0/24`,
  );
  assertThrows(() => freeSubnet(all.join("\n"), 0.5), RangeError);
});

Deno.test("lacksSysResource() reads bit 24 of the effective capabilities", () => {
  assertEquals(lacksSysResource("CapEff:\t000001fffeffffff\n"), true);
  assertEquals(lacksSysResource("CapEff:\t000001ffffffffff\n"), false);
});

Deno.test("mountsBelow() gives the mounts of one folder, deepest first", () => {
  const line = (path: string) => `36 35 0:3 / ${path} rw - tmpfs tmpfs rw`;
  const info = ["/t/c/a", "/t/c/a/b", "/t/cc/x", "/t/c"].map(line).join("\n");
  assertEquals(mountsBelow(info, "/t/c"), ["/t/c/a/b", "/t/c/a"]);
});

Deno.test("natUndo() removes the rules and chains of one network only", () => {
  const chain = "CNI-0123456789abcdef01234567";
  const rules = [
    `-N ${chain}`,
    `-A POSTROUTING -s 10.1.0.2/32 -m comment --comment "name: \\"ours\\" id: \\"\\"" -j ${chain}`,
    `-A POSTROUTING -s 10.1.0.3/32 -m comment --comment "name: \\"other\\" id: \\"y\\"" -j CNI-ff`,
    `-A ${chain} -d 10.1.0.0/24 -m comment --comment "name: \\"ours\\" id: \\"x\\"" -j ACCEPT`,
  ].join("\n");
  assertEquals(natUndo(rules, "ours"), [
    [
      "-D",
      "POSTROUTING",
      "-s",
      "10.1.0.2/32",
      "-m",
      "comment",
      "--comment",
      `name: "ours" id: ""`,
      "-j",
      chain,
    ],
    ["-F", chain],
    ["-X", chain],
  ]);
});

Deno.test("hostPortUndo() removes the common chains only when no host port is left", () => {
  const common = [
    "-N CNI-HOSTPORT-DNAT",
    "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
  ];
  assertEquals(hostPortUndo(common.join("\n")), [
    ["-D", "OUTPUT", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "CNI-HOSTPORT-DNAT"],
    ["-F", "CNI-HOSTPORT-DNAT"],
    ["-X", "CNI-HOSTPORT-DNAT"],
  ]);
  const used = "-A CNI-HOSTPORT-DNAT -p tcp --dport 80 -j CNI-DN-0123456789abcdef";
  assertEquals(hostPortUndo([...common, used].join("\n")), []);
});
