import { assert, assertEquals } from "@std/assert";
import { fc } from "../../shared/testing/property.ts";
import { Acl } from "./acl.ts";
import { PacketScanner, RateGauge } from "./guard.ts";
import { formatUser, parseUsers, Users } from "./passwords.ts";
import { SeededRandom } from "../../shared/random.ts";

/** A packet with so many bytes behind its fixed header. */
function packet(length: number): number[] {
  const header = [0x30];
  let left = length;
  do {
    header.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    left >>= 7;
  } while (left > 0);
  return [...header, ...new Array(length).fill(0x30)];
}

Deno.test("PacketScanner counts packets wherever the stream is cut", () => {
  const lengths = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 20 });
  fc.assert(
    fc.property(
      lengths,
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
      (sizes, cuts) => {
        const stream = Uint8Array.from(sizes.flatMap(packet));
        const scanner = new PacketScanner(300);
        let found = 0;
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const end = at + cuts[turn % cuts.length]!;
          found += scanner.scan(stream.subarray(at, end)) ?? NaN;
          at = end;
        }
        assertEquals(found, sizes.length);
      },
    ),
    { seed: 11, numRuns: 1_000 },
  );
});

Deno.test("PacketScanner stops at a packet that is too long, and at no length at all", () => {
  assertEquals(new PacketScanner(300).scan(Uint8Array.from(packet(301))), undefined);
  assertEquals(new PacketScanner(2 ** 30).scan(Uint8Array.of(0x30, 255, 255, 255, 255)), undefined);
});

Deno.test("RateGauge lets a second's worth through, then says how long to wait", () => {
  const gauge = new RateGauge({ messagesPerSecond: 100, bytesPerSecond: 1_000 }, 0);
  gauge.take(100, 10, 0);
  assertEquals(gauge.waitMs(0), 0);
  gauge.take(50, 10, 0);
  assertEquals(gauge.waitMs(0), 500);
  assertEquals(gauge.waitMs(500), 0);
  gauge.take(0, 3_000, 500);
  assert(gauge.waitMs(500) > 1_400);
});

Deno.test("Acl: entries add up, patterns hold the user's name and the client's id", () => {
  const acl = new Acl([
    { user: "", read: ["public/#"], write: [] },
    { user: "ann", read: ["$hw/events/device/%u/+/#"], write: ["in/%c"] },
  ]);
  const ann = { user: "ann", client: "c1" };
  assertEquals(acl.maySubscribe(ann, "public/+"), true);
  assertEquals(acl.maySubscribe(ann, "#"), false);
  assertEquals(acl.maySubscribe(ann, "$hw/events/device/ann/a/twin/+"), true);
  assertEquals(acl.maySubscribe(ann, "$hw/events/device/bob/a/twin/+"), false);
  assertEquals(acl.mayPublish(ann, "in/c1"), true);
  assertEquals(acl.mayPublish({ user: "ann", client: "+" }, "in/+"), false);
  assertEquals(acl.mayPublish({ user: "bob", client: "c1" }, "in/c1"), false);
  assertEquals(new Acl([]).mayPublish(ann, "any"), true);
});

Deno.test("users: a file of mosquitto's kind, read again when it changes", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const random = new SeededRandom(3);
    const file = `${dir}/users`;
    await Deno.writeTextFile(file, `# people\n${await formatUser("ann", "s3cret", random)}\n`);
    const users = new Users(file);
    await users.load();
    const encoder = new TextEncoder();
    const verify = (name: string, word: string) => users.verify(name, encoder.encode(word));
    assertEquals(await verify("ann", "s3cret"), true);
    assertEquals(await verify("ann", "wrong"), false);
    assertEquals(await verify("bob", "s3cret"), false);
    assertEquals(await verify("", ""), false);
    await Deno.writeTextFile(file, await formatUser("bobby", "other", random));
    await users.load();
    assertEquals(await verify("ann", "s3cret"), false);
    assertEquals(await verify("bobby", "other"), true);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  for (const bad of ["ann", "ann:x", "ann:$7$0$AAAA$AAAA", "ann:$7$9999999$AAAA$AAAA"]) {
    let said = "";
    try {
      parseUsers(`\n${bad}`);
    } catch (error) {
      said = String(error);
    }
    assert(said.includes("line 2"), bad);
  }
});
