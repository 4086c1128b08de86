/**
 * Pods while programs are killed. The *steady* ones run through it all: in the end they are the
 * same containers, never restarted. The *passing* ones are made and deleted all the time: in the
 * end each whose deletion was acknowledged is gone, the rest run, and the runtime holds exactly the
 * containers the cloud names.
 */
import { type Clock, SystemClock } from "../../../shared/clock.ts";
import type { KubeList, Pod } from "../../../shared/k8s/types.ts";
import { BUSYBOX_IMAGE } from "../images.ts";
import type { Site } from "../site.ts";
import { CloudClient, identityOf } from "../site_clients.ts";
import { until } from "../until.ts";
import { attempt, json, type Load, repeat } from "./load.ts";

const PATH = "/api/v1/namespaces/default/pods";
const LOOK_MS = 200;
/** A passing pod that does not run by then is deleted as it is. */
const LOOKS_MAX = 50;
const SETTLE_MS = 90_000;

export function sleeper(name: string) {
  const container = {
    name: "main",
    image: BUSYBOX_IMAGE,
    command: ["sh", "-c", "trap exit TERM; while :; do sleep 1 & wait $!; done"],
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: name } },
    spec: { terminationGracePeriodSeconds: 1, containers: [container] },
  };
}

export class SteadyPods implements Load {
  readonly name = "steady pods";
  readonly #count: number;
  readonly #before = new Map<string, ReturnType<typeof identityOf>>();

  constructor(count: number) {
    this.#count = count;
  }

  /** Before anything is killed. */
  async start(site: Site): Promise<void> {
    const names = Array.from({ length: this.#count }, (_, i) => `steady-${i}`);
    for (const name of names) await site.cloud.fetch(PATH, json("POST", sleeper(name)));
    for (const name of names) this.#before.set(name, identityOf(await site.podRuns(name, 60_000)));
  }

  async run(): Promise<void> {}

  async faults(site: Site): Promise<string[]> {
    const faults: string[] = [];
    for (const [name, before] of this.#before) {
      const pod = await site.cloud.pod(name);
      const [was, is] = [before, identityOf(pod)].map((identity) => JSON.stringify(identity));
      if (was !== is) faults.push(`${name}: was ${was}, is ${is} (${pod.status?.phase})`);
    }
    return faults;
  }

  summary(): string {
    return `${this.#before.size} pods watched`;
  }
}

export class PassingPods implements Load {
  readonly name = "passing pods";
  readonly #clock: Clock = new SystemClock();
  readonly #writers: number;
  readonly #deleted: string[] = [];
  #made = 0;
  #ran = 0;

  constructor(writers: number) {
    this.#writers = writers;
  }

  async run(site: Site, signal: AbortSignal): Promise<void> {
    await Promise.all(
      Array.from(
        { length: this.#writers },
        () => repeat(this.#clock, LOOK_MS, () => this.#pass(site, signal), signal),
      ),
    );
  }

  async #pass(site: Site, signal: AbortSignal): Promise<void> {
    const name = `passing-${this.#made++}`;
    const path = CloudClient.podPath(name);
    let runs = false;
    for (let look = 0; look < LOOKS_MAX && !runs && !signal.aborted; look++) {
      const found = await attempt((s) => this.#phase(site, name, s), signal);
      if (found?.value === undefined) {
        await attempt(
          async (s) =>
            (await site.cloud.fetch(PATH, { ...json("POST", sleeper(name)), signal: s })).body
              ?.cancel(),
          signal,
        );
      }
      runs = found?.value === "Running";
      if (!runs) await this.#pause(signal);
    }
    if (runs) this.#ran++;
    while (!signal.aborted) {
      const deleted = await attempt(async (signal) => {
        const answer = await site.cloud.fetch(path, { method: "DELETE", signal });
        await answer.body?.cancel();
        return answer.status;
      }, signal);
      if (deleted && (deleted.value < 300 || deleted.value === 404)) {
        this.#deleted.push(name);
        return;
      }
      await this.#pause(signal);
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(LOOK_MS, signal).catch(() => {}); // ended: the loops see it
  }

  /** Undefined when there is no such pod. */
  async #phase(site: Site, name: string, signal: AbortSignal): Promise<string | undefined> {
    const answer = await site.cloud.fetch(CloudClient.podPath(name), { signal });
    if (answer.status === 404) {
      await answer.body?.cancel();
      return undefined;
    }
    const pod: Pod = await answer.json();
    return pod.status?.phase ?? "Pending";
  }

  async faults(site: Site): Promise<string[]> {
    try {
      await until(async () => (await this.#unsettled(site)).length === 0, {
        what: "pods as the cloud wants them",
        timeoutMs: SETTLE_MS,
        everyMs: LOOK_MS,
      });
      return [];
    } catch {
      return await this.#unsettled(site);
    }
  }

  async #unsettled(site: Site): Promise<string[]> {
    const { items }: KubeList<Pod> = await site.cloud.get(PATH);
    const faults: string[] = [];
    const named = new Set<string>();
    for (const pod of items) {
      const name = pod.metadata.name ?? "";
      if (pod.status?.phase !== "Running") faults.push(`${name}: is ${pod.status?.phase}`);
      if (this.#deleted.includes(name)) faults.push(`${name}: was deleted, and is there`);
      for (const { containerID } of pod.status?.containerStatuses ?? []) {
        named.add((containerID ?? "").replace("containerd://", ""));
      }
    }
    const tasks = [...(await site.containerd.tasks()).keys()];
    // a sandbox and a container each: two of one pod, or one nobody wants, are too many
    if (tasks.length !== 2 * items.length) {
      faults.push(`the runtime runs ${tasks.length} tasks for ${items.length} pods`);
    }
    for (const id of named) if (!tasks.includes(id)) faults.push(`container ${id} does not run`);
    return faults;
  }

  summary(): string {
    const deleted = this.#deleted.length;
    return `${this.#made} pods made, ${this.#ran} ran, ${deleted} deletions acknowledged`;
  }
}
