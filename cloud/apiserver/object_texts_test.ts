import { assertEquals, assertStrictEquals } from "@std/assert";
import { ObjectTexts } from "./object_texts.ts";

const object = (name: string) => ({ apiVersion: "v1", kind: "X", metadata: { name } });

Deno.test("object texts: what was written last is there, older ones are made again", () => {
  const texts = new ObjectTexts(100);
  const objects = ["a", "b", "c"].map(object);
  for (const one of objects) texts.remember(one, `"${"x".repeat(40)}"`);
  assertEquals(texts.chars, 84);
  assertEquals(texts.of(objects[0]!), JSON.stringify(objects[0]));
  assertStrictEquals(texts.of(objects[2]!), `"${"x".repeat(40)}"`);
  texts.remember(objects[2]!, "{}");
  assertEquals([texts.chars, texts.of(objects[2]!)], [44, "{}"]);
});

Deno.test("object texts: one that is larger than the bound is not kept", () => {
  const texts = new ObjectTexts(100);
  texts.remember(object("a"), "x".repeat(101));
  assertEquals(texts.chars, 0);
});
