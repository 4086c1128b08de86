/** Modbus devices of real servers in processes of their own, read and written by the mappers. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { MapperNode, type NodeProperty } from "../support/mapper_node.ts";
import { type Child, startChild } from "../support/process.ts";

const SERVER = fromFileUrl(new URL("../support/modbus_server.ts", import.meta.url));
const HOLDING = "HoldingRegister";

interface Server {
  child: Child;
  port: number;
  dir: string;
}

async function startServer(mode: string, port = 0): Promise<Server> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-modbus-" });
  const child = await startChild({
    name: "modbus",
    command: Deno.execPath(),
    args: ["run", "-A", "--quiet", "--no-check", SERVER, mode, "1000", String(port)],
    logDir: dir,
  });
  const match = await child.waitForLine(/^listening (\d+)/, 60_000);
  return { child, port: Number(match[1]), dir };
}

async function stopServer({ child, dir }: Server): Promise<void> {
  await child.stop();
  await Deno.remove(dir, { recursive: true });
}

function at(offset: number, more: Record<string, unknown> = {}): NodeProperty {
  return { config: { register: HOLDING, offset, ...more } };
}

Deno.test("Modbus TCP: every kind of register and type is read", async () => {
  const server = await startServer("tcp");
  await using node = new MapperNode();
  try {
    await node.put({
      name: "plc",
      protocol: "modbus",
      config: { ip: "127.0.0.1", port: server.port, slaveID: 1 },
      properties: {
        seven: at(7),
        scaled: { ...at(215, { scale: "0.1", limit: 1 }), type: "FLOAT" },
        two: at(1, { limit: 2 }),
        swapped: at(258, { isSwap: true }),
        reversed: at(1, { limit: 2, isRegisterSwap: true }),
        input: { config: { register: "InputRegister", offset: 5 } },
        coil: { type: "BOOLEAN", config: { register: "CoilRegister", offset: 3 } },
        bits: { config: { register: "DiscreteInputRegister", offset: 0, limit: 4 } },
        bytes: { ...at(1, { limit: 2 }), type: "BYTES" },
      },
    });
    await node.untilReported("plc", {
      seven: "7",
      scaled: "21.5",
      two: String(1 * 65_536 + 2),
      swapped: "513",
      reversed: String(2 * 65_536 + 1),
      input: "1005",
      coil: "true",
      bits: "5",
      bytes: "AAEAAg==",
    });
    await node.untilState("plc", "online");
  } finally {
    await stopServer(server);
  }
});

Deno.test("Modbus TCP: what is desired is written, read back, and reported", async () => {
  const server = await startServer("tcp");
  await using node = new MapperNode();
  try {
    const put = (desired: Record<string, string>) =>
      node.put({
        name: "plc",
        protocol: "modbus-tcp",
        config: { ip: "127.0.0.1", port: server.port },
        properties: {
          level: { ...at(10), desired: desired["level"] ?? "1" },
          speed: { ...at(20), type: "FLOAT", desired: desired["speed"] ?? "1.5" },
          exact: { ...at(30), type: "DOUBLE", desired: "0.1" },
          below: { ...at(40), minimum: "-100", desired: "-7" },
          name: { ...at(50, { limit: 4 }), type: "STRING", desired: "pump" },
          valve: {
            type: "BOOLEAN",
            config: { register: "CoilRegister", offset: 1 },
            desired: desired["valve"] ?? "true",
          },
        },
      });
    await put({});
    const rest = { exact: "0.1", below: "-7", name: "pump" };
    await node.untilReported("plc", { level: "1", speed: "1.5", ...rest, valve: "true" });
    await put({ level: "42", speed: "-2.25", valve: "false" });
    await node.untilReported("plc", { level: "42", speed: "-2.25", ...rest, valve: "false" });
    await node.untilState("plc", "online");
  } finally {
    await stopServer(server);
  }
});

Deno.test("Modbus TCP: a server that was away is found and told what is desired", async () => {
  const first = await startServer("tcp");
  const port = first.port;
  await using node = new MapperNode();
  await node.put({
    name: "plc",
    protocol: "modbus",
    config: { ip: "127.0.0.1", port },
    properties: { level: { ...at(10), desired: "77" }, seven: at(7) },
  });
  await node.untilReported("plc", { level: "77", seven: "7" });
  await stopServer(first);
  await node.untilState("plc", "offline", /127\.0\.0\.1/);
  const second = await startServer("tcp", port);
  try {
    await node.untilState("plc", "online");
    await node.untilReported("plc", { level: "77" });
    assert(node.room.counts().failures > 0);
  } finally {
    await stopServer(second);
  }
});

Deno.test("Modbus TCP: a register that is not there is in trouble alone", async () => {
  const server = await startServer("tcp");
  await using node = new MapperNode();
  try {
    await node.put({
      name: "plc",
      protocol: "modbus",
      config: { ip: "127.0.0.1", port: server.port },
      properties: { there: at(999), beyond: at(1_000), unnamed: { config: { register: "none" } } },
    });
    const status = await node.untilState("plc", "unhealthy");
    await node.untilReported("plc", { there: "999" });
    assertEquals(Object.keys(status.problems).sort(), ["beyond", "unnamed"]);
    assert(/exception|length/i.test(status.problems["beyond"] ?? ""), status.problems["beyond"]);
    assert(/register must be/.test(status.problems["unnamed"] ?? ""));
  } finally {
    await stopServer(server);
  }
});

Deno.test("Modbus RTU over TCP: devices behind one gateway take turns on its line", async () => {
  const server = await startServer("rtu-over-tcp");
  await using node = new MapperNode();
  try {
    for (const slaveID of [1, 2, 3]) {
      await node.put({
        name: `unit-${slaveID}`,
        protocol: "modbus",
        config: { ip: "127.0.0.1", port: server.port, mode: "rtu-over-tcp", slaveID },
        properties: { mine: { ...at(100 + slaveID), desired: String(slaveID * 11) }, nine: at(9) },
      });
    }
    for (const slaveID of [1, 2, 3]) {
      await node.untilReported(`unit-${slaveID}`, { mine: String(slaveID * 11), nine: "9" });
    }
  } finally {
    await stopServer(server);
  }
});
