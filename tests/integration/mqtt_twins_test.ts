/** Twins over MQTT with mosquitto's own clients: the embedded broker, every topic, bad input. */
import { assert, assertEquals } from "@std/assert";
import { deviceName, NAMESPACE } from "../support/device_node.ts";
import { mosquittoPub, MosquittoSub, MQTT_NODE, MqttNode } from "../support/mqtt.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

const DEVICE = deviceName(0);
const BASE = `$hw/events/device/${NAMESPACE}/${DEVICE}`;

interface Site {
  bus: MqttNode;
  port: number;
  sub: MosquittoSub;
}

async function withSite(work: (site: Site) => Promise<void>, mqtt: object = {}): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-mqtt-it-" });
  try {
    await using bus = await MqttNode.start(dir, mqtt, 3);
    const port = await bus.port();
    await using sub = await MosquittoSub.start(dir, { port, topics: ["$hw/#"] });
    await work({ bus, port, sub });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function update(eventId: string, twin: object): string {
  return JSON.stringify({ event_id: eventId, timestamp: 1_700_000_000_000, twin });
}

testWith(["mosquitto"], "MQTT: an update is durable, answered and told as a document", async () => {
  await withSite(async ({ bus, port, sub }) => {
    const twin = { "property-1": { actual: { value: "21.5", metadata: { timestamp: 7 } } } };
    const { code, stderr } = await mosquittoPub(port, `${BASE}/twin/update`, update("e1", twin));
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
    const result = await sub.next(`${BASE}/twin/update/result`);
    assertEquals(result.event_id, "e1");
    assertEquals(result.twin, {
      "property-1": {
        actual: { value: "21.5", metadata: { timestamp: 7 } },
        optional: false,
        metadata: { type: "double" },
        actual_version: { cloud: 0, edge: 1 },
      },
    });
    const device = { namespace: NAMESPACE, name: DEVICE };
    assertEquals(bus.node.engine.twins.twin(device, "property-1")?.reported?.value, "21.5");
    const { twin: document } = await sub.next(`${BASE}/twin/update/document`);
    assertEquals(document, {
      "property-1": {
        last: null,
        current: {
          actual: { value: "21.5", metadata: { timestamp: 7 } },
          optional: false,
          metadata: { type: "double" },
          actual_version: { cloud: 0, edge: 1 },
        },
      },
    });
    await mosquittoPub(port, `${BASE}/twin/get`, '{"event_id":"g"}');
    const got = await sub.next(`${BASE}/twin/get/result`);
    const { "property-0": unsaid, "property-1": said } = got.twin as Record<string, unknown>;
    assertEquals(unsaid, { optional: false, metadata: { type: "double" } });
    assertEquals({ "property-1": said }, {
      "property-1": {
        actual: { value: "21.5", metadata: { timestamp: 7 } },
        optional: false,
        metadata: { type: "double" },
      },
    });
  });
});

testWith(
  ["mosquitto"],
  "MQTT: expected is an edit of the site, and a delta until it is followed",
  async () => {
    await withSite(async ({ port, sub }) => {
      const topic = `${BASE}/twin/update`;
      await mosquittoPub(port, topic, update("d", { "property-2": { expected: { value: "5" } } }));
      const result = await sub.next(`${topic}/result`);
      assertEquals(result.event_id, "d");
      const delta = await sub.next(`${topic}/delta`);
      assertEquals(delta.delta, { "property-2": "5" });
      assert(typeof delta.event_id === "string" && delta.event_id.length === 36);
      await mosquittoPub(port, topic, update("a", { "property-2": { actual: { value: "5.0" } } }));
      await sub.next(`${topic}/result`, ({ event_id }) => event_id === "a");
      await sub.next(`${topic}/document`, ({ twin }) => JSON.stringify(twin).includes('"5.0"'));
      const deltas = (await sub.heard()).filter((heard) => heard.topic === `${topic}/delta`);
      assertEquals(deltas.length, 1);
    });
  },
);

testWith(["mosquitto"], "MQTT: state and membership", async () => {
  await withSite(async ({ port, sub }) => {
    await mosquittoPub(port, `${BASE}/state/update`, '{"event_id":"s","state":"Online"}');
    const { event_id, device } = await sub.next(`${BASE}/state/update/result`);
    assertEquals(event_id, "s");
    const { name, state, lastOnlineTime } = device as Record<string, string>;
    assertEquals([name, state], [DEVICE, "online"]);
    assert(/^\d{4}-\d\d-\d\dT/.test(lastOnlineTime ?? ""));
    const membership = `$hw/events/node/${MQTT_NODE}/membership`;
    await mosquittoPub(port, `${membership}/get`, '{"event_id":"m"}');
    const { devices } = await sub.next(`${membership}/get/result`);
    const ids = (devices as { id: string }[]).map(({ id }) => id);
    assertEquals(ids, [0, 1, 2].map((index) => `${NAMESPACE}/${deviceName(index)}`));
  });
});

const BAD: { what: string; verb: string; payload: string; code: number; says: RegExp }[] = [
  { what: "no JSON", verb: "twin/update", payload: "{", code: 400, says: /must be JSON/ },
  { what: "a list", verb: "twin/get", payload: "[]", code: 400, says: /must be an object/ },
  { what: "no twin", verb: "twin/update", payload: "{}", code: 400, says: /twin must be/ },
  {
    what: "a wrong type",
    verb: "twin/update",
    payload: update("x", { "property-1": { actual: { value: "warm" } } }),
    code: 400,
    says: /property-1/,
  },
  {
    what: "out of range",
    verb: "twin/update",
    payload: update("x", { "property-1": { actual: { value: "2e9" } } }),
    code: 400,
    says: /property-1/,
  },
  {
    what: "an unknown property",
    verb: "twin/update",
    payload: update("x", { nope: { actual: { value: "1" } } }),
    code: 404,
    says: /"nope"/,
  },
  {
    what: "a deletion",
    verb: "twin/update",
    payload: update("x", { "property-1": null }),
    code: 400,
    says: /device's model/,
  },
  {
    what: "a value too big",
    verb: "twin/update",
    payload: update("x", { "property-1": { actual: { value: "1".repeat(70_000) } } }),
    code: 400,
    says: /65536/,
  },
  {
    what: "a state nobody knows",
    verb: "state/update",
    payload: '{"event_id":"x","state":"asleep"}',
    code: 400,
    says: /State must be one of/,
  },
];

testWith(
  ["mosquitto"],
  "MQTT: whatever is wrong is answered on the device's own topic",
  async (t) => {
    await withSite(async ({ port, sub, bus }) => {
      for (const [index, { what, verb, payload, code, says }] of BAD.entries()) {
        await t.step(what, async () => {
          const topic = `$hw/events/device/${NAMESPACE}/${deviceName(index % 3)}/${verb}`;
          const before = (await sub.heard()).length;
          await mosquittoPub(port, topic, payload);
          const said = await until(async () => {
            const heard = (await sub.heard()).slice(before);
            return heard.find((each) => each.topic === `${topic}/result`);
          }, { what: "an answer" });
          const body = JSON.parse(said.text);
          assertEquals(body.code, code, said.text);
          assert(says.test(body.reason), said.text);
        });
      }
      await mosquittoPub(port, "$hw/events/device/plant/nobody/twin/get", "{}");
      const answer = await sub.next("$hw/events/device/plant/nobody/twin/get/result");
      assertEquals(answer.code, 404);
      const stale = { "property-4": { actual: { value: "1" } } };
      await mosquittoPub(port, `${BASE}/twin/update`, update("v1", stale));
      await sub.next(`${BASE}/twin/update/result`, ({ event_id }) => event_id === "v1");
      const late = {
        "property-4": { actual: { value: "2" }, actual_version: { cloud: 0, edge: 0 } },
      };
      await mosquittoPub(port, `${BASE}/twin/update`, update("v2", late));
      const refused = await sub.next(
        `${BASE}/twin/update/result`,
        (body) => body.event_id === "v2",
      );
      assertEquals(refused.code, 409);
      assertEquals(bus.room.counts().requests["twin_update 409"], 1);
    });
  },
);

testWith(["mosquitto"], "MQTT: a device called by its name alone is answered there", async () => {
  await withSite(async ({ port, sub }) => {
    const topic = `$hw/events/device/${DEVICE}/twin/update`;
    await mosquittoPub(port, topic, update("s", { "property-1": { actual: { value: "3" } } }));
    assertEquals((await sub.next(`${topic}/result`)).event_id, "s");
    await sub.next(`${topic}/document`);
    await sub.next(`${BASE}/twin/update/document`);
  });
});

testWith(
  ["mosquitto"],
  "MQTT: a client of version 5 is refused in the protocol's words",
  async () => {
    await withSite(async ({ port }) => {
      const { code, stderr } = await mosquittoPub(port, "a", "b", ["-V", "mqttv5"]);
      assert(code !== 0 && /Unsupported Protocol Version/i.test(stderr), stderr);
      const connection = await Deno.connect({ hostname: "127.0.0.1", port });
      try {
        // its refusal, in the words of its own version
        const connect = [0x10, 0x10, 0, 4, ...text("MQTT"), 5, 2, 0, 60, 0, 0, 3, ...text("abc")];
        await connection.write(Uint8Array.from(connect));
        const answer = new Uint8Array(16);
        const length = await connection.read(answer);
        assertEquals([...answer.subarray(0, length ?? 0)], [0x20, 3, 0, 0x84, 0]);
      } finally {
        connection.close();
      }
    });
  },
);

function text(word: string): number[] {
  return [...new TextEncoder().encode(word)];
}
