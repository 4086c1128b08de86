import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  formatConfig,
  list,
  oneOf,
  parseAddress,
  parseConfig,
  section,
  text,
  whole,
} from "./config.ts";
import { AppError, errorChain } from "./errors.ts";

const schema = section<{ name: string; sizes: number[]; log: { level: "a" | "b" } }>({
  name: text("n"),
  sizes: list(whole(1, 0, 9)),
  log: section<{ level: "a" | "b" }>({ level: oneOf("a", ["a", "b"]) }),
});
const header = "apiVersion: config.skerry.dev/v1alpha1\nkind: T\n";

function refusal(yaml: string): string {
  return errorChain(assertThrows(() => parseConfig(yaml, "T", schema), AppError));
}

Deno.test("parseConfig() fills defaults and keeps what is given", () => {
  assertEquals(parseConfig(header + "sizes: [3]\n", "T", schema), {
    name: "n",
    sizes: [3],
    log: { level: "a" },
  });
});

Deno.test("parseConfig() names the path of what it cannot take", () => {
  assertStringIncludes(refusal(header + "log: {levle: a}\n"), "unknown key log.levle");
  assertStringIncludes(refusal(header + "name: 3\n"), "name must be a string, got 3");
  assertStringIncludes(refusal(header + "sizes: [1, 10]\n"), "sizes[1] must be a whole number");
  assertStringIncludes(refusal(header + "log: {level: c}\n"), "log.level must be one of a, b");
  assertStringIncludes(refusal("kind: T\n"), "apiVersion must be config.skerry.dev/v1alpha1");
  assertStringIncludes(refusal(header + "name: [\n"), "Cannot read YAML");
});

Deno.test("formatConfig() writes what parseConfig() reads", () => {
  const value = { name: "x", sizes: [1, 2], log: { level: "b" as const } };
  assertEquals(parseConfig(formatConfig("T", value), "T", schema), value);
});

Deno.test("parseAddress() takes names, IPv4 and bracketed IPv6, and nothing else", () => {
  assertEquals(parseAddress("127.0.0.1:0"), { hostname: "127.0.0.1", port: 0 });
  assertEquals(parseAddress("[::1]:443"), { hostname: "::1", port: 443 });
  assertEquals(parseAddress("hub.example:10000"), { hostname: "hub.example", port: 10_000 });
  for (const bad of ["x", "x:", ":1", "x:65536", "http://x:1", "::1:5"]) {
    assertThrows(() => parseAddress(bad), AppError, "HOST:PORT");
  }
});
