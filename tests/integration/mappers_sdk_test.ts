/** A protocol made by the guide in edge/mappers/README.md alone: lines over TCP, in one file. */
import { AppError } from "../../shared/errors.ts";
import type { CreateDriver } from "../../edge/mappers/port.ts";
import { needText, needWhole, valueText } from "../../edge/mappers/settings.ts";
import { SeededRandom } from "../../shared/random.ts";
import { MapperNode } from "../support/mapper_node.ts";

const LINE_BYTES_MAX = 1_024;

const createDriver: CreateDriver = () => ({
  open: async ({ config }, signal) => {
    const port = needWhole(config, "port", [1, 65_535]);
    const connection = await Deno.connect({ hostname: needText(config, "host"), port, signal });
    const buffer = new Uint8Array(LINE_BYTES_MAX);
    const ask = async (line: string) => {
      await connection.write(new TextEncoder().encode(`${line}\n`));
      let length = 0;
      while (!buffer.subarray(0, length).includes(10)) {
        if (length === LINE_BYTES_MAX) throw new AppError("unavailable", "Line is too long");
        const read = await connection.read(buffer.subarray(length));
        if (read === null) throw new AppError("unavailable", "Device hung up");
        length += read;
      }
      return new TextDecoder().decode(buffer.subarray(0, length)).trim();
    };
    return {
      read: async (points) => {
        const readings = new Map<string, string | Error>();
        for (const point of points) {
          const answer = await ask(`GET ${needText(point.config, "key")}`);
          try {
            readings.set(point.name, valueText(point, answer));
          } catch (error) {
            readings.set(point.name, error instanceof Error ? error : new Error(String(error)));
          }
        }
        return readings;
      },
      write: async (point, value) => {
        await ask(`SET ${needText(point.config, "key")} ${value}`);
        return { kind: "verify", expected: value };
      },
      close: () => Promise.resolve(connection.close()),
    };
  },
});

async function serve(listener: Deno.Listener, answer: (line: string) => Uint8Array): Promise<void> {
  const talks: Promise<void>[] = [];
  for await (const connection of listener) {
    talks.push(
      (async () => {
        using open = connection;
        const buffer = new Uint8Array(LINE_BYTES_MAX);
        for (;;) {
          const length = await open.read(buffer);
          if (length === null) return;
          await open.write(answer(new TextDecoder().decode(buffer.subarray(0, length)).trim()));
        }
      })().catch(() => {}),
    ); // the mapper hung up
  }
  await Promise.all(talks);
}

Deno.test("a protocol in one file: read, written, and garbage beside it harms nobody", async () => {
  const values = new Map([["t", "21"]]);
  const good = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const bad = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const random = new SeededRandom(7);
  const served = [
    serve(good, (line) => {
      const [verb, key = "", value = ""] = line.split(" ");
      if (verb === "SET") values.set(key, value);
      return new TextEncoder().encode(`${values.get(key) ?? "none"}\n`);
    }),
    serve(bad, () => new Uint8Array(random.bytes(1 + random.bytes(1)[0]!))),
  ];
  {
    await using node = new MapperNode({
      protocols: (name) =>
        name === "lines" ? { driver: name, load: () => Promise.resolve(createDriver) } : undefined,
    });
    const put = (name: string, port: number) =>
      node.put({
        name,
        protocol: "lines",
        config: { host: "127.0.0.1", port, timeoutMs: 300 },
        properties: { t: { config: { key: "t" }, desired: "30" }, u: { config: { key: "u" } } },
      });
    await put("garbage", bad.addr.transport === "tcp" ? bad.addr.port : 0);
    await put("good", good.addr.transport === "tcp" ? good.addr.port : 0);
    await node.untilReported("good", { t: "30" });
    await node.untilState("good", "unhealthy", /u: Device gave no INT/);
  }
  good.close();
  bad.close();
  await Promise.all(served);
});
