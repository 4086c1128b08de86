import { assertEquals } from "@std/assert";
import { fc } from "../../shared/testing/property.ts";
import {
  deviceTopic,
  filterCovers,
  filterProblem,
  parseRequest,
  TOPIC_CHARS_MAX,
  topicMatches,
} from "./topics.ts";

const SEED = { seed: 20_261, numRuns: 2_000 };

Deno.test("parseRequest() knows devices by two levels and by one, and nodes", () => {
  const twoLevels = { namespace: "ns", name: "a" };
  const cases: [string, unknown][] = [
    ["$hw/events/device/ns/a/twin/get", { kind: "twin_get", device: twoLevels }],
    ["$hw/events/device/ns/a/twin/update", { kind: "twin_update", device: twoLevels }],
    ["$hw/events/device/ns/a/state/update", { kind: "state_update", device: twoLevels }],
    ["$hw/events/device/a/twin/get", { kind: "twin_get", device: { name: "a" } }],
    ["$hw/events/node/n/membership/get", { kind: "membership_get", node: "n" }],
    ["$hw/events/device/ns/a/twin/update/result", undefined],
    ["$hw/events/device//twin/update", undefined],
    ["$hw/events/device/ns//twin/update", undefined],
    ["$hw/events/device/twin/update", undefined],
    ["$hw/events/device/a/b/c/twin/update", undefined],
    ["$hw/events/node//membership/get", undefined],
    ["$hw/events/node/n/membership/get/result", undefined],
    ["app/user/x", undefined],
    [`$hw/events/device/${"x".repeat(TOPIC_CHARS_MAX)}/twin/get`, undefined],
  ];
  for (const [topic, request] of cases) assertEquals(parseRequest(topic), request, topic);
});

Deno.test("parseRequest() reads what deviceTopic() names, and never throws", () => {
  const level = fc.string({ minLength: 1, maxLength: 20 }).filter((text) => !text.includes("/"));
  fc.assert(
    fc.property(level, level, (namespace, name) => {
      const topic = deviceTopic({ namespace, name }, "twin/get/result").replace("/result", "");
      if (!topic.endsWith("twin/get")) return;
      assertEquals(parseRequest(topic), { kind: "twin_get", device: { namespace, name } });
    }),
    SEED,
  );
  fc.assert(fc.property(fc.string(), (text) => void parseRequest(text)), SEED);
});

Deno.test("topicMatches() is MQTT's", () => {
  const cases: [string, string, boolean][] = [
    ["a/b", "a/b", true],
    ["a/+", "a/b", true],
    ["a/+", "a/b/c", false],
    ["a/#", "a", true],
    ["a/#", "a/b/c", true],
    ["#", "a/b", true],
    ["#", "$SYS/x", false],
    ["+/x", "$SYS/x", false],
    ["$SYS/#", "$SYS/x", true],
    ["+", "a/", false],
    ["a/+/c", "a//c", true],
  ];
  for (const [filter, topic, is] of cases) {
    assertEquals(topicMatches(filter, topic), is, `${filter} ${topic}`);
  }
});

Deno.test("filterCovers(): whatever the inner filter matches, the outer one does too", () => {
  const word = fc.constantFrom("a", "b", "$x");
  const part = fc.constantFrom("a", "b", "+");
  const filter = fc.tuple(fc.array(part, { maxLength: 3 }), fc.constantFrom("a", "+", "#"))
    .map(([levels, last]) => [...levels, last].join("/"));
  const topic = fc.array(word, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"));
  fc.assert(
    fc.property(filter, filter, topic, (outer, inner, name) => {
      if (!filterCovers(outer, inner) || !topicMatches(inner, name)) return;
      assertEquals(topicMatches(outer, name), true, `${outer} ${inner} ${name}`);
    }),
    { ...SEED, numRuns: 20_000 },
  );
  assertEquals(filterCovers("a/#", "a/+/c"), true);
  assertEquals(filterCovers("a/+", "a/#"), false);
  assertEquals(filterCovers("#", "$SYS/#"), false);
});

Deno.test("filterProblem() names what is wrong with a filter", () => {
  for (const good of ["a", "a/+/b", "a/#", "#", "/", "$hw/#"]) {
    assertEquals(filterProblem(good), undefined, good);
  }
  for (const bad of ["", "a+", "a/#/b", "a#", "a\0", "x/".repeat(40), "a".repeat(2_000)]) {
    assertEquals(typeof filterProblem(bad), "string", bad);
  }
});
