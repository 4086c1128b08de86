/** Modbus RTU on a serial line: a pty whose other end is a real server. */
import { fromFileUrl, join } from "@std/path";
import { MapperNode } from "../support/mapper_node.ts";
import { startChild } from "../support/process.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

const SERVER = fromFileUrl(new URL("../support/modbus_server.ts", import.meta.url));

testWith(["socat"], "Modbus RTU: devices on one serial line are read and written", async () => {
  const logDir = await Deno.makeTempDir({ prefix: "skerry-serial-" });
  const server = await startChild({
    name: "modbus",
    command: Deno.execPath(),
    args: ["run", "-A", "--quiet", "--no-check", SERVER, "rtu-over-tcp"],
    logDir,
  });
  const match = await server.waitForLine(/^listening (\d+)/, 60_000);
  const serialPort = join(logDir, "tty");
  const wire = await startChild({
    name: "socat",
    command: "socat",
    args: [`pty,raw,echo=0,link=${serialPort}`, `tcp:127.0.0.1:${match[1]}`],
    logDir,
  });
  const node = new MapperNode();
  try {
    await until(() => Deno.stat(serialPort).then(() => true), { what: "the line" });
    for (const slaveID of [1, 2]) {
      await node.put({
        name: `unit-${slaveID}`,
        protocol: "modbus",
        config: { serialPort, baudRate: 115200, parity: "none", slaveID },
        properties: {
          nine: { config: { register: "HoldingRegister", offset: 9 } },
          mine: {
            config: { register: "HoldingRegister", offset: 50 + slaveID },
            desired: String(slaveID * 11),
          },
        },
      });
    }
    await node.untilReported("unit-1", { nine: "9", mine: "11" });
    await node.untilReported("unit-2", { nine: "9", mine: "22" });
    await wire.stop();
    await node.untilState("unit-1", "offline");
  } finally {
    await node[Symbol.asyncDispose]();
    await wire.stop();
    await server.stop();
    await Deno.remove(logDir, { recursive: true });
  }
});
