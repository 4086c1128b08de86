import { assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../../../shared/errors.ts";
import { nfsArguments } from "./mounter.ts";
import { parseMounts, showsPartOf } from "./mount_table.ts";

const TABLE = [
  "21 1 8:1 / / rw - ext4 /dev/sda1 rw",
  "22 21 0:5 / /tmp/a\\040b rw - tmpfs tmpfs rw",
  "23 21 8:2 /data /srv/vol rw - ext4 /dev/sdb1 rw",
  "24 23 8:3 / /srv/vol/inner rw - ext4 /dev/sdc1 rw",
].join("\n");

function shows(line: string, volume: string): boolean {
  return showsPartOf(parseMounts(`${TABLE}\n${line}`), volume, "/t");
}

Deno.test("a bind is told by where it leads: into its volume, or out of it", () => {
  const cases: [string, string, boolean][] = [
    ["8:1 /var/vol/part /t", "/var/vol", true],
    ["8:1 /var/vol /t", "/var/vol", true],
    ["8:1 /var/volume2 /t", "/var/vol", false],
    ["8:1 /etc /t", "/var/vol", false],
    ["8:2 /data/part /t", "/srv/vol", true],
    ["8:2 /part /t", "/srv/vol", false],
    ["8:2 /data/x/y /t", "/srv/vol/x", true],
    ["8:2 /data/z /t", "/srv/vol/x", false],
    // on what is mounted in the volume, and the same place of another file system
    ["8:3 /anything /t", "/srv/vol", true],
    ["8:1 /data/part /t", "/srv/vol", false],
    ["0:5 /f /t", "/tmp/a b", true],
  ];
  for (const [mount, volume, expected] of cases) {
    assertEquals(shows(`25 21 ${mount} rw - x x rw`, volume), expected, `${mount} in ${volume}`);
  }
  assertEquals(showsPartOf(parseMounts(TABLE), "/srv/vol", "/t"), false);
});

Deno.test("an NFS mount names server, path, options; what could be another is refused", () => {
  const source = { server: "10.0.0.1", path: "/export/a b", readOnly: false, options: [] };
  assertEquals(nfsArguments(source, "/p"), ["-t", "nfs", "10.0.0.1:/export/a b", "/p"]);
  assertEquals(
    nfsArguments({ ...source, server: "fe80::1", readOnly: true, options: ["nfsvers=4.1"] }, "/p"),
    ["-t", "nfs", "-o", "nfsvers=4.1,ro", "[fe80::1]:/export/a b", "/p"],
  );
  const bad = [
    { ...source, server: "-o suid" },
    { ...source, server: "" },
    { ...source, path: "export" },
    { ...source, path: "/a/../../etc" },
    { ...source, options: ["ro,exec"] },
  ];
  for (const one of bad) {
    assertThrows(() => nfsArguments(one, "/p"), AppError);
  }
});
