/** The gate before the calls, and the guard behind the mappers' connections. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { fc } from "../../shared/testing/property.ts";
import { AppError } from "../../shared/errors.ts";
import { Gate } from "./gate.ts";
import { GoAwayGuard } from "./guarded_socket.ts";

Deno.test("the gate serves some, lets some wait in order, and refuses the rest", async () => {
  const gate = new Gate({ servedMax: 2, waitingMax: 1, heldMsMax: 10, monotonicMs: () => 0 });
  const never = () => assert(false, "nobody held a place too long");
  const leaveFirst = await gate.enter(never);
  await gate.enter(never);
  const third = gate.enter(never);
  await assertRejects(() => gate.enter(never), AppError, "calls at once must be <= 3");
  assertEquals(gate.counts, { calls: 4, served: 2, waiting: 1, refused: 1 });
  leaveFirst();
  leaveFirst(); // a second word of the same call frees nothing
  const leaveThird = await third;
  assertEquals(gate.counts, { calls: 4, served: 2, waiting: 0, refused: 1 });
  leaveThird();
  assertEquals(gate.counts.served, 1);
});

Deno.test("a call that holds its place while others wait is ended", async () => {
  let nowMs = 0;
  const gate = new Gate({
    servedMax: 1,
    waitingMax: 1,
    heldMsMax: 10,
    monotonicMs: () => nowMs,
  });
  let leave = () => {};
  leave = await gate.enter(() => leave());
  nowMs = 11;
  await gate.enter(() => {});
  assertEquals(gate.counts, { calls: 2, served: 1, waiting: 0, refused: 0 });
});

function frame(type: number, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(9 + payloadBytes).fill(7); // what looks like GOAWAY inside is none
  bytes.set([payloadBytes >> 16, (payloadBytes >> 8) & 255, payloadBytes & 255, type]);
  return bytes;
}

Deno.test("GoAwayGuard lets whole frames through and no GOAWAY, however they are cut", () => {
  const types = fc.array(
    fc.record({ type: fc.integer({ min: 0, max: 9 }), bytes: fc.integer({ min: 0, max: 300 }) }),
    { maxLength: 10 },
  );
  const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 });
  fc.assert(fc.property(types, cuts, (frames, lengths) => {
    const wire = new Uint8Array(frames.flatMap(({ type, bytes }) => [...frame(type, bytes)]));
    const first = frames.findIndex(({ type }) => type === 7);
    const before = (first < 0 ? frames : frames.slice(0, first))
      .reduce((sum, { bytes }) => sum + 9 + bytes, 0);
    const guard = new GoAwayGuard();
    let passed = 0;
    for (let at = 0, i = 0; at < wire.length; i++) {
      const chunk = wire.subarray(at, at + (lengths[i % lengths.length] ?? 1));
      const through = guard.pass(chunk);
      passed += through;
      if (through < chunk.length) break;
      at += chunk.length;
    }
    // a cut within its header lets the beginning through, and no more than that
    assert(passed >= before && passed < before + (first < 0 ? 1 : 9));
  }));
});
