import { assertEquals, assertRejects } from "@std/assert";
import { Gate } from "./gate.ts";

Deno.test("what is nearest to its end goes first, cleaning last, equals as they came", async () => {
  const gate = new Gate(1);
  const { signal } = new AbortController();
  const hold = Promise.withResolvers<void>();
  const order: string[] = [];
  const note = (name: string) => () => Promise.resolve(void order.push(name));
  const given = new AbortController();
  const all = [
    gate.run(() => hold.promise, signal),
    gate.run(note("clean"), signal, "last"),
    gate.run(note("sandbox 1"), signal),
    gate.run(note("sandbox 2"), signal),
    gate.run(note("container"), signal, "first"),
  ];
  const gone = assertRejects(() => gate.run(note("given up"), given.signal, "first"));
  given.abort(new Error("given up"));
  await gone;
  hold.resolve();
  await Promise.all(all);
  assertEquals(order, ["container", "sandbox 1", "sandbox 2", "clean"]);
});

Deno.test("never more at once than the gate is wide, whatever fails", async () => {
  const gate = new Gate(2);
  const { signal } = new AbortController();
  const load = { now: 0, most: 0 };
  const work = async (fails: boolean) => {
    load.most = Math.max(load.most, ++load.now);
    await Promise.resolve();
    load.now--;
    if (fails) throw new Error("as told");
  };
  const runs = Array.from({ length: 9 }, (_, i) => gate.run(() => work(i % 3 === 0), signal));
  assertEquals((await Promise.allSettled(runs)).length, 9);
  assertEquals(load, { now: 0, most: 2 });
});
