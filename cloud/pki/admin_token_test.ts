import { assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import { SystemRandom } from "../../shared/random.ts";
import { loadAdminToken, openAdminToken } from "./admin_token.ts";

const random = new SystemRandom();

Deno.test("the admin token is made once, for the owner alone", async () => {
  const dir = await Deno.makeTempDir();
  const token = await openAdminToken(dir, random);
  assertMatch(token, /^[0-9a-f]{64}$/);
  assertEquals(await openAdminToken(dir, random), token);
  assertEquals(await loadAdminToken(dir, random), token);
  assertEquals((await Deno.stat(join(dir, "pki/admin-token"))).mode! & 0o077, 0);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("what damage left of an admin token is replaced at a start, and only there", async () => {
  const dir = await Deno.makeTempDir();
  const token = await openAdminToken(dir, random);
  for (const left of ["", token.slice(0, 8), `${token.slice(0, 40)} ${token.slice(41)}`]) {
    const file = join(dir, "pki/admin-token");
    await Deno.writeTextFile(file, left);
    await assertRejects(() => loadAdminToken(dir, random), AppError, file);
    const made = await openAdminToken(dir, random);
    assertMatch(made, /^[0-9a-f]{64}$/);
    assertNotEquals(made, token);
    assertEquals(await loadAdminToken(dir, random), made);
  }
  await Deno.remove(dir, { recursive: true });
});
