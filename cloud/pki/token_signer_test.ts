import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { SystemRandom } from "../../shared/random.ts";
import { openTokenSigner } from "./token_signer.ts";

async function inFolder(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-tokens-" });
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("a token is believed by its own key alone, over restarts, unchanged", async () => {
  await inFolder(async (dir) => {
    const random = new SystemRandom();
    const signer = await openTokenSigner(dir, random);
    const token = signer.sign({ sub: "someone", exp: 1 });
    assertMatch(token, /^[\w-]+\.[\w-]+\.[\w-]+$/);
    const again = await openTokenSigner(dir, random);
    assertEquals(again.verify(token), { sub: "someone", exp: 1 });
    assertEquals(again.keys, signer.keys);
    assertEquals((await Deno.stat(`${dir}/pki/service-account.key`)).mode! & 0o777, 0o600);

    const [head, , signature] = token.split(".");
    const other = btoa(JSON.stringify({ sub: "root" })).replaceAll("=", "");
    assertEquals(signer.verify(`${head}.${other}.${signature}`), undefined);
    const none = btoa(JSON.stringify({ alg: "none" })).replaceAll("=", "");
    assertEquals(signer.verify(`${none}.${other}.`), undefined);
    for (const bad of ["", "a.b.c", `${token}.x`, `${token}=`, "é.é.é"]) {
      assertEquals(signer.verify(bad), undefined, bad);
    }
    const elsewhere = await openTokenSigner(`${dir}/other`, random);
    assertEquals(elsewhere.verify(token), undefined);
  });
});

Deno.test("a key that cannot be read is an error that names its file", async () => {
  await inFolder(async (dir) => {
    await Deno.mkdir(`${dir}/pki`);
    await Deno.writeTextFile(`${dir}/pki/service-account.key`, "nonsense");
    const error = await assertRejects(() => openTokenSigner(dir, new SystemRandom()), AppError);
    assert(error.message.includes("service-account.key"));
  });
});
