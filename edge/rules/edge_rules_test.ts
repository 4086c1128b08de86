import { assertEquals } from "@std/assert";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { parseReport, type Report } from "../../shared/wire/report.ts";
import type { AppMessage } from "../mqtt/port.ts";
import { EdgeRules, ruleUrls } from "./edge_rules.ts";
import type { TargetAnswer } from "./port.ts";

class Bus {
  readonly takers = new Map<string, (message: AppMessage) => Promise<void>>();
  readonly published: string[] = [];

  publish = ({ topic, payload }: AppMessage): Promise<void> => {
    this.published.push(`${topic} ${new TextDecoder().decode(payload)}`);
    return Promise.resolve();
  };

  subscribe = (filter: string, take: (message: AppMessage) => Promise<void>): () => void => {
    this.takers.set(filter, take);
    return () => this.takers.delete(filter);
  };
}

function open(store: MemoryStore) {
  const reports: Report[] = [];
  const answers: TargetAnswer[] = [];
  const clock = new SimClock();
  const rules = new EdgeRules({
    store,
    outbox: {
      append: (_, records) => {
        for (const { report } of records) reports.push(report);
        return Promise.resolve();
      },
    },
    answers: () => ({
      answered: (id, answer) => {
        if (id === "known") answers.push(answer);
        return id === "known";
      },
    }),
    clock,
    random: new SeededRandom(1),
  });
  const bus = new Bus();
  const scope = new TaskScope();
  scope.spawn("rules", (signal) => rules.run(bus, signal));
  return { rules, bus, scope, reports, answers };
}

function put(topics: unknown): Request {
  return new Request("http://n/rules/topics", { method: "PUT", body: JSON.stringify(topics) });
}

Deno.test("EdgeRules follows the topics it is told, also after a restart", async () => {
  const store = new MemoryStore({ clock: new SimClock() });
  const first = open(store);
  assertEquals((await first.rules.handle(put(["default/a", "default/b"]))).status, 204);
  assertEquals([...first.bus.takers.keys()], ["default/a", "default/b"]);
  assertEquals((await first.rules.handle(put(["default/b"]))).status, 204);
  assertEquals([...first.bus.takers.keys()], ["default/b"]);
  await first.scope[Symbol.asyncDispose]();
  assertEquals(first.bus.takers.size, 0);
  const second = open(store);
  assertEquals([...second.bus.takers.keys()], ["default/b"]);
  const payload = new Uint8Array([0, 255, 10]);
  await second.bus.takers.get("default/b")?.({ topic: "default/b", payload });
  const [report] = second.reports.map((each) => parseReport(structuredClone(each)));
  assertEquals(report?.kind === "rule_message" && report.message.payload, payload.toBase64());
  await second.scope[Symbol.asyncDispose]();
});

Deno.test("EdgeRules publishes a message once, however often it comes", async () => {
  const { rules, bus, scope } = open(new MemoryStore({ clock: new SimClock() }));
  const ask = (id: string, topic: string) =>
    rules.handle(
      new Request(`http://n/rules/publish?topic=${encodeURIComponent(topic)}`, {
        method: "POST",
        headers: { "x-skerry-message-id": id },
        body: "hello",
      }),
    );
  assertEquals((await ask("1", "a/b")).status, 204);
  assertEquals((await ask("1", "a/b")).status, 204);
  assertEquals((await ask("2", "a/#")).status, 400);
  assertEquals(bus.published, ["a/b hello"]);
  await scope[Symbol.asyncDispose]();
});

Deno.test("EdgeRules refuses topics that are no list, and ports that are none", async () => {
  const { rules, scope } = open(new MemoryStore({ clock: new SimClock() }));
  assertEquals((await rules.handle(put({ a: 1 }))).status, 400);
  assertEquals((await rules.handle(put([""]))).status, 400);
  for (const path of ["0/x", "99999/x", "example.org/x", ""]) {
    const request = new Request(`http://n/rules/service/${path}`, { method: "POST" });
    assertEquals((await rules.handle(request)).status, 400, path);
    await request.body?.cancel();
  }
  await scope[Symbol.asyncDispose]();
});

Deno.test("EdgeRules keeps what applications may ask for, and hands them answers", async () => {
  const store = new MemoryStore({ clock: new SimClock() });
  const { rules, scope, answers } = open(store);
  const urls = new Request("http://n/rules/urls", { method: "PUT", body: '["http://a/b"]' });
  assertEquals((await rules.handle(urls)).status, 204);
  assertEquals(ruleUrls(store), ["http://a/b"]);
  const answer = async (id: string, status: string, bytes = 2) => {
    const request = new Request(`http://n/rules/answers/${id}`, {
      method: "POST",
      headers: { "x-skerry-answer-status": status },
      body: "x".repeat(bytes),
    });
    assertEquals(EdgeRules.isFor(request), true);
    return (await rules.handle(request)).status;
  };
  assertEquals(await answer("known", "201"), 204);
  assertEquals(await answer("gone", "200"), 404);
  assertEquals(await answer("known", "none"), 400);
  assertEquals(await answer("known", "600"), 400);
  assertEquals(await answer("known", "200", 1024 * 1024 + 1), 400);
  assertEquals(answers, [{ status: 201, body: "xx" }]);
  await scope[Symbol.asyncDispose]();
});
