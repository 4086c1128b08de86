import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { Counters } from "./counters.ts";
import { DELIVER_MS, Publications, type Send } from "./publications.ts";

function begin() {
  const clock = new SimClock();
  const counters = new Counters();
  const publications = new Publications({ clock, counters });
  const dropped = () => counters.read({ clients: 0, waiting: 0 }).dropped;
  const sent: string[] = [];
  const open: (() => void)[] = [];
  const send: Send = ({ topic }, done) => {
    sent.push(topic);
    open.push(() => done());
  };
  return { clock, publications, dropped, sent, open, send };
}

Deno.test("who waits for an absent broker is told in time, and nothing goes out late", async () => {
  const { clock, publications, dropped, sent, open, send } = begin();
  const late = assertRejects(() => publications.deliver("late", "x"), AppError, "within 20000 ms");
  await clock.advance(DELIVER_MS / 2);
  const good = publications.deliver("good", "x");
  await clock.advance(DELIVER_MS / 2);
  await late;
  assertEquals([publications.size, dropped()], [1, { external_stalled: 1 }]);
  publications.connect(send);
  open[0]?.();
  await good;
  assertEquals([sent, publications.size], [["good"], 0]);
  publications.close(new AppError("canceled", "over"));
});

Deno.test("what was sent stays until it is acknowledged, whoever waits for it", async () => {
  const { clock, publications, sent, open, send } = begin();
  publications.connect(send);
  const stalled = assertRejects(() => publications.deliver("a", "x"), AppError, "20000 ms");
  await clock.advance(DELIVER_MS);
  await stalled;
  assertEquals(publications.size, 1);
  publications.connect(send);
  assertEquals(sent, ["a", "a"]);
  open[1]?.();
  assertEquals(publications.size, 0);
});

Deno.test("what is aborted before it is sent is withdrawn; close ends every wait", async () => {
  const { publications, sent, send } = begin();
  const abort = new AbortController();
  const reason = new AppError("canceled", "never mind");
  const aborted = assertRejects(() => publications.deliver("a", "x", abort.signal), AppError);
  abort.abort(reason);
  await aborted;
  publications.connect(send);
  assertEquals([sent, publications.size], [[], 0]);
  const waiting = assertRejects(() => publications.deliver("b", "x"), AppError, "over");
  publications.close(new AppError("canceled", "over"));
  await waiting;
});
