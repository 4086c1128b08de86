import { assertEquals, assertThrows } from "@std/assert";
import { parseRollup } from "./memory.ts";
import { formatTable, formatValue, median, quantile, reached } from "./result.ts";

Deno.test("median() and quantile() interpolate and refuse an empty list", () => {
  assertEquals(median([3, 1, 2]), 2);
  assertEquals(median([4, 1, 2, 3]), 2.5);
  assertEquals(quantile([10, 20], 0.25), 12.5);
  assertEquals(quantile([7], 0.99), 7);
  assertThrows(() => median([]), RangeError);
});

Deno.test("reached() knows which way is better", () => {
  const metric = { name: "a", value: 5, unit: "s" };
  assertEquals(reached(metric), "");
  assertEquals(reached({ ...metric, goal: 5 }), "yes");
  assertEquals(reached({ ...metric, goal: 4 }), "no");
  assertEquals(reached({ ...metric, goal: 4, better: "more" }), "yes");
});

Deno.test("formatTable() lines up columns and shortens values", () => {
  assertEquals([1234.56, 12.345, 0.12345, 2].map(formatValue), ["1235", "12.3", "0.123", "2"]);
  const metrics = [
    { name: "start", value: 0.4123, unit: "s", goal: 0.5, beside: "KubeEdge 0.56" },
    { name: "commits", value: 1000, unit: "/s" },
  ];
  assertEquals(
    formatTable({ bench: "b", metrics }),
    [
      "metric   value  unit  goal    reached  beside",
      "start    0.412  s     <= 0.5  yes      KubeEdge 0.56",
      "commits  1000   /s",
    ].join("\n"),
  );
});

Deno.test("parseRollup() reads the three sums and names a missing one", () => {
  const text = "Rss:   2000 kB\nPss:   1000 kB\nAnonymous:  500 kB\n";
  assertEquals(parseRollup(text), { pssMb: 1.024, rssMb: 2.048, anonymousMb: 0.512 });
  assertThrows(() => parseRollup("Rss: 1 kB"), RangeError, "no Pss");
});
