/**
 * Flow control from end to end: whoever is slow, what is on its way stays within its bound, the
 * link stays live, and in the end everything is there once.
 */
import { assert, assertEquals } from "@std/assert";
import { makeWorld, MemoryLedger, until } from "./hub_world.ts";

const WINDOW_BYTES = 8 * 1024 * 1024;
const STEPS_IN_FLIGHT = 8;

Deno.test("a slow cloud: the node holds back what its window does not allow", async () => {
  await using world = await makeWorld({ heartbeatMs: 100 });
  const gate = Promise.withResolvers<void>();
  world.sink.gate = gate.promise;
  const { link, outbox } = world.link("n1", await world.enroll("n1"));
  const count = 3_000;
  const message = "x".repeat(5_000);
  for (let i = 0; i < count; i++) {
    outbox.put("status", `pods/${i}`, {
      kind: "pod_status",
      pod: { namespace: "default", name: `p${i}`, uid: "u" },
      status: { phase: "Running", message },
    });
  }
  await until("the window is full", () => link.traffic.report.up.bytes > WINDOW_BYTES - 10_000);
  // both ways, and behind what was sent before it
  const beats = link.traffic.heartbeat.down.messages;
  await until("heartbeats go on", () => link.traffic.heartbeat.down.messages >= beats + 4);
  const { bytes } = link.traffic.report.up;
  assert(bytes < WINDOW_BYTES * 1.02, `${bytes} bytes are on their way`);
  assertEquals([outbox.depth, world.sink.applied.length], [count, 0]);
  assertEquals(link.status().state, "live");
  gate.resolve();
  await until("the outbox is empty", () => outbox.depth === 0);
  assertEquals(world.sink.applied.length, count);
  // both sides counted the same
  assertEquals(world.hub.traffic.report.up, link.traffic.report.up);
  await until("the last acknowledgement is counted", () => {
    const { down } = link.traffic.report;
    return down.messages > 0 && down.bytes === world.hub.traffic.report.down.bytes;
  });
});

Deno.test("a slow disk at the edge: few steps are on their way, the rest is one step", async () => {
  await using world = await makeWorld({ heartbeatMs: 100 });
  const gate = Promise.withResolvers<void>();
  const ledger = new MemoryLedger();
  ledger.gate = gate.promise;
  const { link } = world.link("n1", await world.enroll("n1"), { ledger });
  await until("the link is live", () => link.status().state === "live");
  const padding = "x".repeat(300_000);
  const sent = () => link.traffic.desired.down.messages;
  for (let i = 0; i < STEPS_IN_FLIGHT; i++) {
    world.source.set("n1", `p${i}`, "1", padding);
    await until(`step ${i} is on its way`, () => sent() === i + 1);
  }
  for (let i = 0; i < 20; i++) world.source.set("n1", `q${i % 4}`, `${i}`, padding);
  const beats = link.traffic.heartbeat.down.messages;
  await until("heartbeats go on", () => link.traffic.heartbeat.down.messages >= beats + 4);
  assertEquals([sent(), ledger.batches.length], [STEPS_IN_FLIGHT, 0]);
  gate.resolve();
  await until("all is acknowledged", () => world.hub.sessions.get("n1")?.ackedGeneration === 28);
  assertEquals(ledger.items.size, STEPS_IN_FLIGHT + 4);
  assertEquals(ledger.items.get("pods/default/q3")?.resourceVersion, "19");
  // what changed twenty times meanwhile went once
  const late = ledger.batches.slice(STEPS_IN_FLIGHT).flatMap(({ upserts }) => upserts);
  assert(late.length <= 8, `${late.length} objects went`);
});
