import { assert, assertEquals } from "@std/assert";
import { SystemClock } from "../clock.ts";
import { SystemRandom } from "../random.ts";
import { openStore } from "./durable_store.ts";
import { openKeyFile } from "./key_file.ts";
import type { StoreOp } from "./port.ts";
import { SealingCodec } from "./sealing_codec.ts";
import { SimDisk } from "./sim_disk.ts";
import { PLAIN_CODEC, UNREADABLE, type ValueCodec } from "./value_codec.ts";

const random = new SystemRandom();
const isSecret = (bucket: string, key: string) => bucket === "b" && key.startsWith("secrets/");
const codecOf = (key = random.bytes(32)) => new SealingCodec({ key, random, isSecret });
const put = (key: string, value: unknown): StoreOp => ({ op: "put", bucket: "b", key, value });
const SECRET = "c2tlcnJ5LXNlY3JldA==";

Deno.test("SealingCodec seals what is secret and nothing else, and reads it back", () => {
  const codec = codecOf();
  const sealed = codec.encode("b", "secrets/a", { data: SECRET });
  assert(!new TextDecoder().decode(sealed).includes(SECRET));
  assertEquals(codec.decode("b", "secrets/a", sealed), { data: SECRET });
  assertEquals(codec.encode("b", "pods/a", 1), PLAIN_CODEC.encode("b", "pods/a", 1));
  assert(
    codec.encode("b", "secrets/a", 1).some((byte, i) =>
      byte !== codec.encode("b", "secrets/a", 1)[i]
    ),
    "a nonce is used once",
  );
});

Deno.test("SealingCodec takes no value of another place or key, or with a flipped bit", () => {
  const codec = codecOf();
  const sealed = codec.encode("b", "secrets/a", { data: SECRET });
  assertEquals(codec.decode("b", "secrets/b", sealed), UNREADABLE);
  assertEquals(codecOf().decode("b", "secrets/a", sealed), UNREADABLE);
  for (let bit = 8; bit < sealed.length * 8; bit += 7) {
    const flipped = sealed.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(codec.decode("b", "secrets/a", flipped), UNREADABLE, `bit ${bit}`);
  }
});

Deno.test("a store seals what comes, reads what was plain, misses what it cannot", async () => {
  const disk = new SimDisk();
  const open = (codec: ValueCodec) =>
    openStore({ dir: "/s", disk, clock: new SystemClock(), codec });
  const plain = await open(PLAIN_CODEC);
  await plain.commit([put("secrets/old", "was plain"), put("pods/p", "pod")]);
  await plain.close();
  const store = await open(codecOf());
  await store.commit([put("secrets/new", SECRET)]);
  await store.snapshot();
  assertEquals(store.list("b").map((row) => row.value), ["pod", SECRET, "was plain"]);
  await store.close();
  for (const path of disk.files()) {
    assert(!new TextDecoder("latin1").decode(await disk.read(path)).includes(SECRET), path);
  }
  const codec = codecOf();
  const lost = await open(codec);
  assertEquals(lost.get("b", "secrets/new"), undefined);
  assertEquals(lost.list("b").map((row) => row.key), ["pods/p", "secrets/old"]);
  assertEquals([lost.unreadable("b"), codec.unreadable], [["secrets/new"], 1]);
  await lost.commit([put("secrets/new", "again")]);
  assertEquals([lost.get("b", "secrets/new"), lost.unreadable("b")], ["again", []]);
  await lost.close();
});

Deno.test("openKeyFile() makes and keeps a key for its owner, replaces what is none", async () => {
  const dir = await Deno.makeTempDir();
  const path = `${dir}/store.key`;
  const key = await openKeyFile(path, random);
  assertEquals([key.length, (await Deno.stat(path)).mode! & 0o777], [32, 0o600]);
  await Deno.chmod(path, 0o644);
  assertEquals(await openKeyFile(path, random), key);
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
  await Deno.writeTextFile(path, "short");
  assert((await openKeyFile(path, random)).some((byte, i) => byte !== key[i]));
  assertEquals(await Deno.readTextFile(`${path}.damaged`), "short");
  await Deno.remove(dir, { recursive: true });
});
