/** Twins, devices, their history and its index in their first layouts. */
import { assertEquals } from "@std/assert";
import { TwinHistory } from "../../edge/twins/history.ts";
import { streamOf } from "../../edge/twins/history_rows.ts";
import { decodeIndex } from "../../edge/twins/index_rows.ts";
import { named, TwinWorld } from "../../edge/twins/testing.ts";
import { fillStore, type FixtureRows, parseRows } from "./rows.ts";

const BEGIN_MS = Date.parse("2026-01-01T00:00:00Z");
const STREAM = streamOf("default/a");
const INDEX = STREAM.replace("history", "index");

async function rows(): Promise<FixtureRows> {
  return parseRows(await Deno.readTextFile(new URL("./twins_v1/rows.json", import.meta.url)));
}

/** The devices are defined as they were, so that only what was stored tells of them. */
async function open(fixture: FixtureRows): Promise<TwinWorld> {
  const world = new TwinWorld();
  await fillStore(world.store, fixture);
  world.putModel();
  for (const name of ["a", "b"]) world.putDevice(name);
  world.open();
  return world;
}

Deno.test("devices and twins that were stored are there, with an edit of the site", async () => {
  const { twins } = await open(await rows());
  const a = twins.get(named("a"));
  assertEquals([a?.uid, a?.model, a?.life], ["uid-a", "sensor", {
    state: "unknown",
    stateAtMs: BEGIN_MS + 3_000,
    lastOnlineMs: BEGIN_MS + 3_000,
  }]);
  const temperature = twins.twin(named("a"), "temperature");
  assertEquals(temperature?.desired, {
    value: "21",
    version: 2,
    atMs: BEGIN_MS + 2_000,
    source: "site",
    intent: "intent-1",
  });
  assertEquals([temperature?.overruled, temperature?.passed], ["20", ["20.5"]]);
  const { value, version, metadata } = temperature?.reported ?? {};
  assertEquals([value, version, metadata], ["21", 2, { unit: "C" }]);
  assertEquals(twins.twin(named("a"), "count")?.reported?.value, "9007199254740993");
  assertEquals(twins.get(named("b"))?.life.state, "offline");
  assertEquals(twins.twin(named("b"), "temperature")?.desired?.metadata, { why: "test" });
});

Deno.test("history that was stored is read, with its index and without", async () => {
  const whole = await rows();
  const { [INDEX]: _, ...plain } = whole;
  for (const fixture of [whole, plain]) {
    const { twins } = await open(fixture);
    const { points } = await twins.history(named("a"), {});
    assertEquals(points.map((point) => [point.kind, "value" in point && point.value]), [
      ["added", "uid-a"],
      ["desired", "20"],
      ["reported", "19.50"],
      ["state", "online"],
      ["desired", "21"],
      ["reported", "21"],
    ]);
    // stamped while the clock was wrong: the fifth record belongs a minute later
    assertEquals(points[4]?.atMs, BEGIN_MS + 60_000);
    const at = await twins.at(named("a"), BEGIN_MS + 1_500);
    const then = at.find(({ property }) => property === "temperature");
    assertEquals([then?.desired?.value, then?.reported?.value], ["20", "19.50"]);
  }
});

Deno.test("a part of the index that was stored says which records are of a device", async () => {
  const { store, clock } = await open(await rows());
  new TwinHistory({ store, clock });
  const [row] = store.bulk.read<unknown>(INDEX, { limit: 2 });
  const part = decodeIndex(row?.value);
  assertEquals(part?.of("default/a"), [4096, 4097, 4099]);
  assertEquals(part?.of("default/z"), [4098]);
  assertEquals([part?.rows, part?.minAtMs, part?.maxAtMs], [4, BEGIN_MS, BEGIN_MS + 1_000]);
});
