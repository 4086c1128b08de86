/** A Modbus device from kubectl to its registers and back, with the mapper that is built in. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import type { Device } from "../../shared/k8s/devices.ts";
import { type Child, must, startChild } from "../support/process.ts";
import type { Site } from "../support/site.ts";
import { until } from "../support/until.ts";
import { siteTest } from "./site_test_case.ts";

const SERVER = fromFileUrl(new URL("../support/modbus_server.ts", import.meta.url));
const API_VERSION = "devices.kubeedge.io/v1beta1";
const LEVEL_AT = 10;
/** The server has 100. */
const NO_REGISTER_AT = 5_000;
const TIMEOUT_MS = 120_000;

const MODEL = {
  apiVersion: API_VERSION,
  kind: "DeviceModel",
  metadata: { name: "tank" },
  spec: {
    protocol: "modbus",
    properties: [
      { name: "level", type: "INT", accessMode: "ReadWrite", minimum: "0", maximum: "500" },
      { name: "flow", type: "INT", accessMode: "ReadOnly" },
      { name: "broken", type: "INT", accessMode: "ReadOnly" },
    ],
  },
};

function tank(port: number, brokenAt: number) {
  const property = (name: string, register: string, offset: number) => ({
    name,
    collectCycle: 200,
    reportCycle: 200,
    reportToCloud: true,
    visitors: { protocolName: "modbus", configData: { register, offset, limit: 1 } },
  });
  return {
    apiVersion: API_VERSION,
    kind: "Device",
    metadata: { name: "tank-1" },
    spec: {
      deviceModelRef: { name: "tank" },
      nodeName: "edge-1",
      protocol: {
        protocolName: "modbus",
        configData: { ip: "127.0.0.1", port, slaveID: 1, timeoutMs: 5_000 },
      },
      properties: [
        property("level", "HoldingRegister", LEVEL_AT),
        property("flow", "InputRegister", 5),
        property("broken", "HoldingRegister", brokenAt),
      ],
    },
  };
}

async function startServer(site: Site, port = 0): Promise<{ server: Child; port: number }> {
  const server = await startChild({
    name: `modbus-${port}`,
    command: Deno.execPath(),
    args: ["run", "-A", "--quiet", "--no-check", SERVER, "tcp", "100", String(port)],
    logDir: site.dir,
  });
  const [, found] = await server.waitForLine(/^listening (\d+)/, TIMEOUT_MS);
  return { server, port: Number(found) };
}

/** What a holding register holds, asked with bytes written here: no library's word for it. */
async function readRegister(port: number, offset: number): Promise<number> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new Uint8Array([0, 1, 0, 0, 0, 6, 1, 3, 0, offset, 0, 1]));
  const answer = new Uint8Array(64);
  const length = await connection.read(answer) ?? 0;
  assertEquals([length, answer[7]], [11, 3]);
  return new DataView(answer.buffer).getUint16(9);
}

/** The device as its node and the cloud see it. */
class Tank {
  constructor(readonly site: Site) {}

  async cloudIs(what: string, holds: (status: NonNullable<Device["status"]>) => boolean) {
    await until(async () => {
      const found = await this.site.kubectl.getJson("devicestatus", "tank-1") as Device;
      if (found.status && holds(found.status)) return true;
      throw new Error(JSON.stringify(found.status ?? null).slice(0, 1_000));
    }, { what: `the cloud: ${what}`, timeoutMs: TIMEOUT_MS, everyMs: 100 });
  }

  async nodeIs(what: string, pattern: RegExp): Promise<Local> {
    return await until(async () => {
      const found = await this.site.edge.get<Local>("/v1/devices/default/tank-1");
      if (pattern.test(JSON.stringify(found.mapper))) return found;
      throw new Error(JSON.stringify(found).slice(0, 1_000));
    }, { what: `the node: ${what}`, timeoutMs: TIMEOUT_MS });
  }

  async why(): Promise<string> {
    const { programs, edgeDir } = this.site;
    return await must(programs.edge, ["why", "device", "default/tank-1", "--data-dir", edgeDir]);
  }
}

interface Local {
  state: string;
  mapper?: { state: string; reason?: string; problems: Record<string, string> };
  twins: { property: string; reported?: { value: string } }[];
}

function reported(status: NonNullable<Device["status"]>, property: string): string | undefined {
  return status.twins?.find(({ propertyName }) => propertyName === property)?.reported?.value;
}

siteTest("a Modbus device: read, written, away and back, from kubectl", async ({ site, t }) => {
  const tankIs = new Tank(site);
  let { server, port } = await startServer(site);
  try {
    await t.step("what its registers hold is in the cloud and at the node", async () => {
      await site.kubectl.apply(MODEL);
      await site.kubectl.apply(tank(port, NO_REGISTER_AT));
      await tankIs.cloudIs(
        "10 and 1005",
        (status) =>
          reported(status, "level") === String(LEVEL_AT) && reported(status, "flow") === "1005",
      );
      const { twins } = await tankIs.nodeIs("is read", /unhealthy/);
      assertEquals(twins.find(({ property }) => property === "flow")?.reported?.value, "1005");
    });
    await t.step("a property that cannot be read says why", async () => {
      assertMatch(
        await tankIs.why(),
        /mapper for modbus has trouble with broken: .*(no such register|exception)/,
      );
      await site.kubectl.apply(tank(port, 1));
      await tankIs.nodeIs("all well", /"online","problems":{}/);
      await tankIs.cloudIs("online", ({ state }) => state === "online");
    });
    await t.step("a desired value is written to the register and read back", async () => {
      const properties = tank(port, 1).spec.properties
        .map((each) => each.name === "level" ? { ...each, desired: { value: "321" } } : each);
      const patch = JSON.stringify({ spec: { properties } });
      await site.kubectl.must(["patch", "device", "tank-1", "--type=merge", "-p", patch]);
      await tankIs.cloudIs("321", (status) => reported(status, "level") === "321");
      assertEquals(await readRegister(port, LEVEL_AT), 321);
    });
    await t.step("its server killed, it is offline and says why", async () => {
      server.kill("SIGKILL");
      await server.stop();
      await tankIs.cloudIs("offline", ({ state }) => state === "offline");
      await tankIs.nodeIs("not reached", /"offline","reason":"[^"]*127\.0\.0\.1/);
      const why = await tankIs.why();
      assertStringIncludes(why, "is offline");
      assertMatch(why, /built-in mapper for modbus does not reach it: .*127\.0\.0\.1/);
      const metrics = await site.edge.text("/metrics");
      assertMatch(metrics, /^skerry_mapper_failures_total [1-9]/m);
      assertMatch(metrics, /^skerry_mapper_devices 1$/m);
    });
    await t.step("its server back with other registers, it holds what is desired", async () => {
      ({ server } = await startServer(site, port));
      await tankIs.cloudIs("online", ({ state }) => state === "online");
      await until(async () => await readRegister(port, LEVEL_AT) === 321, {
        what: "321 in the register again",
        timeoutMs: TIMEOUT_MS,
      });
    });
  } finally {
    await server.stop();
  }
});
