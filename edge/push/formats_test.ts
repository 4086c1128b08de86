import { assertEquals, assertThrows } from "@std/assert";
import { formBody, influxLine, mqttText, numberOf, sampleJson } from "./formats.ts";
import type { Sample } from "./port.ts";
import { createTables, insertInto } from "./tdengine_sql.ts";

const SAMPLE: Sample = {
  namespace: "default",
  device: "d-1",
  property: "temp",
  value: "21.50",
  type: "DOUBLE",
  atMs: 1_767_225_601_234,
  detail: { path: "t/1", measurement: "m", field: "f", tags: { site: "a b" } },
};

Deno.test("formBody() and mqttText() are KubeEdge's, with values escaped", () => {
  const sample = { ...SAMPLE, value: "a&b=c" };
  assertEquals(
    formBody(sample),
    "temp=a%26b%3Dc&time=2026-01-01+00%3A00%3A01&namespace=default&device=d-1",
  );
  assertEquals(mqttText(SAMPLE), "time is 2026-01-01 00:00:01  t/1: 21.50");
  assertEquals(JSON.parse(sampleJson(SAMPLE)), {
    deviceName: "d-1",
    propertyName: "temp",
    namespace: "default",
    value: "21.50",
    type: "DOUBLE",
    timeStamp: 1_767_225_601_234,
  });
});

const LINES: [what: string, change: Partial<Sample>, line: string][] = [
  ["a double", {}, "m,site=a\\ b f=21.5 1767225601234"],
  ["an integer", { type: "INT", value: "+7" }, "m,site=a\\ b f=7i 1767225601234"],
  ["a boolean", { type: "BOOLEAN", value: "True" }, "m,site=a\\ b f=true 1767225601234"],
  [
    "a text",
    { type: "STRING", value: 'say "\\"' },
    'm,site=a\\ b f="say \\"\\\\\\"" 1767225601234',
  ],
  [
    "names that need it",
    { detail: { measurement: "a b,c", field: "x=y z", tags: { "k,1": "v=1\nm2 f=1" } } },
    "a\\ b\\,c,k\\,1=v\\=1\\ m2\\ f\\=1 x\\=y\\ z=21.5 1767225601234",
  ],
  [
    "a backslash alone, at the end, and before what is escaped",
    { detail: { measurement: "c:\\x\\", field: "f", tags: { a: "\\", b: "x\\,y\\\nz" } } },
    "c:\\x,b=x\\\\\\,y\\\\\\ z f=21.5 1767225601234",
  ],
];
for (const [what, change, line] of LINES) {
  Deno.test(`influxLine(): ${what}`, () => {
    assertEquals(influxLine({ ...SAMPLE, ...change }), line);
  });
}

Deno.test("numberOf() takes numbers and booleans, and refuses the rest", () => {
  assertEquals(numberOf(SAMPLE), 21.5);
  assertEquals(numberOf({ ...SAMPLE, type: "BOOLEAN", value: "true" }), 1);
  for (const value of ["", " ", "warm", "NaN", "1e999"]) {
    assertThrows(() => numberOf({ ...SAMPLE, value }), Error, "is no number");
  }
});

Deno.test("TDengine statements quote values, and keep devices apart", () => {
  const samples = [SAMPLE, { ...SAMPLE, device: "D.2", value: "it's \\" }];
  assertEquals([...createTables(samples).keys()], ["default_d_1", "default_d_2"]);
  assertEquals(
    insertInto(samples),
    "INSERT INTO `default_d_1_temp` USING `default_d_1` TAGS ('temp') " +
      "VALUES (1767225601234,'default/d-1','temp','21.50','DOUBLE') " +
      "`default_d_2_temp` USING `default_d_2` TAGS ('temp') " +
      "VALUES (1767225601234,'default/D.2','temp','it\\'s \\\\','DOUBLE')",
  );
});
