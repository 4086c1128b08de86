/** Devices with an HTTP interface, and devices that speak MQTT, through real servers. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { MapperNode } from "../support/mapper_node.ts";
import { startChild, which } from "../support/process.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

Deno.test("HTTP: values are picked from JSON, written as told, and faults are said", async () => {
  const state: Record<string, unknown> = { rpm: 1500, on: false, deep: [{ "a b": "x y" }] };
  const requests: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (req) => {
    const { pathname } = new URL(req.url);
    requests.push(`${req.method} ${pathname}`);
    if (req.headers.get("authorization") !== "Bearer secret") {
      return new Response("", { status: 401 });
    }
    if (req.method === "POST" && pathname === "/set") Object.assign(state, await req.json());
    else if (pathname === "/plain") return new Response(" 7 \n");
    else if (pathname === "/broken") return new Response("<html>", { status: 500 });
    else if (pathname === "/endless") return new Response("x".repeat(3_000_000));
    return Response.json(state);
  });
  await using node = new MapperNode();
  try {
    await node.put({
      name: "drive",
      protocol: "http",
      config: { url: `http://127.0.0.1:${server.addr.port}/`, token: "secret" },
      properties: {
        rpm: {
          config: {
            path: "state",
            jsonPath: "$.rpm",
            writePath: "set",
            writeMethod: "POST",
            body: '{"rpm": {{value}}}',
          },
          desired: "1600",
        },
        on: { type: "BOOLEAN", config: { path: "state", jsonPath: "on" } },
        deep: { type: "STRING", config: { path: "state", jsonPath: 'deep[0]["a b"]' } },
        plain: { type: "DOUBLE", config: { path: "plain" } },
        gone: { config: { path: "state", jsonPath: "none" } },
        broken: { config: { path: "broken" } },
        endless: { config: { path: "endless" } },
      },
    });
    const read = { rpm: "1600", on: "false", deep: "x y", plain: "7" };
    await node.untilReported("drive", read);
    const { problems } = await node.untilState("drive", "unhealthy");
    assertEquals(problems, {
      broken: "Device answered HTTP 500 <html>",
      endless: "Answer must be <= 1048576 bytes",
      gone: "Device sent JSON without none",
    });
    assertEquals(requests.filter((each) => each.startsWith("POST")), ["POST /set"]);
  } finally {
    await server.shutdown();
  }
  await node.untilState("drive", "offline", /Cannot reach 127\.0\.0\.1/);
});

async function startMosquitto(dir: string, port: number) {
  const file = join(dir, "mosquitto.conf");
  await Deno.writeTextFile(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nuser root\n`);
  const command = await which("mosquitto") ?? "mosquitto";
  const child = await startChild({ name: "mosquitto", command, args: ["-c", file], logDir: dir });
  await child.waitFor("its port", async () => {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  });
  return child;
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

testWith(
  ["mosquitto"],
  "MQTT: a device speaks in its topics, is told what is desired, and a broker comes back",
  async () => {
    const dir = await Deno.makeTempDir({ prefix: "skerry-mqtt-" });
    const port = freePort();
    let broker = await startMosquitto(dir, port);
    const { default: mqtt } = await import("mqtt");
    const device = mqtt.connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 100 });
    const commands: string[] = [];
    device.on("message", (topic, payload) => commands.push(`${topic} ${payload}`));
    device.on("error", () => {}); // the broker is away for a while
    await device.subscribeAsync("lamp/set", { qos: 1 });
    const node = new MapperNode();
    try {
      await node.put({
        name: "lamp",
        protocol: "mqtt",
        config: { url: `mqtt://127.0.0.1:${port}`, topic: "lamp/state" },
        properties: {
          level: {
            type: "DOUBLE",
            config: {
              jsonPath: "light.level",
              topic: "+/state",
              commandTopic: "lamp/set",
              body: '{"level":{{value}}}',
            },
            desired: "0.5",
          },
          name: { type: "STRING", readOnly: true, config: { jsonPath: "name" } },
          raw: { type: "BYTES", readOnly: true, config: { topic: "lamp/raw" } },
        },
      });
      await node.untilState("lamp", "online");
      await until(() => commands.includes('lamp/set {"level":0.5}'), { what: "the command" });
      const state = JSON.stringify({ light: { level: 0.5 }, name: "ü" });
      await device.publishAsync("lamp/state", state, { qos: 1 });
      await node.untilReported("lamp", { level: "0.5", name: "ü" });
      await device.publishAsync("lamp/state", "{ no json", { qos: 1 });
      await node.untilState("lamp", "unhealthy", /no JSON/);
      await device.publishAsync("lamp/state", state, { qos: 1 });
      await broker.stop();
      await node.untilState("lamp", "offline");
      broker = await startMosquitto(dir, port);
      await node.untilState("lamp", "online");
      await until(() => commands.length >= 2, { what: "the command again", timeoutMs: 60_000 });
      assert(node.status("lamp")?.reason === "");
    } finally {
      await node[Symbol.asyncDispose]();
      await device.endAsync(true);
      await broker.stop();
      await Deno.remove(dir, { recursive: true });
    }
  },
);
