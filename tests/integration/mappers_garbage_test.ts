/** Modbus servers that misbehave: the reason is said, and a good device beside them never waits. */
import { assert } from "@std/assert";
import { SeededRandom } from "../../shared/random.ts";
import { MapperNode } from "../support/mapper_node.ts";

type Misbehave = (connection: Deno.TcpConn, request: Uint8Array) => Promise<void>;

class BadServer implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #done: Promise<void>;
  readonly #connections = new Set<Deno.TcpConn>();

  constructor(misbehave: Misbehave) {
    this.#done = this.#serve(misbehave);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(misbehave: Misbehave): Promise<void> {
    const tasks: Promise<void>[] = [];
    for await (const connection of this.#listener) {
      this.#connections.add(connection);
      // the client hangs up on it, which is right
      tasks.push(this.#talk(connection, misbehave).catch(() => {}));
    }
    await Promise.all(tasks);
  }

  async #talk(connection: Deno.TcpConn, misbehave: Misbehave): Promise<void> {
    const buffer = new Uint8Array(1_024);
    for (;;) {
      const length = await connection.read(buffer);
      if (length === null) return;
      await misbehave(connection, buffer.slice(0, length));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#connections) connection.close();
    await this.#done;
  }
}

/** Header of an answer to a request, with the length it says. */
function header(request: Uint8Array, length: number): number[] {
  return [request[0] ?? 0, request[1] ?? 0, 0, 0, length >> 8, length & 255, request[6] ?? 0];
}

async function good(connection: Deno.TcpConn, request: Uint8Array): Promise<void> {
  await connection.write(new Uint8Array([...header(request, 5), 3, 2, 0, 7]));
}

const CASES: Readonly<Record<string, { does: Misbehave; state: string; says: RegExp }>> = {
  exception: {
    does: async (c, request) => {
      await c.write(new Uint8Array([...header(request, 3), 0x83, 4]));
    },
    state: "unhealthy",
    says: /exception 4/,
  },
  "too long": {
    does: async (c, request) => {
      await c.write(new Uint8Array([...header(request, 9), 3, 6, 1, 2, 3, 4, 5, 6]));
    },
    state: "unhealthy",
    says: /length/i,
  },
  "another unit": {
    does: async (c, request) => {
      await c.write(new Uint8Array([...header(request, 5).with(6, 99), 3, 2, 0, 7]));
    },
    state: "offline",
    says: /address/,
  },
  "another function": {
    does: async (c, request) => {
      await c.write(new Uint8Array([...header(request, 5), 4, 2, 0, 7]));
    },
    state: "offline",
    says: /code/,
  },
  "an old answer": {
    does: async (c, request) => {
      await c.write(new Uint8Array([...header(request, 5).with(1, 200), 3, 2, 0, 7]));
    },
    state: "offline",
    says: /No answer within 300 ms/,
  },
  noise: {
    does: async (c) => {
      await c.write(new SeededRandom(1).bytes(500).fill(255, 4, 6));
    },
    state: "offline",
    says: /No answer within 300 ms/,
  },
  "half a frame": {
    does: async (c, request) => {
      await c.write(new Uint8Array([...header(request, 5), 3]));
      await c.closeWrite().catch(() => {}); // the client may be gone
    },
    state: "offline",
    says: /ended/,
  },
  silence: { does: () => Promise.resolve(), state: "offline", says: /No answer within 300 ms/ },
  "byte count": {
    does: async (c, request) => {
      await c.write(new Uint8Array([...header(request, 5), 3, 250, 0, 7]));
    },
    state: "offline",
    says: /range|offset|bytes|Modbus/i,
  },
};

for (const [name, { does, state, says }] of Object.entries(CASES)) {
  Deno.test(`Modbus TCP: a server that gives garbage (${name}) is ${state}, alone`, async () => {
    await using bad = new BadServer(does);
    await using fine = new BadServer(good);
    await using node = new MapperNode();
    for (const [device, { port }] of [["bad", bad], ["fine", fine]] as const) {
      await node.put({
        name: device,
        protocol: "modbus",
        config: { ip: "127.0.0.1", port, timeoutMs: 300 },
        properties: { seven: { config: { register: "HoldingRegister", offset: 7 } } },
      });
    }
    await node.untilState("bad", state, says);
    await node.untilReported("fine", { seven: "7" });
    await node.untilState("fine", "online");
    assert(node.reported("bad", "seven") === undefined);
  });
}
