/** OPC UA devices of a real server (asyncua) in a process of its own. */
import { assert } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { MapperNode } from "../support/mapper_node.ts";
import { type Child, startChild } from "../support/process.ts";
import { opcuaPython, testWith } from "../support/requirements.ts";

const SERVER = fromFileUrl(new URL("../support/opcua_server.py", import.meta.url));

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

async function withServer(work: (url: string, server: Child) => Promise<void>): Promise<void> {
  const logDir = await Deno.makeTempDir({ prefix: "skerry-opcua-" });
  const port = freePort();
  const server = await startChild({
    name: "opcua",
    command: opcuaPython(),
    args: [SERVER, String(port)],
    logDir,
  });
  try {
    await server.waitForLine(/^listening/, 60_000);
    await work(`opc.tcp://127.0.0.1:${port}/`, server);
  } finally {
    await server.stop();
    await Deno.remove(logDir, { recursive: true });
  }
}

const node = (name: string) => ({ nodeID: `ns=2;s=${name}` });

testWith(["asyncua"], "OPC UA: values of every type are read and written", async () => {
  await withServer(async (url, server) => {
    await using mappers = new MapperNode();
    const put = (desired: Record<string, string>) =>
      mappers.put({
        name: "press",
        protocol: "opcua",
        config: { url, userName: "u", password: "p" },
        properties: {
          temperature: { type: "DOUBLE", config: node("temperature"), ...wish(desired["t"]) },
          ratio: { type: "FLOAT", config: node("ratio"), ...wish(desired["r"]) },
          count: { config: node("count"), ...wish(desired["c"]) },
          big: { config: node("big"), ...wish(desired["b"]) },
          on: { type: "BOOLEAN", config: node("on"), ...wish(desired["o"]) },
          label: { type: "STRING", config: node("label"), ...wish(desired["l"]) },
          blob: { type: "BYTES", config: node("blob") },
        },
      });
    await put({});
    const first = { temperature: "21.5", ratio: "0.1", count: "-7", big: "9007199254740993" };
    await mappers.untilReported("press", { ...first, on: "true", label: "a b", blob: "AQI=" });
    await mappers.untilState("press", "online");
    await put({ t: "-1.25", r: "0.3", c: "12", b: "-9007199254740995", o: "false", l: "ü" });
    const second = { temperature: "-1.25", ratio: "0.3", count: "12", big: "-9007199254740995" };
    await mappers.untilReported("press", { ...second, on: "false", label: "ü" });
    await mappers.untilState("press", "online");
    await server.stop();
    await mappers.untilState("press", "offline", /127\.0\.0\.1/);
  });
});

function wish(desired: string | undefined): { desired?: string } {
  return desired === undefined ? {} : { desired };
}

testWith(["asyncua"], "OPC UA: faults of one node and wrong passwords are said", async () => {
  await withServer(async (url) => {
    await using mappers = new MapperNode();
    const count = { config: node("count") };
    await mappers.put({
      name: "press",
      protocol: "opcua",
      config: { url },
      properties: {
        count,
        none: { config: node("none") },
        fixed: { config: node("fixed"), desired: "2" },
        odd: { config: { nodeID: "no such thing" } },
      },
    });
    await mappers.put({
      name: "locked",
      protocol: "opcua",
      config: { url, userName: "u", password: "wrong" },
      properties: { count },
    });
    await mappers.untilReported("press", { count: "-7", fixed: "1" });
    const { problems } = await mappers.untilState("press", "unhealthy");
    assert(/BadNodeIdUnknown/.test(problems["none"] ?? ""), problems["none"]);
    assert(/Server refused: Bad/.test(problems["fixed"] ?? ""), problems["fixed"]);
    assert(/nodeID/.test(problems["odd"] ?? ""));
    await mappers.untilState("locked", "offline", /Bad(UserAccessDenied|IdentityToken)/);
  });
});
