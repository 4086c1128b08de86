/**
 * A Modbus server in a process of its own, by another library than the one the edge uses: TCP, or
 * RTU frames over TCP. Prints `listening PORT`. Holding register i holds i, input register i
 * 1000 + i; every third coil and every second discrete input is on.
 *
 *   deno run -A tests/support/modbus_server.ts tcp|rtu-over-tcp [REGISTERS] [PORT]
 */
import { Buffer } from "node:buffer";
import { createServer, type Socket } from "node:net";
import jsmodbus from "jsmodbus";

const [mode = "tcp", registersText = "1000", portText = "0"] = Deno.args;
const registers = Number(registersText);

// its types know serial ports only, but any stream will do
const RtuServer = jsmodbus.server.RTU as unknown as new (socket: Socket, options: object) => object;

function filled(first: number): Buffer {
  const buffer = Buffer.alloc(registers * 2);
  for (let i = 0; i < registers; i++) buffer.writeUInt16BE((first + i) & 0xffff, i * 2);
  return buffer;
}

function bits(every: number): Buffer {
  const buffer = Buffer.alloc(Math.ceil(registers / 8));
  for (let i = 0; i < registers; i += every) buffer[i >> 3] = (buffer[i >> 3] ?? 0) | 1 << (i & 7);
  return buffer;
}

const options = { holding: filled(0), input: filled(1_000), coils: bits(3), discrete: bits(2) };
const server = createServer();
// a client that hangs up in mid-answer ends its connection, not the server
server.on("connection", (socket) => void socket.on("error", () => socket.destroy()));
if (mode === "tcp") new jsmodbus.server.TCP(server, options);
else server.on("connection", (socket) => void new RtuServer(socket, options));
server.listen(Number(portText), "127.0.0.1", () => {
  const address = server.address();
  console.log(`listening ${typeof address === "object" ? address?.port : address}`);
});
