/** The stored forms, spelled out: what changes here needs a new bucket or stream and a reader. */
import { assertEquals } from "@std/assert";
import { streamOf, toHistoryRow } from "./history_rows.ts";
import type { Twin } from "./model.ts";
import { decodeDevice, decodeTwin, type DeviceRecord, encodeDevice, encodeTwin } from "./rows.ts";

const TWIN: Twin = {
  desiredVersion: 3,
  desired: { value: "5", version: 3, atMs: 20, source: "site", intent: "i1" },
  reported: { value: "4.50", version: 9, atMs: 10, desiredVersion: 2, metadata: { unit: "C" } },
  overruled: null,
  passed: ["4"],
};

Deno.test("a twin lies in the store as ever", () => {
  const row = encodeTwin(TWIN);
  assertEquals<unknown>(row, [
    3,
    ["5", 3, 20, 1, 0, "i1"],
    ["4.50", 9, 10, 2, { unit: "C" }],
    null,
    ["4"],
  ]);
  assertEquals(decodeTwin(row), TWIN);
  assertEquals<unknown>(encodeTwin({ desiredVersion: 0 }), [0, 0, 0]);
  assertEquals(decodeTwin([0, 0, 0]), { desiredVersion: 0 });
});

Deno.test("a device lies in the store as ever", () => {
  const record: DeviceRecord = {
    uid: "u",
    digest: "d",
    deviceVersion: "7",
    modelVersion: "8",
    life: { state: "offline", stateAtMs: 30, lastOnlineMs: 20 },
    model: "m",
    cycleMs: 1_000,
    quiet: ["a", ""],
    extra: ["b"],
  };
  const row = encodeDevice(record);
  assertEquals<unknown>(row, ["u", "d", "7", "8", 1, 30, 20, "m", 1_000, ["a", ""], ["b"]]);
  assertEquals(decodeDevice(row), record);
  const plain = { ...record, quiet: [], extra: [] };
  assertEquals(decodeDevice(encodeDevice(plain)), plain);
});

Deno.test("a change lies in the history as ever", () => {
  const before: Twin = { desiredVersion: 2 };
  const event = { property: "p", before, after: TWIN };
  const reported = toHistoryRow({ kind: "reported", ...event });
  assertEquals<unknown>(reported, [0, "p", "4.50", 9, { unit: "C" }]);
  assertEquals<unknown>(toHistoryRow({ kind: "desired", ...event }), [1, "p", "5", 3, 1]);
  assertEquals(streamOf("default/a"), streamOf("default/a"));
  assertEquals(/^twin_history\/v1\/(\d|1[0-5])$/.test(streamOf("default/a")), true);
});
