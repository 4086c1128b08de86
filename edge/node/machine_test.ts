import { assert, assertEquals } from "@std/assert";
import { Machine } from "./machine.ts";
import {
  cpuLimit,
  defaultInterface,
  defaultInterface6,
  meminfoBytes,
  memoryLimit,
  nodeAddresses,
  osImage,
} from "./parse_machine.ts";

const ROUTES = `Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
wlan0 00000000 010200C0 0003 0 0 600 00000000 0 0 0
eth0 00000000 010200C0 0003 0 0 100 00000000 0 0 0
eth1 00000000 010200C0 0002 0 0 1 00000000 0 0 0
eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0
`;

Deno.test("defaultInterface() is the one of the best default route that is up", () => {
  assertEquals(defaultInterface(ROUTES), "eth0");
  assertEquals(defaultInterface("Iface Destination\n"), undefined);
});

Deno.test("defaultInterface6() does not take the loopback's reject route", () => {
  const zero = "0".repeat(32);
  const line = (metric: string, name: string) =>
    `${zero} 00 ${zero} 00 ${zero} ${metric} 00000001 00000000 00000003 ${name}`;
  assertEquals(defaultInterface6(`${line("ffffffff", "lo")}\n${line("00000400", "eth0")}`), "eth0");
  assertEquals(defaultInterface6(line("ffffffff", "lo")), undefined);
});

Deno.test("nodeAddresses() takes one of each family, never a container bridge's", () => {
  const interfaces = [
    { name: "lo", family: "IPv4" as const, address: "127.0.0.1" },
    { name: "cni0", family: "IPv4" as const, address: "10.88.0.1" },
    { name: "eth0", family: "IPv4" as const, address: "192.0.2.2" },
    { name: "wlan0", family: "IPv4" as const, address: "198.51.100.2" },
    { name: "eth0", family: "IPv6" as const, address: "fe80::1" },
    { name: "eth0", family: "IPv6" as const, address: "2001:db8::2" },
  ];
  const none = { IPv4: undefined, IPv6: undefined };
  assertEquals(nodeAddresses(interfaces, none), ["192.0.2.2", "2001:db8::2"]);
  assertEquals(nodeAddresses(interfaces, { ...none, IPv4: "wlan0" }), [
    "198.51.100.2",
    "2001:db8::2",
  ]);
  assertEquals(nodeAddresses(interfaces.slice(0, 2), none), []);
});

const NAMES: [string, string][] = [
  ['NAME=x\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', "Debian GNU/Linux 12 (bookworm)"],
  ["PRETTY_NAME='Raspbian'\n", "Raspbian"],
  ["PRETTY_NAME=Buildroot\n", "Buildroot"],
  ['PRETTY_NAME="A \\"quoted\\" one"\n', 'A "quoted" one'],
  ["", "Linux"],
];

for (const [text, name] of NAMES) {
  Deno.test(`osImage() reads ${JSON.stringify(text)}`, () => assertEquals(osImage(text), name));
}

Deno.test("sizes and limits are read, absent ones are none", () => {
  assertEquals(meminfoBytes("MemTotal:       1000 kB\nMemFree: 5 kB\n", "MemTotal"), 1_024_000);
  assertEquals(meminfoBytes("", "MemTotal"), 0);
  assertEquals([cpuLimit("150000 100000\n"), cpuLimit("max 100000\n"), cpuLimit("")], [
    2,
    undefined,
    undefined,
  ]);
  assertEquals(
    [memoryLimit("1048576\n"), memoryLimit("max\n"), memoryLimit("9223372036854771712\n")],
    [1_048_576, undefined, undefined],
  );
});

Deno.test("Machine reads this machine", async () => {
  const facts = await new Machine({ dataDir: "/" }).read();
  assert(["amd64", "arm64"].includes(facts.architecture));
  assert(facts.cpus >= 1);
  assert(facts.memoryBytes > 0 && facts.disk.totalBytes > 0 && facts.pids.used > 0);
  assert(facts.memoryAvailableBytes <= facts.memoryBytes || facts.memoryBytes > 0);
  assert(facts.kernelVersion !== "" && facts.bootId !== "" && facts.osImage !== "");
});
