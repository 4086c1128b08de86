/**
 * Requests byte for byte as KubeEdge's mapper framework (1.15 to 1.21) puts them on the wire, with
 * its headers, against the real twin engine.
 */
import { Buffer } from "node:buffer";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { fromBinary } from "@bufbuild/protobuf";
import { AppError } from "../../shared/errors.ts";
import { MapperRegisterResponseSchema } from "../../shared/gen/v1beta1/api_pb.ts";
import { named, TwinWorld } from "../twins/testing.ts";
import type { MapperRecord } from "./reports.ts";
import { DeviceManager } from "./service.ts";

const SERVICE = "/v1beta1.DeviceManagerService";

const REGISTER =
  "080112440a0d4d6f646275732d6d6170706572120776312e31332e301a0676312e302e3022037369" +
  "6d2a192f6574632f6b756265656467652f6d6f646275732e736f636b32026f6b";
/** temperature of device "a": a desired value of nothing, and stamps that are empty. */
const STATUS_WITHOUT_NAMESPACE =
  "0a016112550a530a0b74656d7065726174757265121e120d0a0974696d657374616d701200120d0a04747970651205" +
  "666c6f61741a240a0432312e35120d0a0974696d657374616d701200120d0a04747970651205666c6f6174";
const STATUS = `${STATUS_WITHOUT_NAMESPACE}1a0764656661756c74`;
const STATES = "0a0161120764656661756c741a026f6b";

async function manager() {
  const world = await TwinWorld.start("a");
  const registered: [MapperRecord, boolean][] = [];
  const { byPath } = new DeviceManager({
    twins: () => world.twins,
    register: (mapper, withData) => {
      registered.push([mapper, withData]);
      return Promise.resolve({});
    },
  }).methods();
  const call = async (name: string, hex: string) => {
    const method = byPath.get(`${SERVICE}/${name}`);
    assert(method, name);
    return await method(Buffer.from(hex, "hex"), Infinity);
  };
  return { world, registered, call };
}

Deno.test("the framework's registration is understood", async () => {
  const { registered, call } = await manager();
  const answer = fromBinary(MapperRegisterResponseSchema, await call("MapperRegister", REGISTER));
  assertEquals(answer.deviceList, []);
  assertEquals(registered, [[
    {
      name: "Modbus-mapper",
      version: "v1.13.0",
      apiVersion: "v1.0.0",
      protocol: "sim",
      address: "/etc/kubeedge/modbus.sock",
    },
    true,
  ]]);
});

for (
  const [what, hex] of [["with its namespace", STATUS], ["before 1.17", STATUS_WITHOUT_NAMESPACE]]
) {
  Deno.test(`the framework's report (${what}) is the value, and no stamp`, async () => {
    const { world, call } = await manager();
    assertEquals(await call("ReportDeviceStatus", hex ?? ""), new Uint8Array());
    const { reported, desired } = world.twins.twin(named("a"), "temperature") ?? {};
    assertEquals([reported?.value, reported?.metadata], ["21.5", { type: "float" }]);
    assertEquals(desired, undefined, "what the mapper believes to be desired is no word on it");
  });
}

Deno.test("the framework's state is understood", async () => {
  const { world, call } = await manager();
  await call("ReportDeviceStates", STATES);
  assertEquals(world.twins.get(named("a"))?.life.state, "ok");
});

Deno.test("bytes that are no message are refused, and name what was expected", async () => {
  const { call } = await manager();
  const error = await assertRejects(() => call("ReportDeviceStatus", "0aff"), AppError);
  assertEquals(error.code, "invalid");
  assert(error.message.includes("v1beta1.ReportDeviceStatusRequest"), error.message);
});
