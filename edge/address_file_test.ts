import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { TaskScope } from "../shared/async/task_scope.ts";
import { SimClock } from "../shared/testing/sim_clock.ts";
import { AddressFile } from "./address_file.ts";

Deno.test("addresses are written when the disk takes them, and nothing fails before", async () => {
  const parent = await Deno.makeTempDir();
  const dataDir = join(parent, "edge"); // not there: every write fails
  const clock = new SimClock();
  const file = new AddressFile({ dataDir, clock, addresses: () => ({ api: "http://a" }) });
  assertEquals(await file.write(), false);
  const scope = new TaskScope();
  scope.spawn("addresses", (signal) => file.run(signal));
  try {
    await clock.advance(6_000);
    await Deno.mkdir(dataDir);
    for (let tries = 0; tries < 1_000; tries++) {
      await clock.advance(6_000);
      const text = await Deno.readTextFile(join(dataDir, "addresses.json")).catch(() => "");
      if (text !== "") return assertEquals(JSON.parse(text), { api: "http://a" });
    }
    throw new Error("the file never came");
  } finally {
    scope.abort();
    await scope.join();
    await Deno.remove(parent, { recursive: true });
  }
});
