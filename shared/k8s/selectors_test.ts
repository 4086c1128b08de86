import { assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../errors.ts";
import { matchFields, matchLabels, parseFieldSelector, parseLabelSelector } from "./selectors.ts";

Deno.test("label selectors match as kubectl users expect", () => {
  const labels = { app: "web", tier: "front", n: "5" };
  const cases: [string, boolean][] = [
    ["", true],
    ["app=web", true],
    ["app==web,tier=front", true],
    ["app=db", false],
    ["app!=db", true],
    ["missing!=x", true],
    ["app in (db, web)", true],
    ["app notin (db)", true],
    ["missing notin (db)", true],
    ["missing in (db)", false],
    ["app", true],
    ["!app", false],
    ["!missing", true],
    ["n>4", true],
    ["n<5", false],
    ["app=", false],
    ["a.b/c", false],
    ["in=x", false],
  ];
  for (const [text, matches] of cases) {
    assertEquals(matchLabels(parseLabelSelector(text), labels), matches, text);
  }
  assertEquals(matchLabels(parseLabelSelector("!x"), undefined), true);
});

Deno.test("label selectors that make no sense are refused", () => {
  for (
    const text of [
      ",",
      "a,",
      "a=b c",
      "a in b",
      "a in (b",
      "=a",
      "a b=c",
      "a=$",
      "-a",
      "n>x",
      "a,,b",
    ]
  ) {
    const error = assertThrows(() => parseLabelSelector(text), AppError, "unable to parse");
    assertEquals(error.facts["reason"], "BadRequest", text);
  }
});

Deno.test("field selectors compare, escape and know their fields", () => {
  const supported = ["metadata.name", "spec.nodeName"];
  const fields = { "metadata.name": "a,b=c\\", "spec.nodeName": "" };
  const cases: [string, boolean][] = [
    ["", true],
    ["spec.nodeName=", true],
    ["spec.nodeName!=n", true],
    ["metadata.name==a\\,b\\=c\\\\", true],
    ["metadata.name=a\\,b\\=c\\\\,spec.nodeName=n", false],
  ];
  for (const [text, matches] of cases) {
    assertEquals(matchFields(parseFieldSelector(text, supported), fields), matches, text);
  }
  const refused: [string, string][] = [
    ["status.phase=x", "field label not supported: status.phase"],
    ["metadata.name", "can't understand 'metadata.name'"],
    ["metadata.name=a\\x", "unescaped character in value"],
  ];
  for (const [text, message] of refused) {
    assertThrows(() => parseFieldSelector(text, supported), AppError, message);
  }
});
