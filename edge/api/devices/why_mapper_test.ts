/** What `why device` says of the mapper outside this program that speaks its protocol. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { MapperStatus } from "../../dmi/port.ts";
import { explainDevice } from "./why.ts";

const MAPPER: MapperStatus = {
  protocol: "acme",
  name: "acme-mapper",
  version: "1",
  address: "/run/acme.sock",
  connection: { kind: "connected", sinceMs: 0 },
  devices: 1,
  waiting: 0,
};

function why(mapper?: MapperStatus, refusal?: { call: string; message: string }) {
  return explainDevice({
    device: {
      namespace: "plant",
      name: "pump",
      uid: "u",
      model: "sensor",
      life: { state: "unknown", stateAtMs: 0 },
    },
    definition: undefined,
    twins: [],
    intents: [],
    link: { state: "live" },
    holdsModel: true,
    mapper,
    refusal,
  });
}

Deno.test("why a device: its mapper is not registered, away, refuses, or is just silent", () => {
  assertStringIncludes(why().summary, "no mapper for its protocol has registered by DMI");
  const away: MapperStatus = {
    ...MAPPER,
    connection: { kind: "away", sinceMs: 0, problem: "connect ENOENT" },
  };
  assertEquals(why(away).reasons[0]?.code, "MapperAway");
  assertStringIncludes(
    why(away).summary,
    "Mapper acme-mapper of protocol acme does not answer since 1970-01-01T00:00:00",
  );
  const refusal = { call: "register_device", message: "bus is down" };
  assertStringIncludes(why(MAPPER, refusal).summary, "did not take register_device: bus is down");
  assertEquals(why({ ...MAPPER, connection: { kind: "known" }, waiting: 2 }).reasons[0], {
    code: "MapperNotReached",
    message: "Mapper acme-mapper of protocol acme has not been reached yet.",
  });
  assertEquals(why(MAPPER).reasons.map(({ code }) => code), ["NeverReported"]);
});
