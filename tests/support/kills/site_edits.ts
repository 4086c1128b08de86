/**
 * Restarts asked for at the site while programs are killed. Each that was acknowledged is carried
 * out once: the container's restart count lies between what was acknowledged and what was tried,
 * and in the end none waits.
 */
import { join } from "@std/path";
import { type Clock, SystemClock } from "../../../shared/clock.ts";
import type { Site } from "../site.ts";
import { identityOf } from "../site_clients.ts";
import { until } from "../until.ts";
import { attempt, json, type Load, repeat } from "./load.ts";
import { sleeper } from "./pods.ts";

const POD = "restarted";
const EVERY_MS = 4_000;
const SETTLE_MS = 60_000;

interface Waiting {
  intents: { state: string }[];
}

export class SiteRestarts implements Load {
  readonly name = "restarts asked at the site";
  readonly #clock: Clock = new SystemClock();
  readonly #acknowledged = new Set<string>();
  #tried = 0;

  /** Before anything is killed. */
  async start(site: Site): Promise<void> {
    await site.cloud.fetch("/api/v1/namespaces/default/pods", json("POST", sleeper(POD)));
    await site.podRuns(POD, 60_000);
  }

  async run(site: Site, signal: AbortSignal): Promise<void> {
    await repeat(this.#clock, EVERY_MS, async () => {
      this.#tried++;
      const done = await attempt((s) => askRestart(site, s), signal);
      if (done?.value !== undefined) this.#acknowledged.add(done.value);
    }, signal);
  }

  async faults(site: Site): Promise<string[]> {
    const faults: string[] = [];
    const count = async () => identityOf(await site.edge.pod(POD)).restarts;
    const settled = async () =>
      (await site.edge.get<Waiting>("/v1/diff")).intents.length === 0 &&
      await count() >= this.#acknowledged.size;
    await until(settled, { what: "restarts carried out", timeoutMs: SETTLE_MS, everyMs: 200 })
      .catch((error) => faults.push(String(error)));
    const restarts = await count();
    if (restarts < this.#acknowledged.size || restarts > this.#tried) {
      faults.push(
        `${POD}: restarted ${restarts} times, ` +
          `acknowledged ${this.#acknowledged.size}, tried ${this.#tried}`,
      );
    }
    return faults;
  }

  summary(): string {
    return `${this.#acknowledged.size} restarts acknowledged of ${this.#tried} asked for`;
  }
}

/** The id under which it is on disk; undefined when the edge refused. */
async function askRestart(site: Site, signal: AbortSignal): Promise<string | undefined> {
  const token = (await Deno.readTextFile(join(site.edgeDir, "api-token"))).trim();
  const answer = await site.edge.fetch(`/v1/pods/default/${POD}/restart?container=main&by=load`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    signal,
  });
  const body: { id?: string } = await answer.json();
  return answer.status === 202 ? body.id : undefined;
}
