/** What rules kept before applications could ask by them: both ends of today go on with it. */
import { assertEquals } from "@std/assert";
import { lineOf, Mailbox } from "../../cloud/rules/mailbox.ts";
import { RuleTable } from "../../cloud/rules/rule_table.ts";
import { TopicTeller } from "../../cloud/rules/topic_teller.ts";
import { EdgeRules, ruleUrls } from "../../edge/rules/edge_rules.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { fillStore, type FixtureRows, parseRows } from "./rows.ts";

async function fixture(): Promise<Record<"cloud" | "edge", FixtureRows>> {
  return parseRows(await Deno.readTextFile(new URL("./rules_v1/rows.json", import.meta.url)));
}

Deno.test("messages of rules that waited go on their way, each in its line", async () => {
  const clock = new SimClock();
  const store = new MemoryStore({ clock });
  await fillStore(store, (await fixture()).cloud);
  const mailbox = new Mailbox(store, clock);
  assertEquals(mailbox.lines, ["node edge-1", "rule default/up", "rule plant/up"]);
  const messages = mailbox.lines.map((line) => mailbox.next(line)?.message);
  assertEquals(messages.map((message) => message && lineOf(message)), mailbox.lines);
  assertEquals(messages.map((message) => message?.payload), [
    new Uint8Array([49]),
    new Uint8Array([0, 255, 10]),
    new TextEncoder().encode("{}"),
  ]);
  assertEquals(messages.map((message) => message?.contentType), [
    undefined,
    undefined,
    "application/json",
  ]);
});

Deno.test("topics of rules are followed as before, until the cloud says otherwise", async () => {
  const rows = await fixture();
  const clock = new SimClock();
  const [cloud, edge] = [new MemoryStore({ clock }), new MemoryStore({ clock })];
  await fillStore(cloud, rows.cloud);
  await fillStore(edge, rows.edge);
  const random = new SeededRandom(1);
  const outbox = { append: () => Promise.resolve() };
  const rules = new EdgeRules({ store: edge, outbox, clock, random });
  const followed = new Set<string>();
  const bus = {
    publish: () => Promise.resolve(),
    subscribe: (filter: string) => {
      followed.add(filter);
      return () => followed.delete(filter);
    },
  };
  await using scope = new TaskScope();
  scope.spawn("rules", (signal) => rules.run(bus, signal));
  assertEquals([...followed], ["default/up/+", "default/x"]);
  assertEquals(ruleUrls(edge), []);
  const session = {
    node: "edge-1",
    sinceMs: 1,
    lastHeartbeatMs: 1,
    ackedGeneration: 1,
    remoteAddress: "",
  };
  const teller = new TopicTeller({
    nodes: {
      get: () => session,
      list: () => [session],
      subscribe: () => () => {},
      fetch: (_, request) => rules.handle(request),
    },
    table: () => new RuleTable([], new Map()), // its last rule went while it was away
    store: cloud,
    clock,
    random,
  });
  scope.spawn("teller", (signal) => teller.run(signal));
  await clock.until(() => followed.size === 0 && cloud.count("rule_topics/v1") === 0);
});
