import { assert, assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../errors.ts";
import { type Frame, ResetCode } from "../gen/skerry/hub/v1/hub_pb.ts";
import { Outgoing } from "./outgoing.ts";
import { FRAME_BYTES_MAX, WINDOW_BYTES } from "./tunnel_frames.ts";
import { TunnelStream } from "./tunnel_stream.ts";

function half(id = 1) {
  const outgoing = new Outgoing<Frame>({ urgentMax: 100 });
  const closed: (AppError | undefined)[] = [];
  const stream = new TunnelStream({ id, outgoing, onClosed: (e) => closed.push(e) });
  return { outgoing, stream, closed, frames: outgoing[Symbol.asyncIterator]() };
}

/** Carries frames from one half to the other until the sender's side is complete. */
async function carry(from: ReturnType<typeof half>, to: TunnelStream): Promise<void> {
  for (;;) {
    const { value, done } = await from.frames.next();
    if (done || !value) return;
    to.receive(value.kind);
    if (value.kind.case === "end" || value.kind.case === "reset") return;
  }
}

Deno.test("TunnelStream carries more bytes than its window when the reader reads", async () => {
  const a = half();
  const b = half();
  const size = WINDOW_BYTES * 3 + 17;
  const bytes = new Uint8Array(size).map((_, i) => i % 251);
  const pumped = a.stream.pump(ReadableStream.from([bytes]));
  const down = carry(a, b.stream);
  const up = (async () => {
    for (;;) {
      const { value, done } = await b.frames.next();
      if (done || !value) return;
      a.stream.receive(value.kind);
    }
  })();
  const got = new Uint8Array(await new Response(b.stream.readable).arrayBuffer());
  await pumped;
  await down;
  b.stream.complete();
  b.outgoing.end();
  await up;
  assertEquals(got.length, size);
  assert(got.every((x, i) => x === i % 251));
  assertEquals([a.closed, b.closed], [[undefined], [undefined]]);
});

Deno.test("TunnelStream stops sending at the window until the peer grants more", async () => {
  const a = half();
  const pumped = a.stream.pump(ReadableStream.from([new Uint8Array(WINDOW_BYTES + 1)]));
  let sent = 0;
  while (sent < WINDOW_BYTES) {
    const { value } = await a.frames.next();
    assert(value && value.kind.case === "data");
    assert(value.kind.value.byteLength <= FRAME_BYTES_MAX);
    sent += value.kind.value.byteLength;
  }
  const next = a.frames.next();
  a.stream.receive({ case: "windowUpdate", value: 1 });
  const { value } = await next;
  assert(value && value.kind.case === "data");
  assertEquals(value.kind.value.byteLength, 1);
  await pumped;
});

Deno.test("TunnelStream resets a peer that sends beyond its grant", async () => {
  const a = half();
  a.stream.receive({ case: "data", value: new Uint8Array(WINDOW_BYTES) });
  a.stream.receive({ case: "data", value: new Uint8Array(1) });
  const { value } = await a.frames.next();
  assert(value && value.kind.case === "reset");
  assertEquals(value.kind.value.code, ResetCode.PROTOCOL);
  assertEquals(a.closed[0]?.code, "invalid");
});

Deno.test("TunnelStream tells the peer when its reader goes away", async () => {
  const a = half();
  a.stream.receive({ case: "data", value: new Uint8Array(3) });
  await a.stream.readable.cancel();
  const { value } = await a.frames.next();
  assert(value && value.kind.case === "reset");
  assertEquals(value.kind.value.code, ResetCode.CANCELED);
});

Deno.test("TunnelStream fails its reader and its writer when the peer resets", async () => {
  const a = half();
  const pumped = a.stream.pump(new ReadableStream<Uint8Array>());
  const read = new Response(a.stream.readable).text();
  const kind: Frame["kind"] = {
    case: "reset",
    value: { $typeName: "skerry.hub.v1.Reset", code: ResetCode.INTERNAL, message: "log is gone" },
  };
  a.stream.receive(kind);
  await assertRejects(() => pumped, AppError, "log is gone");
  await assertRejects(() => read, AppError, "log is gone");
});
