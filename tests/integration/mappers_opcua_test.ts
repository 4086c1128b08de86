/** OPC UA devices of a real server (asyncua) in a process of its own. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { ownPapers } from "../../edge/mappers/drivers/opcua/papers.ts";
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

async function withServer(
  work: (url: string, server: Child, dir: string) => Promise<void>,
  args: (dir: string) => string[] = () => [],
): Promise<void> {
  const logDir = await Deno.makeTempDir({ prefix: "skerry-opcua-" });
  const port = freePort();
  const server = await startChild({
    name: "opcua",
    command: opcuaPython(),
    args: [SERVER, String(port), ...args(logDir)],
    logDir,
  });
  try {
    await server.waitForLine(/^listening/, 60_000);
    await work(`opc.tcp://127.0.0.1:${port}/`, server, logDir);
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

const COUNT = { count: { config: node("count"), desired: "12" } };

testWith(["asyncua"], "OPC UA: every security policy and mode, with own certificates", async () => {
  await withServer(async (url, _server, dir) => {
    await using mappers = new MapperNode({ dataDir: join(dir, "mappers") });
    for (
      const securityPolicy of ["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256_Sha256_RsaPss"]
    ) {
      for (const securityMode of ["Sign", "SignAndEncrypt"]) {
        const name = `${securityPolicy}-${securityMode}`.toLowerCase().replaceAll("_", "");
        const config = { url, securityPolicy, securityMode, userName: "u", password: "p" };
        await mappers.put({ name, protocol: "opcua", config, properties: COUNT });
        await mappers.untilReported(name, { count: "12" });
        await mappers.untilState(name, "online");
      }
    }
    const locked = { url, securityMode: "signAndEncrypt", userName: "u", password: "wrong" };
    await mappers.put({ name: "locked", protocol: "opcua", config: locked, properties: COUNT });
    await mappers.untilState("locked", "offline", /Bad(UserAccessDenied|IdentityToken)/);
    // the password is encrypted though the channel is not
    const open = { url, userName: "u", password: "p" };
    await mappers.put({ name: "open", protocol: "opcua", config: open, properties: COUNT });
    await mappers.untilState("open", "online");
    const broken = { url, securityPolicy: "Basic128Rsa15" };
    await mappers.put({ name: "broken", protocol: "opcua", config: broken, properties: COUNT });
    await mappers.untilState("broken", "offline", /securityPolicy must be one of None, Aes256/);
  }, (dir) => [dir]);
});

testWith(
  ["asyncua"],
  "OPC UA: client and server each take only the certificate they know",
  async () => {
    const own = await Deno.makeTempDir({ prefix: "skerry-opcua-own-" });
    const dataDir = join(own, "node");
    const papers = await ownPapers(join(dataDir, "opcua"), "edge-1");
    assertEquals(papers.applicationUri, "urn:skerry:edge-1");
    const stranger = join(own, "stranger");
    await ownPapers(stranger, "stranger");
    try {
      await withServer(async (url, _server, dir) => {
        const secure = { url, securityPolicy: "Basic256Sha256" };
        const serverCertificate = join(dir, "server.der");
        await using mappers = new MapperNode({ dataDir });
        const put = (name: string, config: Record<string, unknown>) =>
          mappers.put({ name, protocol: "opcua", config, properties: COUNT });
        await put("known", { ...secure, serverCertificate });
        await mappers.untilReported("known", { count: "12" });
        await put("first", secure);
        await mappers.untilReported("first", { count: "12" });
        const trusted = await Array.fromAsync(Deno.readDir(join(dataDir, "opcua", "trusted")));
        assertEquals(trusted.length, 1);
        await put("other-server", { ...secure, serverCertificate: join(stranger, "client.pem") });
        await mappers.untilState(
          "other-server",
          "offline",
          /not trusted: serverCertificate does not/,
        );
        const certificate = join(stranger, "client.pem");
        const privateKey = await Deno.readTextFile(join(stranger, "client-key.pem"));
        await put("stranger", { ...secure, certificate, privateKey });
        await mappers.untilState("stranger", "offline", /127.0.0.1.*(Bad|ended|closed)/);
        await put("half", { ...secure, certificate });
        await mappers.untilState("half", "offline", /privateKey must be set beside certificate/);
        await put("no-file", { ...secure, certificate: "/none.pem", privateKey });
        await mappers.untilState("no-file", "offline", /Cannot read certificate \/none.pem/);
        // another server in its place
        const file = join(dataDir, "opcua", "trusted", trusted[0]?.name ?? "");
        await Deno.copyFile(certificate, file);
        await put("changed", secure);
        await mappers.untilState("changed", "offline", /it was another one before; remove/);
      }, (dir) => [dir, join(dataDir, "opcua", "client.pem")]);
    } finally {
      await Deno.remove(own, { recursive: true });
    }
  },
);
