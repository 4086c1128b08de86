import { assert, assertEquals, assertThrows } from "@std/assert";
import { encodeCommand, type Reply, ReplyReader, RespError } from "./resp.ts";

const encoder = new TextEncoder();

Deno.test("encodeCommand() counts bytes, not characters", () => {
  assertEquals(
    new TextDecoder().decode(encodeCommand(["SET", "k", "ä\r\n"])),
    "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\nä\r\n\r\n",
  );
});

Deno.test("ReplyReader reads the same, however the bytes come", () => {
  const bytes = encoder.encode("+OK\r\n:12\r\n-ERR no\r\n$5\r\na\r\nbc\r\n$-1\r\n:0\r\n");
  for (let size = 1; size <= bytes.length; size++) {
    const reader = new ReplyReader();
    const replies: Reply[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      reader.add(bytes.subarray(at, at + size));
      for (let reply = reader.next(); reply !== undefined; reply = reader.next()) {
        replies.push(reply);
      }
    }
    const [ok, twelve, error, text, none, zero] = replies;
    assertEquals([ok, twelve, text, none, zero], ["OK", 12, "a\r\nbc", null, 0]);
    assert(error instanceof RespError && error.message === "ERR no");
    assertEquals(replies.length, 6);
  }
});

Deno.test("ReplyReader refuses what is no answer, or has no end", () => {
  for (const garbage of ["HTTP/1.1 400 Bad\r\n", "$99999999\r\n", "$-7\r\n", "+".repeat(70_000)]) {
    const reader = new ReplyReader();
    reader.add(encoder.encode(garbage));
    assertThrows(() => reader.next(), Error, "Redis");
  }
});
