/**
 * DMI with a mapper in a process of its own, and the edge in another: both are killed and started
 * again, and nothing is lost or told twice.
 */
import net from "node:net";
import { join } from "@std/path";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { DeviceManagerService } from "../../shared/gen/v1beta1/api_pb.ts";
import { deviceName, DeviceNode, NAMESPACE } from "../support/device_node.ts";
import { type Child, startChild } from "../support/process.ts";
import { findPrograms } from "../support/programs.ts";
import { until } from "../support/until.ts";

/** Generous: a loaded machine. What is waited for takes a second. */
const WAIT_MS = 60_000;
const PROTOCOL = "acme";

class Site implements AsyncDisposable {
  readonly dir: string;
  readonly socket: string;
  edge!: Child;
  mapper: Child | undefined;
  api = "";
  #starts = 0;

  private constructor(dir: string) {
    this.dir = dir;
    this.socket = join(dir, "run", "dmi.sock");
  }

  /** An edge with so many devices, cut off from any cloud. */
  static async start(devices: number): Promise<Site> {
    const site = new Site(await Deno.makeTempDir({ prefix: "skerry-dmi-test-" }));
    const node = await DeviceNode.open(join(site.dir, "store"), PROTOCOL);
    await node.fill(devices);
    await node.close();
    const lines = [
      "apiVersion: config.skerry.dev/v1alpha1",
      "kind: EdgeConfig",
      "nodeName: bench",
      `dataDir: ${site.dir}`,
      "cloud: { addresses: [] }",
      'api: { listen: "127.0.0.1:0" }',
      'mqtt: { listen: "127.0.0.1:0" }',
      `dmi: { socket: ${site.socket} }`,
      `runtime: { endpoint: "unix://${site.dir}/none.sock" }`,
      `pods: { logsDir: ${site.dir}/logs }`,
    ];
    await Deno.writeTextFile(join(site.dir, "edge.yaml"), lines.join("\n"));
    await site.startEdge();
    return site;
  }

  async startEdge(): Promise<void> {
    const addresses = join(this.dir, "addresses.json");
    await Deno.remove(addresses).catch(() => {}); // a killed edge leaves it
    this.edge = await startChild({
      name: `edge-${this.#starts++}`,
      command: findPrograms().edge,
      args: ["run", "--data-dir", this.dir],
      logDir: this.dir,
    });
    this.api = String(Object(await this.edge.waitForJson(addresses, WAIT_MS)).api);
  }

  async startMapper(...flags: string[]): Promise<Child> {
    const root = new URL("../..", import.meta.url).pathname;
    this.mapper = await startChild({
      name: `mapper-${this.#starts++}`,
      command: Deno.execPath(),
      args: [
        ...["run", "--quiet", "--allow-all", "--config", join(root, "deno.json")],
        ...[join(root, "tests/support/mapper.ts"), "--edge", this.socket],
        ...["--listen", join(this.dir, "mapper.sock"), ...flags],
      ],
      logDir: this.dir,
    });
    return this.mapper;
  }

  async kill(child: Child): Promise<void> {
    child.kill("SIGKILL");
    await child.stop();
  }

  async desire(device: number, value: string): Promise<void> {
    const token = (await Deno.readTextFile(join(this.dir, "api-token"))).trim();
    const path = `/v1/devices/${NAMESPACE}/${deviceName(device)}/twins/property-2`;
    const response = await fetch(this.api + path, {
      method: "PATCH",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ desired: value }),
    });
    assertEquals(response.status, 202, await response.text());
  }

  async json(path: string): Promise<Record<string, unknown>> {
    return await (await fetch(this.api + path)).json();
  }

  async metric(name: string): Promise<string | undefined> {
    const metrics = await (await fetch(`${this.api}/metrics`)).text();
    return metrics.split("\n").find((line) => line.startsWith(`${name} `))?.slice(name.length + 1);
  }

  /** A connection for each call, as KubeEdge's mappers make them. */
  get client(): Client<typeof DeviceManagerService> {
    const nodeOptions = { createConnection: () => net.connect(this.socket) };
    return createClient(
      DeviceManagerService,
      createGrpcTransport({
        baseUrl: "http://localhost",
        nodeOptions,
        idleConnectionTimeoutMs: 500,
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.mapper) await this.kill(this.mapper);
    await this.edge.stop();
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** Calls the mapper has had, without what it says of itself. */
async function callsOf(mapper: Child): Promise<string[]> {
  const lines = (await Deno.readTextFile(mapper.logFile)).trim().split("\n");
  return lines.filter((line) => /^[A-Z]/.test(line));
}

async function untilCall(mapper: Child, call: string): Promise<void> {
  await until(async () => (await callsOf(mapper)).some((line) => line.includes(call)), {
    what: `the mapper is told ${call}`,
    timeoutMs: WAIT_MS,
  });
}

Deno.test("a mapper and the edge are killed and come back", async (t) => {
  await using site = await Site.start(5);
  const mode = (await Deno.stat(site.socket)).mode ?? 0;
  assertEquals(mode & 0o777, 0o660);
  let mapper = await site.startMapper();
  await t.step("it is given its model and devices", async () => {
    const [line] = await mapper.waitForLine(/^registered .*/, WAIT_MS);
    assertStringIncludes(line, "models=1");
    assertEquals(line.split(";").length, 5);
    assertEquals(await site.metric("skerry_dmi_mappers"), "1");
  });
  await t.step("an edit at the site becomes one call, reports become none", async () => {
    const twins = [{ propertyName: "property-2", reported: { value: "1" } }];
    await site.client.reportDeviceStatus({
      deviceName: deviceName(1),
      deviceNamespace: NAMESPACE,
      reportedDevice: { twins },
    });
    await site.desire(1, "21.5");
    await untilCall(mapper, "property-2=21.5");
    assertEquals((await callsOf(mapper)).length, 1);
  });
  await t.step("killed edge: what it was told before is not told again", async () => {
    await site.kill(site.edge);
    await site.startEdge();
    await site.desire(2, "22.5");
    await untilCall(mapper, "property-2=22.5");
    assertEquals((await callsOf(mapper)).length, 2);
  });
  await t.step("killed mapper: what was set meanwhile is in what it is given", async () => {
    await site.kill(mapper);
    await site.desire(3, "23.5");
    mapper = await site.startMapper();
    const [line] = await mapper.waitForLine(/^registered .*/, WAIT_MS);
    for (const value of ["21.5", "22.5", "23.5"]) {
      assertStringIncludes(line, `property-2=${value}`);
    }
    await site.desire(3, "24.5");
    await untilCall(mapper, "property-2=24.5");
    // where the edge finds it before it registers, it is told what it missed first
    const others = (await callsOf(mapper)).filter((call) => !call.includes("property-2=24.5"));
    assertEquals(others.filter((call) => !call.includes("property-2=23.5")), []);
    assertEquals((await callsOf(mapper)).length <= 2, true);
  });
  await t.step("a mapper that only listens again is told what it missed", async () => {
    await site.kill(mapper);
    await site.desire(4, "25.5");
    await site.kill(site.edge);
    await site.startEdge();
    mapper = await site.startMapper("--register", "no");
    await untilCall(mapper, "property-2=25.5");
    assertEquals((await callsOf(mapper)).length, 1);
  });
  await t.step("one that registers before it listens, and hangs over a device", async () => {
    await site.kill(mapper);
    mapper = await site.startMapper("--late", "1500", "--hang", deviceName(0));
    await mapper.waitForLine(/^registered /, WAIT_MS);
    await site.desire(0, "30");
    await site.desire(1, "31");
    await untilCall(mapper, "property-2=31");
    await untilCall(mapper, "property-2=30");
  });
});

Deno.test("what mappers get wrong is answered by name, and the edge goes on", async (t) => {
  await using site = await Site.start(2);
  const { client } = site;
  const refused = async (code: Code, words: string, work: () => Promise<unknown>) => {
    const error = await assertRejects(work, ConnectError, words);
    assertEquals(error.code, code);
  };
  const device = { deviceName: deviceName(0), deviceNamespace: NAMESPACE };
  const report = (twins: { propertyName: string; reported?: { value: string } }[]) =>
    client.reportDeviceStatus({ ...device, reportedDevice: { twins } });
  await t.step("missing parts", async () => {
    const { InvalidArgument } = Code;
    await refused(InvalidArgument, "mapper must be set", () => client.mapperRegister({}));
    await refused(
      InvalidArgument,
      "mapper.protocol",
      () => client.mapperRegister({ mapper: { name: "m" } }),
    );
    await refused(InvalidArgument, "reportedDevice", () => client.reportDeviceStatus(device));
    await refused(InvalidArgument, "twins[0].reported", () => report([{ propertyName: "p" }]));
    await refused(InvalidArgument, "state", () => client.reportDeviceStates(device));
    await refused(
      InvalidArgument,
      "State must be one of",
      () => client.reportDeviceStates({ ...device, state: "merry" }),
    );
  });
  await t.step("what is not there", async () => {
    await refused(
      Code.NotFound,
      "default/nobody",
      () => client.reportDeviceStates({ deviceName: "nobody", state: "ok" }),
    );
    const twins = [
      { propertyName: "property-1", reported: { value: "4" } },
      { propertyName: "none", reported: { value: "4" } },
    ];
    await refused(Code.NotFound, '"none"', () => report(twins));
    const path = `/v1/devices/${NAMESPACE}/${deviceName(0)}/twins/property-1`;
    const { reported } = await site.json(path);
    assertEquals(Object(reported).value, "4", "what could be taken was");
  });
  await t.step("values that are none", async () => {
    const twins = [{ propertyName: "property-1", reported: { value: "warm" } }];
    await refused(Code.InvalidArgument, "property-1", () => report(twins));
  });
  await t.step("bytes that are no HTTP/2, and a client that leaves in the middle", async () => {
    for (const bytes of ["GET / HTTP/1.1\r\n\r\n", "\0\x01\x02", ""]) {
      const socket = net.connect(site.socket);
      await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
      socket.on("error", () => {});
      socket.write(bytes);
      socket.destroy();
    }
    await report([{ propertyName: "property-1", reported: { value: "5" } }]);
    assertEquals(site.edge.running, true);
  });
  await t.step("a state, and health", async () => {
    await client.reportDeviceStates({ ...device, state: "ok" });
    const health = await (await fetch(`${site.api}/readyz?verbose`)).text();
    assert(health.includes("[+]dmi ok"), health);
    assertEquals(await site.metric("skerry_dmi_calls_total"), "11");
    assertEquals(await site.metric("skerry_dmi_mappers"), "0");
  });
});
