import { assert, assertEquals } from "@std/assert";
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { SeededRandom } from "../../shared/random.ts";
import { Link } from "./link.ts";
import type { LinkTransport } from "./transport.ts";

const SEEDS = 1_000;

/** Dials come to nothing, and are counted. */
function deadTransport(onDial: () => void): LinkTransport {
  const dates = { notBeforeMs: 0, notAfterMs: 1e15 };
  return {
    dial: () => {
      onDial();
      throw new AppError("unavailable", "Nobody there");
    },
    openIdentity: (files) => ({ files, dates, renewAtMs: 1e15, renew: () => Promise.resolve() }),
  };
}

/** Time that passes only by sleeping, which takes no time; ends the run at `endMs`. */
class LeapClock implements Clock {
  readonly #end = new AbortController();
  #ms = 0;

  constructor(readonly endMs: number) {}

  get ended(): AbortSignal {
    return this.#end.signal;
  }

  nowMs(): number {
    return this.#ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  sleep(ms: number): Promise<void> {
    this.#ms += ms;
    if (this.#ms >= this.endMs) this.#end.abort();
    return Promise.resolve();
  }
}

/** When each of a thousand nodes dials a hub that is away, ms since all lost it. */
async function dialTimes(forMs: number): Promise<number[][]> {
  const fleet: number[][] = [];
  for (let seed = 0; seed < SEEDS; seed++) {
    const clock = new LeapClock(forMs);
    const dials: number[] = [];
    const link = new Link({
      addresses: ["hub:1"],
      identity: { certificate: "", privateKey: "", authority: "" },
      onRenewed: () => Promise.resolve(),
      transport: deadTransport(() => dials.push(clock.monotonicMs())),
      softwareVersion: "test",
      ledger: undefined as never, // no session gets that far
      outbox: undefined as never,
      handler: undefined as never,
      clock,
      random: new SeededRandom(seed),
    });
    await link.run(clock.ended);
    fleet.push(dials);
  }
  return fleet;
}

/** The most of `times` that fall into one stretch of `widthMs`. */
function crowd(times: number[], widthMs: number): number {
  const counts = new Map<number, number>();
  for (const time of times) {
    const at = Math.floor(time / widthMs);
    counts.set(at, (counts.get(at) ?? 0) + 1);
  }
  return Math.max(...counts.values());
}

Deno.test("a thousand nodes that lose their hub together do not come back together", async () => {
  const fleet = await dialTimes(20_000);
  const second = fleet.map((dials) => dials[1] ?? Infinity);
  // spread over the whole second, evenly: 100 a tenth, and never more than chance allows
  assert(crowd(second, 100) <= 140, `${crowd(second, 100)} in one tenth of a second`);
  assert(Math.max(...second) <= 1_000);
  // and wider and wider from there
  const eighth = fleet.map((dials) => dials[7] ?? Infinity);
  assert(crowd(eighth, 1_000) <= 200, `${crowd(eighth, 1_000)} in one second`);
  // a hub that is away for three seconds is found again within two more by three of four
  const found = fleet.map((dials) => dials.find((time) => time >= 3_000) ?? Infinity);
  const late = found.filter((time) => time > 5_000).length;
  assert(late < SEEDS / 4, `${late} of ${SEEDS} took longer`);
});

Deno.test("a node never waits longer than a minute", async () => {
  const fleet = await dialTimes(600_000);
  const gaps = fleet.map((dials) => {
    const all = [...dials, 600_000];
    return Math.max(...all.slice(1).map((time, i) => time - all[i]!));
  });
  assertEquals(gaps.filter((gap) => gap > 60_000).length, 0);
  // after ten minutes they are spread over that minute
  const last = fleet.map((dials) => dials.at(-1)!);
  assert(crowd(last, 1_000) <= 60, `${crowd(last, 1_000)} in one second`);
});
