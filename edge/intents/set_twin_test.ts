import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import type { Device } from "../../shared/k8s/devices.ts";
import { SeededRandom } from "../../shared/random.ts";
import { TWIN_EDITS_ANNOTATION } from "../../shared/wire/twin_edits.ts";
import { named, TwinWorld } from "../twins/testing.ts";
import { DurableIntents } from "./durable_intents.ts";
import type { Intent } from "./port.ts";

class World {
  intents!: DurableIntents;

  private constructor(readonly node: TwinWorld) {
    this.open();
  }

  static async start(): Promise<World> {
    return new World(await TwinWorld.start("a"));
  }

  /** As after a crash: everything in memory is new. */
  open(): void {
    const { node } = this;
    node.open();
    this.intents = new DurableIntents({
      store: node.store,
      outbox: node.outbox,
      ledger: node.ledger,
      clock: node.clock,
      random: new SeededRandom(node.store.lastSequence),
      twins: () => node.twins,
    });
  }

  set(value: string, property = "count"): Promise<Intent> {
    return this.intents.setTwin({ ...named("a"), property, value, by: "ada" });
  }

  /** The cloud's word: what it desires, and its decision. */
  async cloud(desired: string, decision: object = {}): Promise<void> {
    this.node.putDevice("a", (device: Device) => {
      device.spec.properties = [{ name: "count", desired: { value: desired } }];
      device.metadata.annotations = {
        [TWIN_EDITS_ANNOTATION]: JSON.stringify({ count: decision }),
      };
    });
    await this.node.engine.sync();
    await this.intents.settle();
  }

  desired(): string | undefined {
    return this.node.twins.twin(named("a"), "count")?.desired?.value;
  }

  asked(): [string, string | null][] {
    return this.node.outbox.pending(0, 10).flatMap(({ report }) =>
      report.kind === "intent" && report.intent.verb === "set_twin"
        ? [[report.intent.value, report.intent.base] satisfies [string, string | null]]
        : []
    );
  }
}

Deno.test("an edit is here at once, on disk with its report, and merged by the mark", async () => {
  const w = await World.start();
  await w.cloud("1");
  const { id, state } = await w.set("5");
  assertEquals([state, w.desired(), w.asked()], ["applied", "5", [["5", "1"]]]);
  w.open();
  assertEquals([w.desired(), w.asked(), w.intents.get(id)?.state], ["5", [["5", "1"]], "applied"]);
  await w.cloud("1"); // an echo of what was before
  assertEquals(w.desired(), "5");
  await w.cloud("5", { intent: id });
  assertEquals([w.desired(), w.intents.get(id)?.state], ["5", "merged"]);
});

Deno.test("in a conflict the cloud's word holds here too, and the reason is kept", async () => {
  const w = await World.start();
  await w.cloud("1");
  const { id } = await w.set("5");
  await w.cloud("1", { intent: id, conflict: "the API refused it" });
  w.open();
  const { state, reason } = w.intents.get(id)!;
  assertEquals([w.desired(), state, reason], ["1", "conflict", "the API refused it"]);
});

Deno.test("a later edit takes the place of one that is not decided", async () => {
  const w = await World.start();
  await w.cloud("1");
  const first = await w.set("5");
  const second = await w.set("6");
  assertEquals(w.asked(), [["6", "1"]]);
  assertEquals(second.verb === "set_twin" && second.earlier, ["5"]);
  assertEquals(w.intents.get(first.id)?.state, "merged");
  await w.cloud("5", { intent: first.id });
  assertEquals(w.desired(), "6"); // on its way to the later one, which stands
  await w.cloud("6", { intent: second.id });
  assertEquals([w.desired(), w.intents.get(second.id)?.state], ["6", "merged"]);
});

Deno.test("what cannot be is refused by name, and nothing of it is kept", async () => {
  const w = await World.start();
  const refused = async (asked: Promise<unknown>) =>
    (await assertRejects(() => asked, AppError)).facts.rule;
  assertEquals(await refused(w.set("x")), "type");
  assertEquals(await refused(w.set("x", "serial")), "read_only");
  assertEquals(await refused(w.set("x", "nosuch")), "unknown_property");
  w.node.store.failNext(new AppError("exhausted", "disk is full"));
  await assertRejects(() => w.set("5"), AppError, "full");
  assertEquals([w.intents.list(), w.asked(), w.desired()], [[], [], undefined]);
  assertEquals((await w.set("5")).state, "applied");
});
