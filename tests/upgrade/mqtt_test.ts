/** What an embedded broker kept in its first layout: a broker of today goes on with it. */
import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { connect, connectAsync } from "mqtt";
import { edgeConfigSchema } from "../../edge/config.ts";
import { Counters } from "../../edge/mqtt/counters.ts";
import { EmbeddedBroker } from "../../edge/mqtt/embedded.ts";
import { TaskScope } from "../../shared/async/task_scope.ts";
import { SystemClock } from "../../shared/clock.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";
import { recordId, type StoreOp } from "../../shared/store/port.ts";
import { until } from "../support/until.ts";

const FILE = fromFileUrl(new URL("./mqtt_v1/rows.json", import.meta.url));

interface Rows {
  "mqtt_sessions/v1": Record<string, unknown>;
  "mqtt_retained/v1": Record<string, { payload: string }>;
  "mqtt_received/v1": Record<string, unknown>;
  "mqtt_queue/v1": { key: string; value: { payload: string } }[];
  "mqtt_sent/v1": { of: number; value: unknown }[];
}

/** The rows as they lay in a store; bytes are base64 in the file. */
async function fill(store: MemoryStore): Promise<void> {
  const rows: Rows = JSON.parse(await Deno.readTextFile(FILE));
  const bytes = <T extends { payload: string }>(value: T) => ({
    ...value,
    payload: Uint8Array.fromBase64(value.payload),
  });
  const puts = (bucket: string, of: Record<string, unknown>) =>
    Object.entries(of).map(([key, value]): StoreOp => ({ op: "put", bucket, key, value }));
  const retained = Object.entries(rows["mqtt_retained/v1"])
    .map(([key, value]) => [key, bytes(value)]);
  await store.commit([
    ...puts("mqtt_sessions/v1", rows["mqtt_sessions/v1"]),
    ...puts("mqtt_retained/v1", Object.fromEntries(retained)),
    ...puts("mqtt_received/v1", rows["mqtt_received/v1"]),
  ]);
  const stream = "mqtt_queue/v1";
  const sequence = await store.commit(rows[stream].map(({ key, value }): StoreOp => ({
    op: "append",
    stream,
    key,
    value: bytes(value),
    atMs: 0,
  })));
  const marks = rows["mqtt_sent/v1"].map(({ of, value }) => [recordId(sequence, of), value]);
  await store.commit(puts("mqtt_sent/v1", Object.fromEntries(marks)));
}

Deno.test("sessions, queues and retained messages of the first layout go on", async () => {
  const store = new MemoryStore();
  await fill(store);
  const acl = [{ user: "", read: ["line/#"] }];
  const mqtt = { listen: "127.0.0.1:0", acl };
  const broker = new EmbeddedBroker({
    config: edgeConfigSchema({ nodeName: "n", mqtt }, "").mqtt,
    take: () => Promise.resolve(),
    onForbidden: () => {},
    store,
    sparing: () => false,
    counters: new Counters(),
    clock: new SystemClock(),
    random: new SeededRandom(1),
    onChange: () => {},
  });
  const scope = new TaskScope();
  scope.spawn("broker", (signal) => broker.run(signal));
  const url = await until(() => {
    const { state } = broker;
    return state.state === "up" ? `mqtt://${state.address}` : undefined;
  }, { what: "the broker", timeoutMs: 30_000 });
  const heard: string[] = [];
  const session = { clientId: "press-1", clean: false, reconnectPeriod: 0 };
  const press = connect(url, session);
  press.on("packetreceive", (packet) => {
    if (packet.cmd === "publish") {
      heard.push(`${packet.payload} ${packet.qos} ${packet.qos === 2 ? packet.messageId : ""}`);
    } else if (packet.cmd === "pubrel") heard.push(`release ${packet.messageId}`);
  });
  await until(() => heard.length === 4, { what: "what waited, and its handshakes" });
  // the second release answers the receipt of what came again
  assertEquals(heard.toSorted(), ["one 1 ", "release 40", "release 41", "two 2 40"]);
  const reader = await connectAsync(url, { reconnectPeriod: 0 });
  const kept = new Promise<string>((resolve) =>
    reader.once("message", (topic, payload) => resolve(`${topic} ${payload}`))
  );
  await reader.subscribeAsync("line/+/state", { qos: 1 });
  assertEquals(await kept, "line/1/state running");
  await until(() => store.bulk.stats("mqtt_queue/v1").rows === 0, { what: "all is acknowledged" });
  for (const client of [press, reader]) await client.endAsync(true);
  await scope[Symbol.asyncDispose]();
  assertEquals(store.get("mqtt_received/v1", "meter-1"), [7]);
  assertEquals(store.count("mqtt_sent/v1"), 0);
  await store.close();
});
