import { assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../errors.ts";
import { systemBusPath } from "./connection.ts";
import { completeTypes, DBusReader, type DBusValue, DBusWriter } from "./marshal.ts";
import { decodeMessage, encodeMessage, MESSAGE_TYPE, messageLength } from "./message.ts";

Deno.test("a signature is split into its complete types", () => {
  assertEquals(completeTypes("ssa(sv)a(sa(sv))a{sv}"), ["s", "s", "a(sv)", "a(sa(sv))", "a{sv}"]);
  for (const bad of ["(s", "a", "z", "a{s", "a".repeat(100)]) {
    assertThrows(() => completeTypes(bad), AppError, "signature");
  }
});

const VALUES: [string, DBusValue][] = [
  ["y", 7],
  ["b", true],
  ["n", -2],
  ["q", 65_535],
  ["i", -70_000],
  ["u", 4_000_000_000],
  ["x", -(2n ** 40n)],
  ["t", 2n ** 63n],
  ["d", 0.5],
  ["s", "grüße"],
  ["o", "/org/a"],
  ["g", "a(sv)"],
  ["as", ["a", "", "ccc"]],
  ["a(sv)", [["CPUShares", { type: "t", value: 5n }], ["Wants", { type: "as", value: ["x"] }]]],
  ["a{sv}", []],
  ["(yx(s))", [1, 2n, ["in"]]],
];

Deno.test("values of every type come back as they were, whatever comes before", () => {
  for (const before of ["y", "yy", "ys"]) {
    for (const [type, value] of VALUES) {
      const writer = new DBusWriter();
      const prefix = completeTypes(before).map((each): DBusValue => each === "y" ? 1 : "p");
      completeTypes(before).forEach((each, index) => writer.write(each, prefix[index]!));
      writer.write(type, value);
      assertEquals(new DBusReader(writer.bytes).readAll(before + type), [...prefix, value]);
    }
  }
});

Deno.test("a message comes back as it was; a short one is refused", () => {
  const call = {
    type: MESSAGE_TYPE.call,
    serial: 3,
    path: "/a",
    interface: "b.c",
    member: "D",
    destination: "e.f",
    body: ["x", ["y"]],
  };
  const bytes = encodeMessage(call, ["s", "as"]);
  assertEquals(messageLength(bytes), bytes.length);
  assertEquals(messageLength(bytes.subarray(0, 10)), undefined);
  assertEquals(decodeMessage(bytes), { ...call, signature: "sas" });
  assertThrows(() => decodeMessage(bytes.slice(0, -3)), AppError, "too early");
  assertThrows(() => messageLength(new Uint8Array(16)), AppError, "little endian");
  const huge = bytes.slice();
  new DataView(huge.buffer).setUint32(4, 2 ** 31, true);
  assertThrows(() => messageLength(huge), AppError, "must be <=");
});

Deno.test("the address of the system bus", () => {
  assertEquals(systemBusPath("unix:path=/x/y,guid=1"), "/x/y");
  assertEquals(systemBusPath("tcp:host=a;unix:path=/z"), "/z");
  assertEquals(systemBusPath(""), "/run/dbus/system_bus_socket");
});
