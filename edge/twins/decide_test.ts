import { assert, assertEquals } from "@std/assert";
import { fc } from "../../shared/testing/property.ts";
import { decide, isPending } from "./decide.ts";
import { Evolved } from "./evolve.ts";
import {
  type DeviceFacts,
  EMPTY_TWIN,
  type PropertyRules,
  type Twin,
  type TwinCommand,
} from "./model.ts";
import { decodeTwin, encodeTwin, type TwinRow } from "./rows.ts";

const RULES: Record<string, PropertyRules> = {
  level: { type: "INT", readOnly: false, minimum: "0", maximum: "9" },
  ratio: { type: "DOUBLE", readOnly: false },
  serial: { type: "STRING", readOnly: true },
};

function facts(twins: Record<string, Twin> = {}): Evolved {
  const base: DeviceFacts = {
    life: { state: "unknown", stateAtMs: 0 },
    rules: (property) => RULES[property],
    twin: (property) => twins[property] ?? EMPTY_TWIN,
  };
  return new Evolved(base);
}

/** Decides and applies; how many events there were, or the rule that refused. */
function act(on: Evolved, command: TwinCommand, nowMs = 1): number | string {
  const { events, rejections } = decide(on, command, nowMs);
  for (const event of events) on.apply(event);
  return rejections[0]?.rule ?? events.length;
}

const report = (values: Record<string, string>): TwinCommand => ({
  kind: "report",
  twins: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value }])),
});
const desire = (property: string, value: string | null): TwinCommand => ({
  kind: "desire",
  property,
  desired: value === null ? null : { value },
});
const edit = (value: string, intent: string): TwinCommand => ({
  kind: "site_desire",
  property: "level",
  value,
  intent,
});

Deno.test("decide() refuses by rule", () => {
  const cases: [TwinCommand, string][] = [
    [report({ nosuch: "1" }), "unknown_property"],
    [report({ level: "1.5" }), "type"],
    [report({ level: "10" }), "range"],
    [report({ level: "x".repeat(70_000) }), "too_big"],
    [{ kind: "report", twins: {}, timestampMs: -1 }, "timestamp"],
    [{ kind: "report", twins: {}, timestampMs: NaN }, "timestamp"],
    [{ kind: "report", twins: { level: { value: "1", version: -1 } } }, "stale"],
    [desire("serial", "x"), "read_only"],
    [desire("level", "-1"), "range"],
    [{ ...edit("1", "i"), version: -1 } as TwinCommand, "stale"], // a site's edit
    [{ kind: "state", state: "dancing" }, "state"],
    [
      { kind: "report", twins: { level: { value: "1", metadata: { note: "x".repeat(5_000) } } } },
      "too_big",
    ],
  ];
  for (const [command, rule] of cases) {
    const on = facts();
    act(on, report({ level: "1" }));
    act(on, desire("level", "2"));
    assertEquals(act(on, command), rule, JSON.stringify(command).slice(0, 80));
  }
});

Deno.test("only stamps that differ are no news; other metadata is", () => {
  const on = facts();
  const at = (timestamp: string, unit: string): TwinCommand => ({
    kind: "report",
    twins: { ratio: { value: "1", metadata: { timestamp, unit } } },
  });
  assertEquals(act(on, at("1", "C")), 2);
  assertEquals(act(on, at("2", "C")), 0);
  assertEquals(act(on, at("3", "F")), 1);
});

Deno.test("an edit of the site stands over the cloud's word until that is new", () => {
  const on = facts();
  act(on, desire("level", "1"));
  act(on, edit("5", "i1"));
  assertEquals(on.twin("level").desired?.value, "5");
  assertEquals(act(on, desire("level", "1")), 0); // the word it was made over
  act(on, edit("6", "i2"));
  assertEquals([on.twin("level").overruled, on.twin("level").desired?.value], ["1", "6"]);
  act(on, desire("level", "2"));
  const { overruled, desired } = on.twin("level");
  assertEquals([overruled, desired?.value, desired?.source], [undefined, "2", "cloud"]);
});

Deno.test("an edit the cloud has followed becomes its own, without a new version", () => {
  const on = facts();
  act(on, edit("5", "i1"));
  const { version } = on.twin("level").desired!;
  act(on, desire("level", "5"));
  const { desired, overruled } = on.twin("level");
  assertEquals([desired?.source, desired?.version, desired?.intent, overruled], [
    "cloud",
    version,
    undefined,
    undefined,
  ]);
});

Deno.test("a decision ends an edit: by the cloud's word as it is then", () => {
  for (const word of ["7", null, "5"]) {
    const on = facts();
    act(on, desire("level", "1"));
    act(on, edit("5", "i1"));
    const settle = (intent: string): TwinCommand => ({
      kind: "settle",
      property: "level",
      intent,
      desired: word === null ? null : { value: word },
    });
    assertEquals(act(on, settle("another")), 0);
    assertEquals(act(on, settle("i1")), 1);
    assertEquals([on.twin("level").desired?.value ?? null, on.twin("level").overruled], [
      word,
      undefined,
    ]);
    assertEquals(act(on, settle("i1")), 0);
  }
});

Deno.test("a device has followed when it says so after it was asked", () => {
  const on = facts();
  act(on, report({ ratio: "2" }));
  act(on, desire("ratio", "2.0"));
  assertEquals(isPending(on, "ratio"), true);
  assertEquals(act(on, report({ ratio: "2" })), 1);
  assertEquals([isPending(on, "ratio"), act(on, report({ ratio: "2" }))], [false, 0]);
});

const VALUE = fc.oneof(fc.integer({ min: 0, max: 9 }).map(String), fc.constantFrom("x", "10"));
const COMMAND: fc.Arbitrary<TwinCommand> = fc.oneof(
  fc.record({ level: VALUE, serial: fc.string({ unit: "grapheme", maxLength: 5 }) }).map(report),
  fc.tuple(fc.constantFrom("level", "ratio", "serial"), fc.option(VALUE))
    .map(([property, value]) => desire(property, value)),
  fc.tuple(VALUE, fc.constantFrom("i1", "i2", "i3")).map(([value, id]) => edit(value, id)),
  fc.tuple(fc.constantFrom("i1", "i2"), fc.option(VALUE)).map(([intent, value]): TwinCommand => ({
    kind: "settle",
    property: "level",
    intent,
    desired: value === null ? null : { value },
  })),
  fc.constantFrom("online", "offline", "ok").map((state): TwinCommand => ({
    kind: "state",
    state,
  })),
);

Deno.test("decide(): twice is once; versions rise by one; a report never touches desired", () => {
  fc.assert(fc.property(fc.array(COMMAND, { maxLength: 30 }), (commands) => {
    const on = facts();
    for (const command of commands) {
      const before = new Map(Object.keys(RULES).map((name) => [name, on.twin(name)]));
      const { events, rejections } = decide(on, command, 1);
      assert(rejections.length === 0 || events.length === 0);
      for (const event of events) on.apply(event);
      for (const [name, was] of before) {
        const is = on.twin(name);
        const desiredSteps = is.desiredVersion - was.desiredVersion;
        assert(desiredSteps === 0 || desiredSteps === 1);
        if (command.kind === "report") assertEquals(is.desired, was.desired);
        else assertEquals(is.reported, was.reported);
        const reportedSteps = (is.reported?.version ?? 0) - (was.reported?.version ?? 0);
        assert(reportedSteps === 0 || reportedSteps === 1);
        assert(is.overruled === undefined || is.desired?.source === "site");
        assertEquals(decodeTwin(JSON.parse(JSON.stringify(encodeTwin(is))) as TwinRow), is);
      }
      if (rejections.length === 0) assertEquals(decide(on, command, 2).events, []);
    }
  }));
});
