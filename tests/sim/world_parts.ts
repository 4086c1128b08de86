/** What the machines of one world share. */
import type { VirtualTime } from "../../shared/testing/virtual_time.ts";
import type { SimNetwork } from "./sim_link.ts";
import type { Trace } from "./trace.ts";

export interface WorldParts {
  time: VirtualTime;
  network: SimNetwork;
  trace: Trace;
}
