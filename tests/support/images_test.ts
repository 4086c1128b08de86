import { assertEquals, assertStringIncludes } from "@std/assert";
import { dockerArchive, type Image } from "./images.ts";
import { must } from "./process.ts";
import { Registry } from "./registry.ts";
import { tar } from "./tar.ts";

const IMAGE: Image = {
  name: "skerry.local/test:1",
  config: new TextEncoder().encode("{}"),
  layer: new TextEncoder().encode("not really a layer"),
};

async function withFile(data: Uint8Array, body: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, data);
    await body(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("tar() writes what the system's tar reads: folders, files, links, modes", () =>
  withFile(
    tar([
      { name: "bin/" },
      { name: "bin/a", mode: 0o755, data: new TextEncoder().encode("hello") },
      { name: "bin/b", linkTo: "a" },
    ]),
    async (path) => {
      const listing = await must("tar", ["-tvf", path]);
      assertStringIncludes(listing, "drwxr-xr-x");
      assertStringIncludes(listing, "-rwxr-xr-x");
      assertStringIncludes(listing, "bin/b -> a");
      assertEquals(await must("tar", ["-xOf", path, "bin/a"]), "hello");
    },
  ));

Deno.test("dockerArchive() names config, tag and layer", async () => {
  await withFile(await dockerArchive(IMAGE), async (path) => {
    const [manifest] = JSON.parse(await must("tar", ["-xOf", path, "manifest.json"]));
    assertEquals(manifest.RepoTags, ["skerry.local/test:1"]);
    assertEquals(await must("tar", ["-xOf", path, manifest.Config]), "{}");
  });
});

Deno.test("a registry serves manifests and blobs, and names what it lacks", async () => {
  await using registry = new Registry();
  const reference = await registry.add(IMAGE, "lib/test", "1");
  assertEquals(reference, `${registry.host}/lib/test:1`);
  const base = `http://${registry.host}/v2`;
  assertEquals(await (await fetch(`${base}/`)).json(), {});
  const byTag = await fetch(`${base}/lib/test/manifests/1`);
  const digest = byTag.headers.get("docker-content-digest");
  const manifest = await byTag.json();
  assertEquals(await (await fetch(`${base}/lib/test/manifests/${digest}`)).json(), manifest);
  const layer = await fetch(`${base}/lib/test/blobs/${manifest.layers[0].digest}`);
  assertEquals(await layer.text(), "not really a layer");
  assertEquals(registry.served, { manifests: 2, blobs: 1 });
  const missing = await fetch(`${base}/lib/test/manifests/2`);
  assertEquals(missing.status, 404);
  assertEquals((await missing.json()).errors[0].code, "MANIFEST_UNKNOWN");
  registry.failWith = 503;
  const failing = await fetch(`${base}/lib/test/manifests/1`);
  assertEquals(failing.status, 503);
  await failing.body?.cancel();
});
