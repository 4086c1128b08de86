import { assertEquals, assertRejects } from "@std/assert";
import { parseMinor } from "./kubectl.ts";
import { must, which } from "./process.ts";
import { unzipMember } from "./zip.ts";

Deno.test("parseMinor() reads the client version and nothing else", () => {
  const text = `{"clientVersion": {"gitVersion": "v1.33.4-dispatcher", "goVersion": "go1.24"}}`;
  assertEquals(parseMinor(text), "1.33");
  assertEquals(parseMinor("no json"), undefined);
});

/** The zip of one stored member, as the format's appendix draws it. */
function storedZip(name: string, content: string): Uint8Array<ArrayBuffer> {
  const encode = (text: string) => new TextEncoder().encode(text);
  const [n, data] = [encode(name), encode(content)];
  const u16 = (value: number) => [value & 255, value >> 8];
  const u32 = (value: number) => [...u16(value & 65_535), ...u16(value >>> 16)];
  const sizes = [...u32(0), ...u32(data.length), ...u32(data.length), ...u16(n.length)];
  const common = [...u16(20), ...u16(0), ...u16(0), ...u16(0), ...u16(0), ...sizes];
  const local = [...u32(0x04034b50), ...common, ...u16(0), ...n, ...data];
  const entry = [...u32(0x02014b50), ...u16(20), ...common, ...u16(0), ...u16(0), ...u16(0)];
  entry.push(...u16(0), ...u32(0), ...u32(0), ...n);
  const end = [...u32(0x06054b50), ...u16(0), ...u16(0), ...u16(1), ...u16(1)];
  return new Uint8Array([
    ...local,
    ...entry,
    ...end,
    ...u32(entry.length),
    ...u32(local.length),
    ...u16(0),
  ]);
}

Deno.test("unzipMember() finds a member and names one that is missing", async () => {
  const archive = storedZip("a/b", "hello");
  assertEquals(new TextDecoder().decode(await unzipMember(archive, "a/b")), "hello");
  await assertRejects(() => unzipMember(archive, "a/c"), Error, "no member a/c");
  await assertRejects(() => unzipMember(new Uint8Array(4), "a"), Error, "no directory");
});

Deno.test({
  name: "unzipMember() inflates what python's zipfile deflated",
  ignore: await which("python3") === undefined,
  fn: async () => {
    const dir = await Deno.makeTempDir();
    try {
      const script = "import zipfile\n" +
        "z = zipfile.ZipFile('a.zip', 'w', zipfile.ZIP_DEFLATED)\n" +
        "z.writestr('x/y', 'tide ' * 1000)\nz.close()\n";
      await must("python3", ["-c", script], { cwd: dir });
      const data = await unzipMember(await Deno.readFile(`${dir}/a.zip`), "x/y");
      assertEquals(new TextDecoder().decode(data), "tide ".repeat(1000));
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
