/**
 * Writes to the Kubernetes API. A few objects are changed again and again, each by one writer: in
 * the end each holds the last value that was acknowledged, or one tried after it. Others are only
 * made: each that was acknowledged is there.
 */
import { type Clock, SystemClock } from "../../../shared/clock.ts";
import type { Site } from "../site.ts";
import { attempt, json, type Load, repeat } from "./load.ts";

const REGISTERS = 8;
const EVERY_MS = 25;
const PATH = "/api/v1/namespaces/default/configmaps";
/** Of those that are only made: enough to see a loss, and no burden for the store. */
const MADE_MAX = 5_000;

interface Register {
  name: string;
  tried: number;
  acknowledged: number;
}

export class ApiWrites implements Load {
  readonly name = "API writes";
  readonly #clock: Clock = new SystemClock();
  readonly #registers: Register[] = Array.from({ length: REGISTERS }, (_, i) => ({
    name: `register-${i}`,
    tried: 0,
    acknowledged: 0,
  }));
  readonly #made: string[] = [];
  #acknowledged = 0;

  async run(site: Site, signal: AbortSignal): Promise<void> {
    await Promise.all([
      ...this.#registers.map((register) =>
        repeat(
          this.#clock,
          EVERY_MS * REGISTERS,
          () => this.#change(site, register, signal),
          signal,
        )
      ),
      repeat(this.#clock, EVERY_MS * 4, () => this.#make(site, signal), signal),
    ]);
  }

  async #change(site: Site, register: Register, signal: AbortSignal): Promise<void> {
    const value = ++register.tried;
    const data = { value: String(value) };
    const done = await attempt(
      (s) =>
        register.acknowledged === 0 ? create(site, register.name, data, s) : status(
          site,
          `${PATH}/${register.name}`,
          { ...json("PATCH", { data }, "application/merge-patch+json"), signal: s },
        ),
      signal,
    );
    // 409: a create that was killed on the way had been written
    if (done?.value === 409) register.acknowledged = 1;
    if (done === undefined || done.value >= 300) return;
    register.acknowledged = value;
    this.#acknowledged++;
  }

  async #make(site: Site, signal: AbortSignal): Promise<void> {
    if (this.#made.length >= MADE_MAX) return;
    const name = `made-${this.#made.length}-${this.#acknowledged}`;
    const done = await attempt((s) => create(site, name, { name }, s), signal);
    if (done?.value !== 201) return;
    this.#made.push(name);
    this.#acknowledged++;
  }

  async faults(site: Site): Promise<string[]> {
    const list: { items: { metadata: { name: string }; data?: Record<string, string> }[] } =
      await site.cloud.get(PATH);
    const held = new Map(list.items.map(({ metadata, data }) => [metadata.name, data ?? {}]));
    const faults: string[] = [];
    for (const { name, acknowledged, tried } of this.#registers) {
      const value = Number(held.get(name)?.value ?? Number.NaN);
      if (acknowledged === 0) faults.push(`${name}: nothing was ever acknowledged`);
      else if (!(value >= acknowledged && value <= tried)) {
        faults.push(`${name}: holds ${value}, acknowledged ${acknowledged}, tried ${tried}`);
      }
    }
    for (const name of this.#made) {
      if (held.get(name)?.name !== name) faults.push(`${name}: acknowledged, and not there`);
    }
    return faults;
  }

  summary(): string {
    return `${this.#acknowledged} writes acknowledged, ${this.#made.length} objects made`;
  }
}

function create(
  site: Site,
  name: string,
  data: Record<string, string>,
  signal: AbortSignal,
): Promise<number> {
  const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data };
  return status(site, PATH, { ...json("POST", body), signal });
}

async function status(site: Site, path: string, init: RequestInit): Promise<number> {
  const answer = await site.cloud.fetch(path, init);
  await answer.body?.cancel();
  return answer.status;
}
