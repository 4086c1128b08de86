import { assertEquals, assertRejects } from "@std/assert";
import { Changes } from "../../shared/async/wakeup.ts";
import { AppError } from "../../shared/errors.ts";
import type { KubeObject, Pod } from "../../shared/k8s/types.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { DurableOutbox } from "../meta/outbox.ts";
import { DurableIntents } from "./durable_intents.ts";
import type { IntentRequest } from "./port.ts";

class World {
  readonly clock = new SimClock();
  readonly store = new MemoryStore();
  readonly ledgerChanges = new Changes();
  readonly objects = new Map<string, KubeObject>();
  outbox = new DurableOutbox({ store: this.store, clock: this.clock });
  intents = this.open();

  open(): DurableIntents {
    return new DurableIntents({
      store: this.store,
      outbox: this.outbox,
      // the ledger's keys say the kind
      ledger: { changes: this.ledgerChanges, get: <T>(key: string) => this.objects.get(key) as T },
      clock: this.clock,
      random: new SeededRandom(this.store.lastSequence),
    });
  }

  /** As after a crash: everything in memory is new. */
  reopen(): void {
    this.outbox = new DurableOutbox({ store: this.store, clock: this.clock });
    this.intents = this.open();
  }

  put(name: string, uid = `uid-${name}`, metadata: Partial<Pod["metadata"]> = {}): void {
    const pod: Pod = {
      metadata: { namespace: "default", name, uid, ...metadata },
      spec: { containers: [{ name: "main", image: "i" }] },
    };
    this.objects.set(`pods/default/${name}`, pod);
  }

  ask(verb: IntentRequest["verb"], name = "web", more: Partial<IntentRequest> = {}) {
    return this.intents.record({ verb, namespace: "default", name, by: "tester", ...more });
  }

  reports(): string[] {
    return this.outbox.pending(0, 100).map((item) =>
      item.report.kind === "intent" ? item.report.intent.verb : item.report.kind
    );
  }

  async acknowledgeAll(): Promise<void> {
    await this.outbox.acknowledge(this.outbox.pending(0, 100).map((item) => item.sequence));
  }
}

function world(): World {
  const made = new World();
  made.put("web");
  return made;
}

Deno.test("a restart goes from pending to merged, and each step survives a crash", async () => {
  const w = world();
  const { id, state } = await w.ask("restart");
  assertEquals([state, w.reports()], ["pending", []]);
  w.reopen();
  assertEquals(w.intents.of("uid-web").map((act) => [act.id, act.victims]), [[id, undefined]]);
  await w.intents.begin(id, ["sandbox-1"]);
  w.reopen();
  assertEquals(w.intents.of("uid-web")[0]?.victims, ["sandbox-1"]);
  await w.intents.done(id);
  w.reopen();
  assertEquals([w.intents.get(id)?.state, w.reports()], ["applied", ["restart"]]);
  await w.intents.settle();
  assertEquals(w.intents.get(id)?.state, "applied");
  await w.acknowledgeAll();
  await w.intents.settle();
  w.reopen();
  assertEquals(w.intents.get(id)?.state, "merged");
});

Deno.test("asked twice before it is done is once; afterwards it is another", async () => {
  const w = world();
  const first = await w.ask("restart");
  assertEquals((await w.ask("restart")).id, first.id);
  await w.intents.begin(first.id, []);
  await w.intents.done(first.id);
  const second = await w.ask("restart");
  assertEquals(second.id === first.id, false);
  assertEquals(w.intents.list().map((i) => i.id), [first.id, second.id]);
});

Deno.test("a removal is reported at once and holds the pod until it is decided", async () => {
  const w = world();
  const { id } = await w.ask("remove");
  assertEquals([w.reports(), w.intents.of("uid-web")[0]?.holds], [["remove"], true]);
  w.reopen();
  await w.intents.settle();
  assertEquals(w.intents.of("uid-web")[0]?.holds, true);
  const mark = JSON.stringify({ intent: id, reason: "it was changed" });
  w.put("web", "uid-web", { annotations: { "skerry.dev/conflict": mark } });
  await w.intents.settle();
  w.reopen();
  const decided = w.intents.get(id);
  assertEquals([decided?.state, decided?.reason], ["conflict", "it was changed"]);
  assertEquals(w.intents.of("uid-web")[0]?.holds, false);
});

Deno.test("run() notices a deletion by the cloud", async () => {
  const w = world();
  const { id } = await w.ask("remove");
  const stop = new AbortController();
  const running = w.intents.run(stop.signal).catch(() => {}); // ends by the abort
  w.put("web", "uid-web", { deletionTimestamp: "2026-01-01T00:00:00Z" });
  w.ledgerChanges.notify();
  await w.clock.until(() => w.intents.get(id)?.state === "merged");
  stop.abort();
  await running;
});

Deno.test("what cannot be meant is refused by name", async () => {
  const w = world();
  w.put("gone", "u", { deletionTimestamp: "2026-01-01T00:00:00Z" });
  const refused = async (asked: Promise<unknown>) =>
    (await assertRejects(() => asked, AppError)).code;
  assertEquals(await refused(w.ask("restart", "none")), "not_found");
  assertEquals(await refused(w.ask("restart", "gone")), "conflict");
  assertEquals(await refused(w.ask("restart", "web", { uid: "other" })), "conflict");
  assertEquals(await refused(w.ask("restart", "web", { container: "none" })), "invalid");
  assertEquals(w.intents.list(), []);
});

Deno.test("decided intents are kept within their bound, a held pod's last always", async () => {
  const w = world();
  for (let i = 0; i < 210; i++) {
    const { id } = await w.ask("restart");
    await w.intents.begin(id, [`sandbox-${i}`]);
    await w.intents.done(id);
    await w.acknowledgeAll();
    await w.intents.settle();
  }
  assertEquals(w.intents.list().length, 200);
  assertEquals(w.intents.of("uid-web").at(-1)?.victims, ["sandbox-209"]);
});
