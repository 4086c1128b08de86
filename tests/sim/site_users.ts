/**
 * People at the sites: through the local API of their node they restart and remove pods, link or no
 * link. What was answered with 202 is an intent that must survive everything but reported damage,
 * and must end as merged or as a conflict, on both sides.
 */
import type { Cloud } from "../../cloud/assemble.ts";
import type { Hub } from "../../cloud/hub/hub.ts";
import type { Intent } from "../../edge/intents/port.ts";
import { DECIDED_INTENTS_MAX } from "../../edge/intents/durable_intents.ts";
import type { Pod } from "../../shared/k8s/types.ts";
import type { SeededRandom } from "../../shared/random.ts";
import type { Model } from "./model.ts";
import { type SimEdge, SITE_TOKEN } from "./sim_edge.ts";
import type { World } from "./world.ts";

const PODS = { group: "", resource: "pods" };
const REMOVALS = 0.35;

export class SiteUsers {
  readonly #world: World;
  readonly #model: Model;
  readonly #random: SeededRandom;
  /** Acknowledged, by node and id. */
  readonly #asked = new Map<string, Set<string>>();
  #pauseMsMax = 0;
  #isOn = false;

  constructor(world: World, model: Model) {
    this.#world = world;
    this.#model = model;
    this.#random = world.fork();
  }

  begin(pauseMsMax: number): void {
    this.#pauseMsMax = pauseMsMax;
    this.#isOn = true;
    this.#next();
  }

  end(): void {
    this.#isOn = false;
  }

  /** What became of every edit; for when everything has converged. */
  check({ api }: Cloud<Hub>): void {
    const { edges, trace } = this.#world;
    const uids = new Set(api.storage.list(PODS, undefined).map(({ metadata }) => metadata.uid));
    for (const { name, edge, isDamaged } of edges) {
      const intents = edge?.memory.intents.list() ?? [];
      for (const intent of intents) {
        const { id, state } = intent;
        if (state !== "merged" && state !== "conflict") {
          trace.violate("site edits are decided", `${name}: ${id} is ${state}`);
        } else if (isRemoval(intent) && state === "merged" && uids.has(intent.pod.uid)) {
          trace.violate("site edits are decided", `${name}: ${id} is merged, its pod is there`);
        }
      }
      // old ones are forgotten once they are decided
      if (isDamaged || intents.length >= DECIDED_INTENTS_MAX) continue;
      const held = new Set(intents.map(({ id }) => id));
      for (const id of this.#asked.get(name) ?? []) {
        if (!held.has(id)) trace.violate("acknowledged implies durable", `${name}: edit ${id}`);
      }
    }
    this.#count();
  }

  #count(): void {
    const { edges, trace } = this.#world;
    for (const what of ["merged", "conflict"] as const) {
      const total = edges.flatMap(({ edge }) => edge?.memory.intents.list() ?? [])
        .filter(({ state }) => state === what).length;
      trace.max(`site edits held as ${what}`, total);
    }
  }

  #next(): void {
    this.#world.time.schedule("site", this.#random.float() * this.#pauseMsMax, () => {
      if (!this.#isOn) return;
      const { edges } = this.#world;
      this.#act(edges[Math.floor(this.#random.float() * edges.length)]!); // below its length
      this.#next();
    });
  }

  #act(machine: SimEdge): void {
    const { edge, life, name } = machine;
    const pods = edge?.memory.ledger.list<Pod>("pods") ?? [];
    const pod = pods[Math.floor(this.#random.float() * pods.length)];
    const isRemoval = this.#random.float() < REMOVALS;
    if (!edge || !life || !pod) return;
    const { trace } = this.#world;
    const path = `/v1/pods/default/${pod.metadata.name}`;
    const request = new Request(`http://127.0.0.1:10550${path}${isRemoval ? "" : "/restart"}`, {
      method: isRemoval ? "DELETE" : "POST",
      headers: { Authorization: `Bearer ${SITE_TOKEN}`, Host: "127.0.0.1:10550" },
    });
    // asked for is enough: an answer that is lost may yet have its effect
    if (isRemoval) this.#model.mayVanish(pod.metadata.uid ?? "");
    const what = `${isRemoval ? "remove" : "restart"} ${pod.metadata.name}`;
    const answer = Promise.try(() => edge.api.fetch(request)).then(async (response) => ({
      status: response.status,
      body: await response.json() as Partial<Intent>, // of our own API
    }));
    void Promise.race([answer, life.ended]).then((told) => {
      trace.add("site", `${name} ${what}: ${told ? told.status : "no answer"}`);
      if (told?.status !== 202) return trace.count("site edits refused or unanswered");
      trace.count(`site edits: ${isRemoval ? "remove" : "restart"}`);
      const ids = this.#asked.get(name) ?? new Set();
      this.#asked.set(name, ids.add(told.body.id ?? ""));
    }, (error) => {
      if (life.isAlive) trace.violate("local API answers", `${name} ${what}: ${String(error)}`);
    });
  }
}

function isRemoval(intent: Intent): intent is Intent & { verb: "remove" } {
  return intent.verb === "remove";
}
