import { assert, assertEquals, assertThrows } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { parseRuntimeEndpoint } from "./endpoint.ts";

Deno.test("parseRuntimeEndpoint() takes the path of an absolute Unix socket", () => {
  const path = "/run/containerd/containerd.sock";
  assertEquals(parseRuntimeEndpoint(`unix://${path}`), path);
});

Deno.test("parseRuntimeEndpoint() refuses anything else and names it", () => {
  const bad = [
    "",
    "/run/containerd/containerd.sock",
    "unix:/run/containerd.sock",
    "unix://run/containerd.sock",
    "unix:///",
    "tcp://127.0.0.1:2376",
    "npipe:////./pipe/containerd",
    `unix:///${"x".repeat(120)}`,
  ];
  for (const endpoint of bad) {
    const error = assertThrows(() => parseRuntimeEndpoint(endpoint), AppError);
    assertEquals(error.code, "invalid");
    assert(error.message.includes(endpoint), error.message);
  }
});
