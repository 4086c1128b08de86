/**
 * Users of the world: they create, change, delete and recreate pods, config maps and secrets, and
 * label nodes, through the API alone. What the API acknowledged is written down in the model; a
 * call whose answer was lost leaves its object uncertain until it is read again.
 */
import type { KubeClient } from "../../cloud/kube/port.ts";
import { AppError, errorChain, isAppError } from "../../shared/errors.ts";
import { type GroupVersionResource, GVR } from "../../shared/k8s/gvr.ts";
import type { KubeObject, Pod } from "../../shared/k8s/types.ts";
import type { SeededRandom } from "../../shared/random.ts";
import { type Model, modelKey } from "./model.ts";
import type { World } from "./world.ts";

const NAMESPACE = "default";
const PODS_PER_NODE = 6;
const CONFIGS = 4;
const PAUSE_MS_MAX = 20_000;

type Config = "configmaps" | "secrets";

export interface Pace {
  pauseMsMax: number;
  /** For runs of months: what fails or ends does so after hours, and nothing waits for a config. */
  isPatient: boolean;
}

export class Workload {
  readonly #world: World;
  readonly #model: Model;
  readonly #random: SeededRandom;
  readonly #busy = new Set<string>();
  #isOn = false;
  #pace: Pace = { pauseMsMax: PAUSE_MS_MAX, isPatient: false };
  #serial = 0;

  constructor(world: World, model: Model) {
    this.#world = world;
    this.#model = model;
    this.#random = world.fork();
  }

  /** Calls that have not come back. */
  get pending(): number {
    return this.#busy.size;
  }

  begin(pace: Partial<Pace> = {}): void {
    this.#isOn = true;
    this.#pace = { pauseMsMax: PAUSE_MS_MAX, isPatient: false, ...pace };
    this.#next();
  }

  end(): void {
    this.#isOn = false;
  }

  #next(): void {
    this.#world.time.schedule("users", this.#random.float() * this.#pace.pauseMsMax, () => {
      if (!this.#isOn) return;
      this.#act();
      this.#next();
    });
  }

  #act(): void {
    const dice = this.#random.float();
    if (dice < 0.4) this.#createPod();
    else if (dice < 0.6) this.#deletePod();
    else if (dice < 0.68) this.#relabelPod();
    else if (dice < 0.93) this.#changeConfig();
    else this.#labelNode();
  }

  #createPod(): void {
    const name = this.#podName();
    const node = name.startsWith("any") ? undefined : name.slice(0, name.indexOf("-"));
    const pod = this.#pod(name, node);
    this.#do("create pod", GVR.pods, name, async (kube, signal) => {
      return await kube.create<Pod>(GVR.pods, pod, signal);
    });
  }

  #deletePod(): void {
    const name = this.#podName();
    const isForced = this.#random.float() < 0.2;
    this.#do(isForced ? "force delete pod" : "delete pod", GVR.pods, name, async (kube, signal) => {
      const options = isForced ? { gracePeriodSeconds: 0 } : {};
      await kube.delete(GVR.pods, { namespace: NAMESPACE, name }, options, signal);
      return "deleted";
    });
  }

  #relabelPod(): void {
    const name = this.#podName();
    const body = { metadata: { labels: { turn: String(this.#serial++) } } };
    this.#do(
      "label pod",
      GVR.pods,
      name,
      (kube, signal) =>
        kube.patch<Pod>(GVR.pods, { namespace: NAMESPACE, name }, { type: "merge", body }, signal),
    );
  }

  #changeConfig(): void {
    const kind: Config = this.#random.float() < 0.5 ? "configmaps" : "secrets";
    const gvr = GVR[kind];
    const name = `config-${this.#index(CONFIGS)}`;
    const value = `value ${this.#serial++}`;
    const data = kind === "secrets" ? { key: btoa(value) } : { key: value };
    const target = { namespace: NAMESPACE, name };
    if (this.#random.float() < 0.15 && !this.#pace.isPatient) {
      this.#do(`delete ${kind}`, gvr, name, async (kube, signal) => {
        await kube.delete(gvr, target, {}, signal);
        return "deleted";
      });
      return;
    }
    if (this.#model.has(modelKey(gvr, name))) {
      this.#do(
        `update ${kind}`,
        gvr,
        name,
        (kube, signal) => kube.patch(gvr, target, { type: "merge", body: { data } }, signal),
      );
      return;
    }
    const object = {
      apiVersion: "v1",
      kind: kind === "secrets" ? "Secret" : "ConfigMap",
      metadata: { ...target },
      data,
    } as unknown as KubeObject; // uid and creation stamp are the server's
    this.#do(`create ${kind}`, gvr, name, (kube, signal) => kube.create(gvr, object, signal));
  }

  #labelNode(): void {
    const { name } = this.#world.edges[this.#index(this.#world.edges.length)]!; // below its length
    const body = { metadata: { labels: { shift: String(this.#serial++) } } };
    this.#do(
      "label node",
      GVR.nodes,
      name,
      (kube, signal) => kube.patch(GVR.nodes, { name }, { type: "merge", body }, signal),
    );
  }

  /** One call at a time per object, so that the order of acknowledgements is that of effects. */
  #do(
    what: string,
    gvr: GroupVersionResource,
    name: string,
    work: (kube: KubeClient, signal: AbortSignal) => Promise<KubeObject | "deleted">,
  ): void {
    const { cloud, trace } = this.#world;
    const { kube, life } = cloud;
    const key = modelKey(gvr, name);
    if (!kube || !life || this.#busy.has(key)) return;
    this.#busy.add(key);
    trace.count("operations");
    const { signal } = new AbortController();
    const wasUncertain = this.#model.begin(key);
    void Promise.race([work(kube, signal), life.ended]).then((outcome) => {
      this.#busy.delete(key);
      if (outcome === undefined) {
        trace.count("operations without an answer");
        trace.add("user", `${what} ${name}: no answer`);
      } else {
        trace.add("user", `${what} ${name}: ok`);
        this.#model.acknowledge(key, outcome);
      }
    }, (error) => {
      this.#busy.delete(key);
      trace.add("user", `${what} ${name}: ${errorChain(error)}`);
      const refused = isAppError(error, "not_found", "already_exists", "conflict", "invalid");
      if (refused) this.#model.refuse(key, wasUncertain);
      else if (!(error instanceof AppError)) {
        trace.violate("API answers", `${what} ${name}: ${errorChain(error)}`);
      } else if (error.code === "internal" && cloud.disk.capacityBytes === Infinity) {
        trace.violate("API answers", `${what} ${name}: ${errorChain(error)}`);
      }
    });
  }

  #podName(): string {
    const { edges } = this.#world;
    const which = this.#index(edges.length + 1);
    const owner = which === edges.length ? "any" : edges[which]!.name;
    return `${owner}-pod-${this.#index(PODS_PER_NODE)}`;
  }

  #pod(name: string, nodeName: string | undefined): Pod {
    const dice = this.#random.float();
    const { isPatient } = this.#pace;
    const [script, restartPolicy] = isPatient && dice >= 0.6
      ? dice < 0.8 ? ["sleep 30000; exit 3", "Always"] : ["sleep 40000; exit 0", "Never"]
      : dice < 0.45
      ? ["trap 'exit 0' TERM; sleep infinity", "Always"]
      : dice < 0.6
      ? ["sleep infinity", "Always"]
      : dice < 0.75
      ? ["sleep 20; exit 0", "Never"]
      : dice < 0.85
      ? ["sleep 10; exit 3", "OnFailure"]
      : ["sleep 5; exit 1", "Always"];
    const config = `config-${this.#index(CONFIGS)}`;
    const hasOne = (kind: Config) => !isPatient || this.#model.has(modelKey(GVR[kind], config));
    const withConfig = this.#random.float() < 0.3 && hasOne("configmaps");
    const withSecret = this.#random.float() < 0.3 && hasOne("secrets");
    const volumes = [
      ...withConfig ? [{ name: "config", configMap: { name: config } }] : [],
      ...withSecret ? [{ name: "secret", secret: { secretName: config } }] : [],
    ];
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: NAMESPACE },
      spec: {
        ...nodeName === undefined ? {} : { nodeName },
        restartPolicy,
        terminationGracePeriodSeconds: 5,
        containers: [{
          name: "main",
          image: "docker.io/skerry/app:1",
          command: ["sh", "-c", script],
          volumeMounts: volumes.map((volume) => ({
            name: volume.name,
            mountPath: `/${volume.name}`,
          })),
        }],
        volumes,
      },
    };
    return pod as unknown as Pod; // uid and creation stamp are the server's
  }

  #index(below: number): number {
    return Math.floor(this.#random.float() * below);
  }
}
