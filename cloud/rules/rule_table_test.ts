import { assertEquals } from "@std/assert";
import type { Rule, RuleEndpoint } from "./port.ts";
import { RuleTable } from "./rule_table.ts";

const endpoints = new Map<string, RuleEndpoint>(
  [["rest", "rest"], ["bus", "eventbus"], ["service", "servicebus"]].map((
    [name = "", type = ""],
  ) => [
    `default/${name}`,
    {
      metadata: { namespace: "default", name },
      spec: { ruleEndpointType: type, properties: { service_port: "8080" } },
    },
  ]),
);

function rule(name: string, spec: Rule["spec"]): Rule {
  return { metadata: { namespace: "default", name }, spec };
}

function fromRest(name: string, path: string, target: string, resource: Record<string, string>) {
  const spec = { source: "rest", sourceResource: { path }, target, targetResource: resource };
  return rule(name, spec);
}

const TABLE = new RuleTable([
  fromRest("short", "/a/", "bus", { topic: "t" }),
  fromRest("long", "a/b", "service", { path: "/in" }),
  fromRest("lost", "c", "nobody", { topic: "t" }),
  fromRest("room", "rooms/{id}/light", "bus", { topic: "t" }),
  fromRest("attic", "rooms/attic/{what}", "bus", { topic: "t" }),
  fromRest("hall", "rooms/hall/light", "bus", { topic: "t" }),
  rule("up", {
    source: "bus",
    sourceResource: { topic: "/up//+/", node_name: "n1" },
    target: "rest",
    targetResource: { resource: "http://h/x" },
  }),
], endpoints);

const CASES: [path: string, rule: string | undefined, suffix?: string][] = [
  ["a", "short", ""],
  ["a/x/y", "short", "/x/y"],
  ["a/b", "long", ""],
  ["a/b/c", "long", "/c"],
  ["ab", undefined],
  ["c", undefined],
  ["rooms/7/light", "room", "/rooms/7/light"],
  ["rooms/7/light/on", "room", "/rooms/7/light/on"],
  ["rooms/hall/light/on", "hall", "/on"],
  ["rooms/attic/fan", "attic", "/rooms/attic/fan"],
  ["rooms//light", undefined],
  ["rooms/7/fan", undefined],
];
for (const [path, name, suffix] of CASES) {
  Deno.test(`RuleTable: path ${path} is of ${name ?? "no rule"}`, () => {
    const found = TABLE.forRest("default", path);
    assertEquals([found?.rule.name, found?.suffix], [name, suffix]);
    assertEquals(TABLE.forRest("other", path), undefined);
  });
}

Deno.test("RuleTable knows which topics a node takes, and what for", () => {
  assertEquals(TABLE.topicsOf("n1"), ["default/up/+"]);
  assertEquals(TABLE.topicsOf("n2"), []);
  assertEquals(TABLE.forTopic("n1", "default/up/+").map(({ url }) => url), ["http://h/x"]);
  assertEquals(TABLE.forTopic("n2", "default/up/+"), []);
});

function asks(name: string, namespace: string, creationTimestamp: string): Rule {
  return {
    metadata: { namespace, name, creationTimestamp },
    spec: {
      source: "service",
      sourceResource: { target_url: "http://t/a", node_name: "n1" },
      target: "rest",
      targetResource: { resource: `http://${name}/` },
    },
  };
}

Deno.test("RuleTable: of two rules for one URL the older answers, whatever its name", () => {
  const all = new Map(endpoints);
  for (const name of ["rest", "service"]) all.set(`a/${name}`, endpoints.get(`default/${name}`)!);
  const rules = [asks("newer", "a", "2026-02-01T00:00:00Z")];
  const old = asks("older", "default", "2026-01-01T00:00:00Z");
  const table = new RuleTable([...rules, old], all);
  assertEquals(table.forRequest("n1", "http://t/a")?.url, "http://older/");
  assertEquals(table.forRequest("n2", "http://t/a"), undefined);
  assertEquals(table.forRequest("n1", "http://t/b"), undefined);
  assertEquals(table.requestRule({ namespace: "a", name: "newer" })?.url, "http://newer/");
  assertEquals(table.urlsOf("n1"), ["http://t/a"]);
  assertEquals([...table.nodes()], ["n1"]);
  assertEquals(table.topicsOf("n1"), []);
});
