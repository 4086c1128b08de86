/** Clocks that are years off, on either side: every case ends in a live link. */
import { assert, assertEquals } from "@std/assert";
import { Signer } from "../../cloud/pki/signer.ts";
import { NodeTime } from "../../edge/link/node_time.ts";
import { SystemClock } from "../../shared/clock.ts";
import { SystemRandom } from "../../shared/random.ts";
import { importKeyPair } from "../../shared/wire/x509.ts";
import { makeWorld, until } from "./hub_world.ts";

const YEAR_MS = 365 * 86_400_000;

class ShiftedClock extends SystemClock {
  constructor(public shiftMs: number) {
    super();
  }

  override nowMs(): number {
    return super.nowMs() + this.shiftMs;
  }
}

Deno.test("a node whose clock is years off is live, and learns the time", async () => {
  await using world = await makeWorld();
  const enrolled = await world.enroll("n1");
  const now = new SystemClock().nowMs();
  for (const shiftMs of [-10 * YEAR_MS, 10 * YEAR_MS, -now + 1_000]) {
    const time = new NodeTime(new ShiftedClock(shiftMs));
    const { link, stop } = world.link("n1", enrolled, {
      clock: time,
      onTime: (serverMs, askedMs) => Promise.resolve(void time.learn(serverMs, askedMs)),
    });
    await until("the link is live", () => link.status().state === "live");
    assert(Math.abs(time.nowMs() - new SystemClock().nowMs()) < 1_000);
    assertEquals(link.status().since.slice(0, 4), new Date(now).toISOString().slice(0, 4));
    await stop();
  }
});

Deno.test("a clock that jumps ten years in a live session disturbs nothing", async () => {
  await using world = await makeWorld({ heartbeatMs: 100 });
  const clock = new ShiftedClock(0);
  const { link } = world.link("n1", await world.enroll("n1"), { clock: new NodeTime(clock) });
  await until("the link is live", () => link.status().state === "live");
  let ended = 0;
  world.hub.sessions.subscribe(() => ended++);
  for (const shiftMs of [10 * YEAR_MS, -10 * YEAR_MS, 0]) {
    clock.shiftMs = shiftMs;
    await clock.sleep(400);
  }
  assertEquals([link.status().state, ended], ["live", 0]);
});

Deno.test("a certificate not yet valid, or that ran out while away, ends live", async () => {
  await using world = await makeWorld();
  const enrolled = await world.enroll("n1");
  const { publicKey } = await importKeyPair(enrolled.privateKey);
  for (const shiftMs of [5 * YEAR_MS, -1.9 * YEAR_MS]) {
    const clock = new ShiftedClock(shiftMs);
    const random = new SystemRandom();
    const signer = new Signer({ authority: world.pki.authority, clock, random });
    const certificate = await signer.issueNode("n1", publicKey);
    const { link, stop } = world.link("n1", { ...enrolled, certificate });
    await until("the link is live", () => link.status().state === "live");
    assert(link.certificateNotAfterMs > new SystemClock().nowMs());
    await stop();
  }
});
