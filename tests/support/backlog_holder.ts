/**
 * A process that holds a backlog as the edge does, for measuring what it costs in memory. Argument:
 * the folder of the store. Says "held N" and stays until it is ended.
 */
import { trim } from "../../edge/trim.ts";
import { SystemClock } from "../../shared/clock.ts";
import { Backlog } from "./outbox_drain.ts";

const STAY_MS = 600_000;

if (import.meta.main) {
  const [dir = "."] = Deno.args;
  const backlog = new Backlog(dir, 0);
  await backlog.open();
  const first = backlog.outbox.pending(0, 128).length; // what a link would look at
  trim(); // as the edge gives back what only its start needed
  console.log("held", backlog.stats().depth, first);
  await new SystemClock().sleep(STAY_MS);
}
