import { assert, assertEquals } from "@std/assert";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { LossGuard } from "./loss_guard.ts";

const clock = new SimClock();

function named(name: string, uid = "u") {
  return { key: `pods/d/${name}`, uid };
}

function damagedStore(): MemoryStore {
  const store = new MemoryStore();
  store.recovery.lostCommits = true;
  store.recovery.damage.push({ what: "a flipped byte", file: "journal-1" });
  return store;
}

Deno.test("a whole store has lost nothing", async () => {
  const guard = await LossGuard.open({ store: new MemoryStore(), clock, accept: false });
  assertEquals(guard.loss, undefined);
  assertEquals(guard.mayHaveLost(named("a")), false);
});

Deno.test("what was not seen since the damage may have been lost", async () => {
  const store = damagedStore();
  const guard = await LossGuard.open({ store, clock, accept: false });
  assertEquals(guard.loss?.damage, ["a flipped byte in journal-1"]);
  guard.note([named("a")]);
  const lost = [named("a"), named("b"), named("a", "older")].map((each) => guard.mayHaveLost(each));
  assertEquals(lost, [false, true, true]);
  assertEquals(guard.mayHaveLost({ key: "pods/d/a" }), false);
  delete store.recovery.lostCommits;
  const later = await LossGuard.open({ store, clock, accept: false });
  assert(later.mayHaveLost(named("b")));
});

Deno.test("what a loss makes true is durable with the guard, accepted or not", async () => {
  const onLoss = [{ op: "put", bucket: "b", key: "k", value: 1 }] as const;
  for (const accept of [false, true]) {
    const store = damagedStore();
    await LossGuard.open({ store, clock, accept, onLoss });
    assertEquals([store.get("b", "k"), store.lastSequence], [1, 1]);
    const whole = new MemoryStore();
    await LossGuard.open({ store: whole, clock, accept, onLoss });
    assertEquals(whole.lastSequence, 0);
  }
});

Deno.test("an empty store beside enrolled nodes has been lost", async () => {
  const options = { store: new MemoryStore(), clock, accept: false, hasNodes: true };
  assert((await LossGuard.open(options)).mayHaveLost(named("b")));
});

Deno.test("a loss that was accepted is over for good", async () => {
  const store = damagedStore();
  await LossGuard.open({ store, clock, accept: false });
  assertEquals((await LossGuard.open({ store, clock, accept: true })).loss, undefined);
  delete store.recovery.lostCommits;
  const later = await LossGuard.open({ store, clock, accept: false });
  assertEquals([later.loss, later.mayHaveLost(named("b"))], [undefined, false]);
});

Deno.test("what is older than the loss may have been outlived, what is later has not", async () => {
  const store = damagedStore();
  const guard = await LossGuard.open({ store, clock, accept: false });
  const made = (creationTimestamp: string) => ({ metadata: { name: "a", creationTimestamp } });
  const since = guard.loss?.since ?? "";
  assertEquals(guard.mayBeOutlived(made(since)), true);
  assertEquals(guard.mayBeOutlived(made("2000-01-01T00:00:00Z")), true);
  assertEquals(guard.mayBeOutlived(made("2999-01-01T00:00:00Z")), false);
  const whole = await LossGuard.open({ store: new MemoryStore(), clock, accept: false });
  assertEquals(whole.mayBeOutlived(made("2000-01-01T00:00:00Z")), false);
});

Deno.test("after a loss what a node holds in a later version is newer, and is said", async () => {
  const guard = await LossGuard.open({ store: damagedStore(), clock, accept: false });
  const here = (resourceVersion?: string) => ({
    ...named("a"),
    resourceVersion: "digest",
    object: { metadata: { name: "a", ...(resourceVersion ? { resourceVersion } : {}) } },
  });
  const held = { ...named("a"), resourceVersion: "other digest", revision: 60 };
  const older = ["50", "60", "61", "1000061", undefined].map((revision) =>
    guard.mayBeOlder(held, here(revision))
  );
  assertEquals(older, [true, false, false, false, true]);
  const { revision: _untold, ...untold } = held;
  assertEquals(guard.mayBeOlder(untold, here("50")), false);
  guard.keptByNode("n1", ["pods/d/a"]);
  assertEquals(guard.kept, [{ node: "n1", keys: ["pods/d/a"] }]);
  guard.keptByNode("n1", []);
  assertEquals(guard.kept, []);
  const whole = await LossGuard.open({ store: new MemoryStore(), clock, accept: false });
  assertEquals(whole.mayBeOlder(held, here("50")), false);
});
