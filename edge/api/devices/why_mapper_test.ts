/** What `why device` says of the mapper that speaks its protocol, outside this program or in it. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { MapperStatus } from "../../dmi/port.ts";
import type { MappedStatus } from "../../mappers/port.ts";
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

interface Said {
  refusal?: { call: string; message: string };
  mapped?: MappedStatus;
}

function why(mapper?: MapperStatus, { refusal, mapped }: Said = {}) {
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
    mapped,
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
  assertStringIncludes(
    why(MAPPER, { refusal }).summary,
    "did not take register_device: bus is down",
  );
  assertEquals(why({ ...MAPPER, connection: { kind: "known" }, waiting: 2 }).reasons[0], {
    code: "MapperNotReached",
    message: "Mapper acme-mapper of protocol acme has not been reached yet.",
  });
  assertEquals(why(MAPPER).reasons.map(({ code }) => code), ["NeverReported"]);
});

const MAPPED: MappedStatus = {
  namespace: "plant",
  name: "pump",
  protocol: "modbus",
  state: "online",
  reason: "",
  problems: {},
};

function whyMapped(mapped: Partial<MappedStatus>) {
  return why(undefined, { mapped: { ...MAPPED, ...mapped } }).reasons;
}

Deno.test("why a device: its built-in mapper is away from it, or a property is in trouble", () => {
  assertEquals(whyMapped({ state: "offline", reason: "Connection refused." })[0], {
    code: "NotReached",
    message: "The built-in mapper for modbus does not reach it: Connection refused. " +
      "It goes on trying.",
  });
  assertEquals(whyMapped({ state: "connecting" })[0]?.code, "Connecting");
  const problems = { level: "register must be one of 4", speed: "exception 2" };
  assertEquals(
    whyMapped({ state: "unhealthy", problems }).slice(0, 2).map(({ message }) => message),
    [
      "The built-in mapper for modbus has trouble with level: register must be one of 4.",
      "The built-in mapper for modbus has trouble with speed: exception 2.",
    ],
  );
  assertEquals(whyMapped({}), [{
    code: "NeverReported",
    message: "Nothing was ever reported of it; its mapper is built in, for modbus.",
  }]);
});

Deno.test("why a device: many and long problems are cut down, and counted", () => {
  const names = Array.from({ length: 25 }, (_, i) => [`p${i}`, "x".repeat(5_000)]);
  const reasons = whyMapped({ state: "unhealthy", problems: Object.fromEntries(names) })
    .filter(({ code }) => code === "PropertyTrouble");
  assertEquals(reasons.length, 21);
  assertEquals(reasons.at(-1)?.message, "… and 5 more properties in trouble.");
  assertEquals(reasons.every(({ message }) => message.length < 400), true);
});
